// Wires commands to the two backends; the only place that knows both.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "cli/cli.h"
#include "core/study.h"
#include "worker/remote.h"
#include "worker/serve.h"

namespace attune {

/// What this machine offers, for `doctor`.
[[nodiscard]] std::vector<Capability> capabilities(const CliContext& context);

/// The real things, inside a worker process.
[[nodiscard]] std::unique_ptr<Compiler> make_compiler(DeviceKind kind, const CliContext& context);
[[nodiscard]] ServedDevice make_device(DeviceKind kind, int ordinal, const CliContext& context);

/// The same seam from the coordinator's side.
[[nodiscard]] std::unique_ptr<Compiler> start_compiler(DeviceKind kind, const CliContext& context,
                                                       const MeasureSettings& settings);
[[nodiscard]] std::unique_ptr<RemoteDevice> start_device(DeviceKind kind, int ordinal, const CliContext& context,
                                                         const MeasureSettings& settings);

/// The devices a sweep runs on: all of one kind.
struct DeviceChoice {
    DeviceKind kind = DeviceKind::cpu;
    std::vector<int> ordinals{0};
};

/// `auto`, `cpu`, `cuda`, `cuda:all`, `cuda:0,1`; `wanted` is the kind the study's template runs on, which decides
/// `auto`. InputError for other words or a kind the template does not run on; EnvironmentError when there is no such
/// device here.
[[nodiscard]] DeviceChoice choose_devices(const std::string& text, DeviceKind wanted);

/// What `auto` is on this machine: cuda when a GPU, its driver and NVRTC are there.
[[nodiscard]] DeviceKind usual_device(const CliContext& context);

/// The study that suits GPUs of these compute capabilities (times ten).
[[nodiscard]] std::string_view usual_gpu_study(std::span<const int> archs);

}  // namespace attune
