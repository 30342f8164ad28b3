#include "search/gaussian_process.h"

#include <algorithm>
#include <cmath>

namespace attune {
namespace {

// Before anything is learned two candidates that differ in every knob are all but unrelated, and no knob matters more
// than another; what is learned may be several orders of magnitude away from that.
constexpr double kTotalWeight = 1.0;
constexpr double kWeightDeviation = 2.5;
constexpr double kLogNoise = -6.0;
constexpr double kNoiseDeviation = 2.0;
constexpr double kLowest = -10.0;
constexpr double kHighest = 2.0;
constexpr double kSmallestPivot = 1e-9;  // what rounding may make of a small one

// Rprop: steps by the sign of the gradient alone, since its size changes with every observation.
constexpr double kFirstStep = 0.15;
constexpr double kSmallestStep = 0.01;
constexpr double kLargestStep = 0.5;
constexpr double kFaster = 1.2;
constexpr double kSlower = 0.5;

/// Four sums side by side: one would wait for each addition in turn.
double dot(const double* a, const double* b, std::size_t count) {
    double sums[4] = {0.0, 0.0, 0.0, 0.0};
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        sums[0] += a[i] * b[i];
        sums[1] += a[i + 1] * b[i + 1];
        sums[2] += a[i + 2] * b[i + 2];
        sums[3] += a[i + 3] * b[i + 3];
    }
    for (; i < count; ++i)
        sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Coordinates that lie about 1 apart between a lean variant and one at the limit; all negative where it has not been
/// compiled.
Resources resources_of(const StaticFeatures& features) {
    const auto coordinate = [](int count, double scale) { return count < 0 ? -1.0 : std::log1p(count) / scale; };
    return {coordinate(features.registers, 1.4), coordinate(features.shared_bytes, 2.0),
            coordinate(features.spill_bytes, 5.0), coordinate(features.performance_warning, 0.7)};
}

double distance(const Resources& a, const Resources& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += std::abs(a[i] - b[i]);
    return sum;
}

bool is_known(const Resources& resources) {
    return std::any_of(resources.begin(), resources.end(), [](double value) { return value >= 0.0; });
}

}  // namespace

GaussianProcess::GaussianProcess(const std::vector<Parameter>& parameters) {
    double active = 1.0;
    for (const Parameter& parameter : parameters) {
        const std::size_t levels = parameter.values.size();
        knobs_.push_back({levels, parameter.words.empty() && levels > 2, {}});
        active += levels > 1 ? 1.0 : 0.0;
    }
    usual_log_weight_ = std::log(kTotalWeight / active);
    settings_.assign(2 * knobs_.size() + 3, usual_log_weight_);
    settings_.back() = kLogNoise;
    steps_.assign(settings_.size(), kFirstStep);
    last_gradient_.assign(settings_.size(), 0.0);
    tabulate();
}

void GaussianProcess::tabulate() {
    place_exponent_ = -std::exp(settings_[2 * knobs_.size()]);
    resource_exponent_ = -std::exp(settings_[2 * knobs_.size() + 1]);
    for (std::size_t i = 0; i < knobs_.size(); ++i) {
        Knob& knob = knobs_[i];
        knob.exponents.assign(knob.levels * knob.levels, 0.0);
        const double differ = std::exp(settings_[2 * i]);
        const double apart = knob.ordered ? std::exp(settings_[2 * i + 1]) / static_cast<double>(knob.levels - 1) : 0.0;
        for (std::size_t a = 0; a < knob.levels; ++a) {
            for (std::size_t b = 0; b < knob.levels; ++b) {
                const double steps = static_cast<double>(a > b ? a - b : b - a);
                if (a != b) knob.exponents[a * knob.levels + b] = -(differ + apart * steps);
            }
        }
    }
}

double GaussianProcess::knob_exponent(const Candidate& a, const Candidate& b) const {
    double exponent = 0.0;
    for (std::size_t i = 0; i < knobs_.size(); ++i) {
        exponent += knobs_[i].exponents[a.choice[i] * knobs_[i].levels + b.choice[i]];
    }
    return exponent;
}

double GaussianProcess::other_exponent(const Resources& resources, bool elsewhere, std::size_t other) const {
    return (elsewhere == observations_[other].elsewhere ? 0.0 : place_exponent_) +
           resource_exponent_ * distance(resources, resources_[other]);
}

void GaussianProcess::fit(std::vector<KnownScore> observations) {
    observations_ = std::move(observations);
    resources_.clear();
    for (const KnownScore& item : observations_)
        resources_.push_back(resources_of(item.features));
    guess_resources();
    condition();
}

/// What has not been compiled yet counts as the known one it covaries with most. To leave its distances out instead
/// would break the triangle inequality, and with it the covariance: near to two that are far from each other.
void GaussianProcess::guess_resources() {
    std::vector<std::size_t> known;
    for (std::size_t i = 0; i < resources_.size(); ++i) {
        if (is_known(resources_[i])) known.push_back(i);
    }
    if (known.empty()) return;
    for (std::size_t i = 0; i < resources_.size(); ++i) {
        if (is_known(resources_[i])) continue;
        const Candidate& candidate = observations_[i].candidate;
        resources_[i] = resources_[*std::max_element(known.begin(), known.end(), [&](std::size_t a, std::size_t b) {
            return knob_exponent(candidate, observations_[a].candidate) <
                   knob_exponent(candidate, observations_[b].candidate);
        })];
    }
}

void GaussianProcess::condition() {
    const std::size_t n = observations_.size();
    kernel_.assign(n * n, 0.0);
    std::vector<double> factor(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            const KnownScore& a = observations_[i];
            const KnownScore& b = observations_[j];
            kernel_[i * n + j] =
                i == j
                    ? 1.0 + std::exp(settings_.back())
                    : std::exp(knob_exponent(a.candidate, b.candidate) + other_exponent(resources_[i], a.elsewhere, j));
            const double rest = kernel_[i * n + j] - dot(&factor[i * n], &factor[j * n], j);
            factor[i * n + j] = i == j ? std::sqrt(std::max(rest, kSmallestPivot)) : rest / factor[j * n + j];
        }
    }
    // Row by row: L^-1 is lower triangular, and row i follows from the rows above it.
    inverse_.assign(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        double* row = &inverse_[i * n];
        for (std::size_t k = 0; k < i; ++k) {
            const double share = factor[i * n + k];
            for (std::size_t j = 0; j <= k; ++j)
                row[j] -= share * inverse_[k * n + j];
        }
        row[i] = 1.0;
        for (std::size_t j = 0; j <= i; ++j)
            row[j] /= factor[i * n + i];
    }
    alpha_.assign(n, 0.0);
    scale_ = 0.0;
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i)
        values[i] = observations_[i].value;
    for (std::size_t i = 0; i < n; ++i) {
        const double whitened = dot(&inverse_[i * n], values.data(), i + 1);
        scale_ += whitened * whitened / static_cast<double>(n);
        for (std::size_t j = 0; j <= i; ++j)
            alpha_[j] += inverse_[i * n + j] * whitened;
    }
    scale_ = std::max(scale_, 1e-6);
}

