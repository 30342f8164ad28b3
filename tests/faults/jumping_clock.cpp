// Preloaded into a program, makes its clock of the day jump by hours and years, forth and back, at every look.

#include <dlfcn.h>
#include <time.h>

#include <array>
#include <atomic>

namespace {

constexpr long kHour_s = 3600, kYear_s = 365 * 24 * kHour_s;
constexpr std::array kJumps_s{0L, 7 * kHour_s, -2 * kHour_s, 30 * kYear_s, -10 * kYear_s, -1L, 1L};

}  // namespace

extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t clock, timespec* time) noexcept {
    static const auto real = reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
    static std::atomic<unsigned> looks{0};
    const int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += kJumps_s[looks++ % kJumps_s.size()];
    return result;
}
