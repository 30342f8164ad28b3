// This machine's CPU as a device: loads compiled variants, checks and times them.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/artifact_cache.h"
#include "backend/backend.h"
#include "backend/cpu/draw_cache.h"
#include "backend/cpu/guarded_buffer.h"
#include "backend/cpu/host_facts.h"
#include "backend/cpu/loaded_variant.h"

namespace attune {

/// What the device cannot find out by itself.
struct CpuDeviceOptions {
    std::string compiler;                ///< $CXX, may be empty: prefers a compiler, whose version goes on record
    std::string attune_version;          ///< for the record
    std::int64_t draw_budget_bytes = 0;  ///< memory for inputs and references; 0: a quarter of the machine's
};

class CpuDevice : public Device {
  public:
    /// `cache` is where the compiler is tried.
    CpuDevice(CpuDeviceOptions options, const ArtifactCache& cache);

    [[nodiscard]] TargetFacts target() override;
    [[nodiscard]] EnvironmentFacts environment() override;
    /// EnvironmentError when the machine's memory cannot hold the largest case. Inputs and references are made when
    /// first used: the reference of a call is the CPU's own, so there is nothing to verify it against.
    void open_suite(const Suite& suite) override;

    [[nodiscard]] Result<bool> load(Slot slot, const Variant& variant) override;
    [[nodiscard]] Result<CheckReport> check(Slot slot, std::size_t case_index, Draw draw) override;
    /// Cold: inputs, outputs and everything else pushed out of all caches before each call.
    [[nodiscard]] Result<Samples> time(Slot slot, std::size_t case_index, const SampleRequest& request) override;
    [[nodiscard]] Result<PairedSamples> pair(std::size_t case_index, int pairs) override;

  private:
    /// o and lse of one case, shared by both slots.
    struct Outputs {
        std::size_t case_index;
        cpu::GuardedBuffer o;
        cpu::GuardedBuffer lse;
    };
    [[nodiscard]] cpu::LoadedVariant* loaded(Slot slot) { return slots_[static_cast<std::size_t>(slot)].get(); }
    [[nodiscard]] Outputs& outputs_of(std::size_t case_index);
    /// The slot's variant made ready for a case, or why it cannot be.
    [[nodiscard]] Result<cpu::LoadedVariant*> prepare(Slot slot, std::size_t case_index, const AttentionInputs& inputs);
    void evict_caches();
    [[nodiscard]] float cold_call_ms(const cpu::LoadedVariant& variant);

    CpuDeviceOptions options_;
    cpu::HostFacts host_;
    std::optional<cpu::DrawCache> draws_;
    std::optional<Outputs> outputs_;
    std::array<std::unique_ptr<cpu::LoadedVariant>, 2> slots_;
    std::vector<unsigned char> evictor_;  ///< larger than all caches together
};

}  // namespace attune
