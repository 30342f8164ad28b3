#include "core/noise_floor.h"

#include <algorithm>
#include <cmath>

#include "core/statistics.h"

namespace attune {
namespace {

constexpr double kUsual = 0.005;
constexpr std::size_t kFewest = 4;
// A floor near 0 would stop variants on a rounding error, a high one would alternate with everything.
constexpr double kLowest = 0.002;
constexpr double kHighest = 0.03;
constexpr double kDeviationOfMedian = 1.4826;  ///< standard deviation over median absolute deviation, if normal

}  // namespace

void NoiseFloor::add(double score_ms) {
    if (last_ms_) changes_.push_back(std::abs(std::log(score_ms / *last_ms_)));
    last_ms_ = score_ms;
}

double NoiseFloor::share() const {
    if (changes_.size() < kFewest) return kUsual;
    return std::clamp(2.0 * kDeviationOfMedian * median(changes_), kLowest, kHighest);
}

}  // namespace attune
