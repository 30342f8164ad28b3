// Statistics of latencies: pure functions, no state, no randomness. docs/search.md argues the choices.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace attune {

struct Interval {
    double low = 0.0;
    double high = 0.0;
};

/// Middle of the samples, the mean of the two middle ones for an even count. There must be at least one.
[[nodiscard]] double median(std::span<const float> samples);
[[nodiscard]] double median(std::span<const double> samples);

/// Interval of the median from order statistics: valid for any distribution of independent samples. With too few
/// samples for `confidence` it is their whole range.
[[nodiscard]] Interval median_interval(std::span<const float> samples, double confidence);
/// Half the interval's width over its middle: 0.005 is +-0.5 %.
[[nodiscard]] double relative_half_width(const Interval& interval);

/// Confidence at which sampling decides that a median is known well enough; verdicts use the study's own.
inline constexpr double kSamplingConfidence = 0.95;

/// Spread of single samples as a share of their median (scaled median absolute deviation: a standard deviation for
/// normal noise, blind to outliers).
[[nodiscard]] double noise_share(std::span<const float> samples);

/// Change from the first to the last sample along the Theil-Sen line, as a share of the median; 0 when a Mann-Kendall
/// test at 99.9 % sees no trend. Positive: it became slower, as under throttling.
[[nodiscard]] double drift_share(std::span<const float> samples);

/// A location estimate that outliers cannot move, and how well it is known.
struct TrimmedMean {
    double mean = 0.0;
    double variance = 0.0;  ///< of `mean` (winsorised)
    double freedom = 0.0;   ///< degrees of freedom of `variance`
};
struct Series {
    double weight = 1.0;
    std::vector<double> samples;
};
/// Weighted sum of the means of each series' middle 60 % (Yuen). The i-th samples of all series were taken together:
/// what they share makes the sum less certain, and is counted. All have the same length, at least two.
[[nodiscard]] TrimmedMean trimmed_mean_of_sum(std::span<const Series> series);

/// The value that a Student t variable of `freedom` degrees exceeds with probability `tail` in (0, 0.5].
[[nodiscard]] double student_t_quantile(double tail, double freedom);

}  // namespace attune
