// The devices of one machine: each step that takes seconds is begun on all before any is waited for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/workload.h"
#include "worker/remote.h"

namespace attune {

using DeviceGroup = std::vector<std::unique_ptr<RemoteDevice>>;
/// Hears which device is out, and why.
using TellLoss = std::function<void(const std::string& reason)>;

/// Starts the workers and makes each device take hold of its hardware. One that fails is told of and leaves the group;
/// EnvironmentError with the first's reason when none is left.
void start_together(DeviceGroup& devices, const TellLoss& tell_loss);
/// The same for drawing the inputs and references of `suite`.
void open_together(DeviceGroup& devices, const Suite& suite, const TellLoss& tell_loss);

}  // namespace attune
