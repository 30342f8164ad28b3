#include "search/gaussian_process.h"

#include <algorithm>
#include <cmath>

namespace attune {
namespace {

// A knob's weight is expected around this share of the whole, and within a factor of e^kPriorDeviation of it.
constexpr double kPriorTotal = 2.0;
constexpr double kPriorDeviation = 1.5;
constexpr double kLowest = -7.0;
constexpr double kHighest = 2.0;
constexpr double kFirstStep = 0.15;
constexpr double kLargestStep = 0.5;
constexpr double kSmallestStep = 0.01;
constexpr double kFaster = 1.2;
constexpr double kSlower = 0.5;

}  // namespace

GaussianProcess::GaussianProcess(const std::vector<Parameter>& parameters) {
    std::size_t active = 0;
    for (const Parameter& parameter : parameters) {
        const std::size_t levels = parameter.values.size();
        knobs_.push_back({levels, parameter.words.empty() && levels > 2, {}});
        active += levels > 1 ? 1 : 0;
    }
    const double usual = std::log(kPriorTotal / static_cast<double>(std::max<std::size_t>(1, active)));
    log_weights_.assign(2 * knobs_.size(), usual);
    prior_ = usual;
    steps_.assign(log_weights_.size() + 1, kFirstStep);
    last_gradient_.assign(log_weights_.size() + 1, 0.0);
    tabulate();
}

double GaussianProcess::distance(std::size_t weight, const Candidate& a, const Candidate& b) const {
    const Knob& knob = knobs_[weight / 2];
    const int from = a.choice[weight / 2];
    const int to = b.choice[weight / 2];
    if (weight % 2 == 0) return from == to ? 0.0 : 1.0;
    return knob.ordered ? std::abs(from - to) / static_cast<double>(knob.levels - 1) : 0.0;
}

void GaussianProcess::tabulate() {
    for (std::size_t i = 0; i < knobs_.size(); ++i) {
        Knob& knob = knobs_[i];
        const double differing = std::exp(log_weights_[2 * i]);
        const double spread =
            knob.ordered ? std::exp(log_weights_[2 * i + 1]) / static_cast<double>(knob.levels - 1) : 0.0;
        knob.log_table.assign(knob.levels * knob.levels, 0.0);
        for (std::size_t a = 0; a < knob.levels; ++a) {
            for (std::size_t b = 0; b < knob.levels; ++b) {
                const double apart = static_cast<double>(a > b ? a - b : b - a);
                if (a != b) knob.log_table[a * knob.levels + b] = -(differing + spread * apart);
            }
        }
    }
}

double GaussianProcess::covariance(const Candidate& a, const Candidate& b) const {
    double log_value = 0.0;
    for (std::size_t i = 0; i < knobs_.size(); ++i) {
        log_value += knobs_[i].log_table[a.choice[i] * knobs_[i].levels + b.choice[i]];
    }
    return std::exp(log_value);
}

void GaussianProcess::fit(std::vector<const Candidate*> candidates, std::vector<double> values) {
    candidates_ = std::move(candidates);
    values_ = std::move(values);
    factorise();
}

void GaussianProcess::factorise() {
    const std::size_t n = candidates_.size();
    factor_.assign(n * n, 0.0);
    const double noise = std::exp(log_noise_);
    for (std::size_t i = 0; i < n; ++i) {
        double* row = &factor_[i * n];
        for (std::size_t j = 0; j <= i; ++j) {
            const double* other = &factor_[j * n];
            double sum = i == j ? 1.0 + noise : covariance(*candidates_[i], *candidates_[j]);
            for (std::size_t k = 0; k < j; ++k)
                sum -= row[k] * other[k];
            row[j] = i == j ? std::sqrt(sum) : sum / other[j];
        }
    }
    alpha_ = values_;
    solve_lower(alpha_);
    for (std::size_t i = n; i-- > 0;) {
        alpha_[i] /= factor_[i * n + i];
        for (std::size_t k = 0; k < i; ++k)
            alpha_[k] -= factor_[i * n + k] * alpha_[i];
    }
    double fit = 0.0;
    for (std::size_t i = 0; i < n; ++i)
        fit += values_[i] * alpha_[i];
    scale_ = n == 0 ? 1.0 : std::max(fit / static_cast<double>(n), 1e-6);
}

void GaussianProcess::solve_lower(std::vector<double>& column) const {
    const std::size_t n = candidates_.size();
    for (std::size_t i = 0; i < n; ++i) {
        double sum = column[i];
        for (std::size_t k = 0; k < i; ++k)
            sum -= factor_[i * n + k] * column[k];
        column[i] = sum / factor_[i * n + i];
    }
}

void GaussianProcess::learn() {
    const std::size_t n = candidates_.size();
    if (n < 3) return;
    // Inverse of the factor, transposed: row j holds column j of L^-1, so that K^-1 is a sum of its products.
    std::vector<double> inverse(n * n, 0.0);
    for (std::size_t j = 0; j < n; ++j) {
        double* column = &inverse[j * n];
        column[j] = 1.0 / factor_[j * n + j];
        for (std::size_t i = j + 1; i < n; ++i) {
            double sum = 0.0;
            for (std::size_t k = j; k < i; ++k)
                sum -= factor_[i * n + k] * column[k];
            column[i] = sum / factor_[i * n + i];
        }
    }
    // d/dw of the profile likelihood: sum over pairs of (alpha alpha' / scale - K^-1) * dK/dw.
    std::vector<double> gradient(log_weights_.size() + 1, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double inverse_ij = 0.0;
            for (std::size_t k = i; k < n; ++k)
                inverse_ij += inverse[i * n + k] * inverse[j * n + k];
            const double pull = alpha_[i] * alpha_[j] / scale_ - inverse_ij;
            if (i == j) {
                gradient.back() += 0.5 * pull * std::exp(log_noise_);
                continue;
            }
            const double weight = pull * covariance(*candidates_[i], *candidates_[j]);
            for (std::size_t w = 0; w < log_weights_.size(); ++w) {
                gradient[w] -= weight * distance(w, *candidates_[i], *candidates_[j]);
            }
        }
    }
    for (std::size_t w = 0; w < log_weights_.size(); ++w) {
        gradient[w] =
            gradient[w] * std::exp(log_weights_[w]) - (log_weights_[w] - prior_) / (kPriorDeviation * kPriorDeviation);
    }
    gradient.back() -= (log_noise_ + 6.0) / 4.0;
    for (std::size_t w = 0; w < gradient.size(); ++w) {
        double& step = steps_[w];
        step *= gradient[w] * last_gradient_[w] < 0.0 ? kSlower : kFaster;
        step = std::clamp(step, kSmallestStep, kLargestStep);
        double& value = w < log_weights_.size() ? log_weights_[w] : log_noise_;
        value =
            std::clamp(value + (gradient[w] > 0 ? step : -step), w < log_weights_.size() ? kLowest : -10.0, kHighest);
    }
    last_gradient_ = std::move(gradient);
    tabulate();
    factorise();
}

double GaussianProcess::mean(const Candidate& candidate) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < candidates_.size(); ++i)
        sum += alpha_[i] * covariance(candidate, *candidates_[i]);
    return sum;
}

Prediction GaussianProcess::predict(const Candidate& candidate) const {
    std::vector<double> column(candidates_.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
        column[i] = covariance(candidate, *candidates_[i]);
        sum += alpha_[i] * column[i];
    }
    solve_lower(column);
    double explained = 0.0;
    for (const double value : column)
        explained += value * value;
    return {sum, std::sqrt(scale_ * std::max(1e-9, 1.0 - explained))};
}

}  // namespace attune
