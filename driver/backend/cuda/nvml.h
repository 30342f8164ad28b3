// The GPU's clocks, temperature and throttle reasons, from NVIDIA's management library. Optional: containers often lack
// it, and then these facts are unknown.
#pragma once

#include <memory>
#include <string>

namespace attune::cuda {

/// What NVML says at one moment. 0 or empty: unknown.
struct NvmlReading {
    int sm_clock_mhz = 0;
    int memory_clock_mhz = 0;
    int temperature_c = 0;
    std::string throttle_reasons;  ///< comma-separated, "none", or empty when unknown
    bool throttled = false;        ///< a reason that slows the GPU below what its load asks for
};

/// The words of a mask of nvmlClocksEventReasons.
[[nodiscard]] std::string throttle_words(unsigned long long reasons);
/// Whether the mask holds more than idleness and a user's own clock settings.
[[nodiscard]] bool is_throttling(unsigned long long reasons);

/// NVML, looking at one GPU.
class Nvml {
  public:
    /// For the GPU of `uuid` ("GPU-…"). Where NVML or the GPU in it is missing, everything reads as unknown.
    explicit Nvml(const std::string& uuid);
    ~Nvml();
    Nvml(Nvml&&) noexcept;
    Nvml& operator=(Nvml&&) noexcept;

    /// "580.159.03", or empty.
    [[nodiscard]] std::string driver_version() const;
    [[nodiscard]] NvmlReading read() const;

  private:
    struct Session;
    std::unique_ptr<Session> session_;
};

}  // namespace attune::cuda
