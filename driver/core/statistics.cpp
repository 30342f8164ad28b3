#include "core/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace attune {
namespace {

template <class Number>
double median_of(std::span<const Number> samples) {
    std::vector<Number> values(samples.begin(), samples.end());
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return static_cast<double>(*middle);
    const Number below = *std::max_element(values.begin(), middle);
    return (static_cast<double>(below) + static_cast<double>(*middle)) / 2.0;
}

/// Largest k with P(Binomial(n, 1/2) < k) <= tail: the k-th smallest and k-th largest sample bound the median.
std::size_t order_rank(std::size_t n, double tail) {
    const double count = static_cast<double>(n);
    double below = 0.0;
    for (std::size_t k = 0; k < n / 2; ++k) {
        const double i = static_cast<double>(k);
        below +=
            std::exp(std::lgamma(count + 1) - std::lgamma(i + 1) - std::lgamma(count - i + 1) - count * std::log(2.0));
        if (below > tail) return k;
    }
    return n / 2;
}

/// Continued fraction of the regularised incomplete beta function (Abramowitz and Stegun 26.5.8, Lentz's method).
double beta_fraction(double a, double b, double x) {
    constexpr double kTiny = 1e-300;
    constexpr double kPrecision = 1e-14;
    constexpr int kMaxTerms = 1000;
    const auto away_from_zero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
    double c = 1.0;
    double d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    double fraction = d;
    for (int term = 1; term <= kMaxTerms; ++term) {
        const double m = term;
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (std::abs(d * c - 1.0) < kPrecision) break;
    }
    return fraction;
}

/// P(T > t) for t > 0.
double student_t_tail(double t, double freedom) {
    const double a = freedom / 2.0;
    const double b = 0.5;
    const double x = freedom / (freedom + t * t);
    const double front =
        std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
    const double incomplete = x < (a + 1.0) / (a + b + 2.0) ? front * beta_fraction(a, b, x) / a
                                                            : 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
    return incomplete / 2.0;
}

}  // namespace

double median(std::span<const float> samples) {
    return median_of(samples);
}
double median(std::span<const double> samples) {
    return median_of(samples);
}

Interval median_interval(std::span<const float> samples, double confidence) {
    std::vector<float> sorted(samples.begin(), samples.end());
    std::sort(sorted.begin(), sorted.end());
    const std::size_t rank = std::max<std::size_t>(1, order_rank(sorted.size(), (1.0 - confidence) / 2.0));
    return {sorted[rank - 1], sorted[sorted.size() - rank]};
}

double relative_half_width(const Interval& interval) {
    return (interval.high - interval.low) / (interval.high + interval.low);
}

double noise_share(std::span<const float> samples) {
    constexpr double kToStandardDeviation = 1.4826;  // of normal noise
    const double middle = median(samples);
    std::vector<double> distances;
    for (const float sample : samples)
        distances.push_back(std::abs(static_cast<double>(sample) - middle));
    return kToStandardDeviation * median(distances) / middle;
}

double drift_share(std::span<const float> samples) {
    constexpr double kCritical = 3.29;  // two-sided 99.9 % of a normal variable
    constexpr std::size_t kFewest = 10;
    const std::size_t n = samples.size();
    if (n < kFewest) return 0.0;
    std::vector<double> slopes;
    double sign_sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = i + 1; j < n; ++j) {
            const double change = static_cast<double>(samples[j]) - static_cast<double>(samples[i]);
            slopes.push_back(change / static_cast<double>(j - i));
            sign_sum += change > 0 ? 1.0 : change < 0 ? -1.0 : 0.0;
        }
    }
    const double count = static_cast<double>(n);
    const double deviation = std::sqrt(count * (count - 1) * (2 * count + 5) / 18.0);
    if (std::abs(sign_sum) < kCritical * deviation) return 0.0;
    return median(slopes) * (count - 1) / median(samples);
}

TrimmedMean trimmed_mean_of_sum(std::span<const Series> series) {
    const std::size_t n = series.front().samples.size();
    const std::size_t cut = n / 5;
    const double kept = static_cast<double>(n - 2 * cut);
    double mean = 0.0;
    // Winsorising pulls the trimmed samples to the nearest kept one: the spread that the trimmed mean really has.
    std::vector<double> winsorised(n, 0.0);
    for (const Series& item : series) {
        std::vector<double> sorted = item.samples;
        std::sort(sorted.begin(), sorted.end());
        for (std::size_t i = cut; i < n - cut; ++i)
            mean += item.weight * sorted[i] / kept;
        for (std::size_t i = 0; i < n; ++i)
            winsorised[i] += item.weight * std::clamp(item.samples[i], sorted[cut], sorted[n - cut - 1]);
    }
    double centre = 0.0;
    for (const double value : winsorised)
        centre += value / static_cast<double>(n);
    double squares = 0.0;
    for (const double value : winsorised)
        squares += (value - centre) * (value - centre);
    return {mean, squares / (kept * (kept - 1.0)), kept - 1.0};
}

double student_t_quantile(double tail, double freedom) {
    double low = 0.0;
    double high = 1.0;
    while (student_t_tail(high, freedom) > tail && high < std::numeric_limits<double>::max() / 4)
        high *= 2.0;
    constexpr int kHalvings = 60;
    for (int i = 0; i < kHalvings; ++i) {
        const double middle = (low + high) / 2.0;
        (student_t_tail(middle, freedom) > tail ? low : high) = middle;
    }
    return (low + high) / 2.0;
}

}  // namespace attune
