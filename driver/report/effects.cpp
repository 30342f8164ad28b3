#include "report/effects.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

namespace attune {
namespace {

constexpr double kPriorDeviation = 0.3;  // of an effect, in logs
constexpr double kLeastNoise = 1e-4;     // keeps the fit defined when the model explains everything
constexpr int kNoiseRounds = 6;
constexpr double kNormal95 = 1.959964;

/// Dense symmetric positive definite matrix: Cholesky, and the inverse out of it.
class Matrix {
  public:
    explicit Matrix(std::size_t size) : size_(size), cells_(size * size, 0.0) {}
    double& at(std::size_t row, std::size_t column) { return cells_[row * size_ + column]; }
    [[nodiscard]] double at(std::size_t row, std::size_t column) const { return cells_[row * size_ + column]; }
    [[nodiscard]] std::size_t size() const { return size_; }

    [[nodiscard]] Matrix inverse() const {
        const Matrix lower = cholesky();
        Matrix result(size_);
        std::vector<double> x(size_);
        for (std::size_t unit = 0; unit < size_; ++unit) {
            for (std::size_t i = 0; i < size_; ++i) {
                double sum = i == unit ? 1.0 : 0.0;
                for (std::size_t j = 0; j < i; ++j)
                    sum -= lower.at(i, j) * x[j];
                x[i] = sum / lower.at(i, i);
            }
            for (std::size_t i = size_; i-- > 0;) {
                double sum = x[i];
                for (std::size_t j = i + 1; j < size_; ++j)
                    sum -= lower.at(j, i) * x[j];
                x[i] = sum / lower.at(i, i);
            }
            for (std::size_t i = 0; i < size_; ++i)
                result.at(i, unit) = x[i];
        }
        return result;
    }

  private:
    [[nodiscard]] Matrix cholesky() const {
        Matrix lower(size_);
        for (std::size_t i = 0; i < size_; ++i) {
            for (std::size_t j = 0; j <= i; ++j) {
                double sum = at(i, j);
                for (std::size_t k = 0; k < j; ++k)
                    sum -= lower.at(i, k) * lower.at(j, k);
                lower.at(i, j) = i == j ? std::sqrt(sum) : sum / lower.at(j, j);
            }
        }
        return lower;
    }
    std::size_t size_;
    std::vector<double> cells_;
};

/// One column of the model for each value that is not the best kernel's; column 0 is the constant.
struct Columns {
    std::map<std::pair<std::string, std::string>, std::size_t> index;
    std::vector<int> results{0};
};

Columns make_columns(const std::vector<Observation>& observations,
                     const std::vector<std::pair<std::string, std::string>>& best) {
    Columns columns;
    for (const Observation& observation : observations) {
        for (const auto& setting : observation.settings) {
            if (std::find(best.begin(), best.end(), setting) != best.end()) continue;
            const auto [found, added] = columns.index.try_emplace(setting, columns.results.size());
            if (added) columns.results.push_back(0);
            ++columns.results[found->second];
        }
    }
    return columns;
}

std::vector<std::size_t> active_columns(const Observation& observation, const Columns& columns) {
    std::vector<std::size_t> active{0};
    for (const auto& setting : observation.settings) {
        if (const auto found = columns.index.find(setting); found != columns.index.end())
            active.push_back(found->second);
    }
    return active;
}

struct Fit {
    std::vector<double> mean;
    std::vector<double> deviation;
    double noise = 0.0;
};

Fit fit(const std::vector<std::vector<std::size_t>>& rows, const std::vector<double>& logs, std::size_t size) {
    Matrix gram(size);
    std::vector<double> moment(size, 0.0);
    double center = 0.0;
    for (const double value : logs)
        center += value / static_cast<double>(logs.size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
        for (const std::size_t a : rows[row]) {
            moment[a] += logs[row] - center;
            for (const std::size_t b : rows[row])
                gram.at(a, b) += 1.0;
        }
    }
    Fit result{std::vector<double>(size, 0.0), std::vector<double>(size, 0.0), kPriorDeviation};
    // The prior's weight depends on the noise and the noise on the fit: a few rounds settle both.
    for (int round = 0; round < kNoiseRounds; ++round) {
        Matrix penalised = gram;
        const double weight = std::pow(result.noise / kPriorDeviation, 2);
        for (std::size_t i = 1; i < size; ++i)
            penalised.at(i, i) += weight;
        penalised.at(0, 0) += 1e-9;
        const Matrix covariance = penalised.inverse();
        double freedom = static_cast<double>(rows.size());
        for (std::size_t i = 0; i < size; ++i) {
            result.mean[i] = 0.0;
            for (std::size_t j = 0; j < size; ++j)
                result.mean[i] += covariance.at(i, j) * moment[j];
            freedom -= i == 0 ? 1.0 : 1.0 - weight * covariance.at(i, i);
        }
        double squares = 0.0;
        for (std::size_t row = 0; row < rows.size(); ++row) {
            double rest = logs[row] - center;
            for (const std::size_t a : rows[row])
                rest -= result.mean[a];
            squares += rest * rest;
        }
        result.noise = std::max(kLeastNoise, std::sqrt(squares / std::max(1.0, freedom)));
        for (std::size_t i = 0; i < size; ++i)
            result.deviation[i] = result.noise * std::sqrt(covariance.at(i, i));
    }
    return result;
}

ValueEffect effect_of(const std::string& value, double mean, double deviation, int results) {
    return {value, std::expm1(mean), std::expm1(mean - kNormal95 * deviation), std::expm1(mean + kNormal95 * deviation),
            results};
}

}  // namespace

Effects knob_effects(const std::vector<Observation>& observations,
                     const std::vector<std::pair<std::string, std::string>>& best) {
    Effects effects;
    effects.results = static_cast<int>(observations.size());
    const Columns columns = make_columns(observations, best);
    if (effects.results < kFewestResults || columns.index.empty()) return effects;

    std::vector<std::vector<std::size_t>> rows;
    std::vector<double> logs;
    for (const Observation& observation : observations) {
        rows.push_back(active_columns(observation, columns));
        logs.push_back(std::log(observation.time));
    }
    const Fit model = fit(rows, logs, columns.results.size());
    effects.unexplained = std::expm1(model.noise);
    for (const auto& [name, best_value] : best) {
        KnobEffect knob{name, best_value, {}, 0.0};
        double low = 0.0, high = 0.0;
        for (const auto& [setting, column] : columns.index) {
            if (setting.first != name) continue;
            knob.values.push_back(
                effect_of(setting.second, model.mean[column], model.deviation[column], columns.results[column]));
            low = std::min(low, model.mean[column]);
            high = std::max(high, model.mean[column]);
        }
        if (knob.values.empty()) continue;
        knob.spread = std::expm1(high - low);
        std::ranges::sort(knob.values, {}, &ValueEffect::share);
        effects.knobs.push_back(std::move(knob));
    }
    std::ranges::stable_sort(effects.knobs, std::ranges::greater{}, &KnobEffect::spread);
    return effects;
}

}  // namespace attune
