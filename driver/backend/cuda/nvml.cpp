#include "backend/cuda/nvml.h"

#include <array>
#include <string_view>
#include <utility>

#include "backend/cuda/library.h"

namespace attune::cuda {
namespace {

// NVML's stable C interface (docs.nvidia.com/deploy/nvml-api); toolkits do not always ship nvml.h.
using Device = struct NvmlDevice*;
constexpr int kSuccess = 0;
constexpr int kSmClock = 1;
constexpr int kMemoryClock = 2;
constexpr int kGpuTemperature = 0;

struct Reason {
    unsigned long long bit;
    std::string_view word;
    bool slows;
};

// nvmlClocksEventReason*. A power cap counts: clocks then follow the temperature of the die, not the kernel.
constexpr std::array kReasons{
    Reason{0x1, "idle", false},
    Reason{0x2, "application_clocks", false},
    Reason{0x4, "power_cap", true},
    Reason{0x8, "hardware_slowdown", true},
    Reason{0x10, "sync_boost", true},
    Reason{0x20, "software_thermal", true},
    Reason{0x40, "hardware_thermal", true},
    Reason{0x80, "power_brake", true},
    Reason{0x100, "display_clocks", false},
};

}  // namespace

std::string throttle_words(unsigned long long reasons) {
    std::string words;
    for (const Reason& reason : kReasons) {
        if ((reasons & reason.bit) == 0) continue;
        if (!words.empty()) words += ',';
        words += reason.word;
    }
    return words.empty() ? "none" : words;
}

bool is_throttling(unsigned long long reasons) {
    unsigned long long slowing = 0;
    for (const Reason& reason : kReasons)
        slowing |= reason.slows ? reason.bit : 0;
    return (reasons & slowing) != 0;
}

/// An initialised NVML, shut down at the end.
struct Nvml::Session {
    explicit Session(SharedLibrary opened) : library(std::move(opened)) {}
    ~Session() {
        if (shutdown != nullptr) shutdown();
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// False when this NVML is of no use.
    bool start(const std::string& uuid) {
        int (*initialise)() = nullptr;
        int (*device_by_uuid)(const char*, Device*) = nullptr;
        int (*stop)() = nullptr;
        const bool complete =
            find("nvmlInit_v2", initialise) && find("nvmlShutdown", stop) &&
            find("nvmlDeviceGetHandleByUUID", device_by_uuid) && find("nvmlDeviceGetClockInfo", clock_info) &&
            find("nvmlDeviceGetTemperature", temperature) && find("nvmlSystemGetDriverVersion", driver_version);
        // The newer name of the same call came with driver 535.
        if (!find("nvmlDeviceGetCurrentClocksEventReasons", clock_reasons)) {
            static_cast<void>(find("nvmlDeviceGetCurrentClocksThrottleReasons", clock_reasons));
        }
        if (!complete || initialise() != kSuccess) return false;
        shutdown = stop;
        return device_by_uuid(uuid.c_str(), &device) == kSuccess;
    }

    template <class Function>
    bool find(const char* name, Function& function) {
        function = reinterpret_cast<Function>(library.symbol(name));
        return function != nullptr;
    }

    SharedLibrary library;
    Device device = nullptr;
    int (*shutdown)() = nullptr;
    int (*clock_info)(Device, int, unsigned*) = nullptr;
    int (*temperature)(Device, int, unsigned*) = nullptr;
    int (*clock_reasons)(Device, unsigned long long*) = nullptr;
    int (*driver_version)(char*, unsigned) = nullptr;
};

Nvml::Nvml(const std::string& uuid) {
    std::string why;
    auto library = SharedLibrary::open("libnvidia-ml.so.1", why);
    if (!library) return;
    auto session = std::make_unique<Session>(std::move(*library));
    if (session->start(uuid)) session_ = std::move(session);
}

Nvml::~Nvml() = default;
Nvml::Nvml(Nvml&&) noexcept = default;
Nvml& Nvml::operator=(Nvml&&) noexcept = default;

std::string Nvml::driver_version() const {
    std::array<char, 80> text{};
    if (!session_ || session_->driver_version(text.data(), text.size()) != kSuccess) return {};
    return text.data();
}

NvmlReading Nvml::read() const {
    NvmlReading reading;
    if (!session_) return reading;
    unsigned value = 0;
    if (session_->clock_info(session_->device, kSmClock, &value) == kSuccess) {
        reading.sm_clock_mhz = static_cast<int>(value);
    }
    if (session_->clock_info(session_->device, kMemoryClock, &value) == kSuccess) {
        reading.memory_clock_mhz = static_cast<int>(value);
    }
    if (session_->temperature(session_->device, kGpuTemperature, &value) == kSuccess) {
        reading.temperature_c = static_cast<int>(value);
    }
    unsigned long long reasons = 0;
    if (session_->clock_reasons != nullptr && session_->clock_reasons(session_->device, &reasons) == kSuccess) {
        reading.throttle_reasons = throttle_words(reasons);
        reading.throttled = is_throttling(reasons);
    }
    return reading;
}

}  // namespace attune::cuda