/// Derivative of the log likelihood, its scale profiled out: half the sum over all pairs of
/// (alpha alpha' / scale - K^-1) * dK/dsetting.
std::vector<double> GaussianProcess::likelihood_gradient() const {
    const std::size_t n = observations_.size();
    std::vector<double> precision(n * n, 0.0);
    for (std::size_t k = 0; k < n; ++k) {
        const double* row = &inverse_[k * n];
        for (std::size_t i = 0; i <= k; ++i) {
            for (std::size_t j = 0; j <= i; ++j)
                precision[i * n + j] += row[i] * row[j];
        }
    }
    std::vector<double> gradient(settings_.size(), 0.0);
    double& place_gradient = gradient[2 * knobs_.size()];
    double& resource_gradient = gradient[2 * knobs_.size() + 1];
    for (std::size_t i = 0; i < n; ++i) {
        const KnownScore& a = observations_[i];
        for (std::size_t j = 0; j < i; ++j) {
            const double pull = alpha_[i] * alpha_[j] / scale_ - precision[i * n + j];
            const double weight = pull * kernel_[i * n + j];
            const KnownScore& b = observations_[j];
            if (a.elsewhere != b.elsewhere) place_gradient += weight * place_exponent_;
            resource_gradient += weight * resource_exponent_ * distance(resources_[i], resources_[j]);
            for (std::size_t knob = 0; knob < knobs_.size(); ++knob) {
                const int apart = a.candidate.choice[knob] - b.candidate.choice[knob];
                if (apart == 0) continue;
                gradient[2 * knob] -= weight;
                if (knobs_[knob].ordered) gradient[2 * knob + 1] -= weight * std::abs(apart);
            }
        }
        gradient.back() += 0.5 * (alpha_[i] * alpha_[i] / scale_ - precision[i * n + i]) * std::exp(settings_.back());
    }
    for (std::size_t knob = 0; knob < knobs_.size(); ++knob) {
        gradient[2 * knob] *= std::exp(settings_[2 * knob]);
        if (knobs_[knob].ordered) {
            gradient[2 * knob + 1] *= std::exp(settings_[2 * knob + 1]) / static_cast<double>(knobs_[knob].levels - 1);
        }
    }
    return gradient;
}

void GaussianProcess::learn() {
    std::vector<double> gradient = likelihood_gradient();
    for (std::size_t i = 0; i < settings_.size(); ++i) {
        const bool is_noise = i + 1 == settings_.size();
        const double centre = is_noise ? kLogNoise : usual_log_weight_;
        const double deviation = is_noise ? kNoiseDeviation : kWeightDeviation;
        gradient[i] -= (settings_[i] - centre) / (deviation * deviation);
        steps_[i] = std::clamp(steps_[i] * (gradient[i] * last_gradient_[i] < 0.0 ? kSlower : kFaster), kSmallestStep,
                               kLargestStep);
        settings_[i] = std::clamp(settings_[i] + (gradient[i] > 0.0 ? steps_[i] : -steps_[i]), kLowest, kHighest);
    }
    last_gradient_ = std::move(gradient);
    tabulate();
    condition();
}

std::vector<double> GaussianProcess::covariances(const Candidate& candidate) const {
    std::vector<double> column(observations_.size());
    std::size_t nearest = 0;
    for (std::size_t i = 0; i < column.size(); ++i) {
        column[i] = knob_exponent(candidate, observations_[i].candidate);
        if (column[i] > column[nearest]) nearest = i;
    }
    for (std::size_t i = 0; i < column.size(); ++i)
        column[i] = std::exp(column[i] + other_exponent(resources_[nearest], false, i));
    return column;
}

double GaussianProcess::mean(const Candidate& candidate) const {
    return dot(covariances(candidate).data(), alpha_.data(), alpha_.size());
}

Prediction GaussianProcess::predict(const Candidate& candidate) const {
    const std::size_t n = observations_.size();
    const std::vector<double> column = covariances(candidate);
    double explained = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        const double whitened = dot(&inverse_[i * n], column.data(), i + 1);
        explained += whitened * whitened;
    }
    return {dot(column.data(), alpha_.data(), n), std::sqrt(scale_ * std::max(1e-9, 1.0 - explained))};
}

}  // namespace attune
