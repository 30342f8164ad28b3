// The gate: a kernel's output against the reference (reference.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/bf16.h"
#include "core/reference.h"

namespace attune {
namespace {

struct Deviation {
    double error = 0.0;
    double ratio = 0.0;  ///< of the error to what is allowed; passes at <= 1
};

constexpr Deviation kHopeless{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};

Deviation deviation(double actual, double expected, double atol, double rtol) {
    if (std::isnan(actual) || std::isnan(expected)) return kHopeless;
    if (std::isinf(actual) || std::isinf(expected)) return actual == expected ? Deviation{} : kHopeless;
    const double error = std::abs(actual - expected);
    return {error, error / (atol + rtol * std::abs(expected))};
}

/// Worst case so far of one tensor.
struct Tally {
    double max_error = 0.0;
    double worst_ratio = 0.0;
    std::int64_t bad = 0;

    /// Whether the element is within tolerance.
    bool add(const Deviation& deviation) {
        max_error = std::max(max_error, deviation.error);
        worst_ratio = std::max(worst_ratio, deviation.ratio);
        if (deviation.ratio <= 1.0) return true;
        ++bad;
        return false;
    }
};

std::string place(const AttentionInputs& inputs, std::size_t row) {
    const auto t_max = static_cast<std::size_t>(inputs.t_max);
    const auto heads = static_cast<std::size_t>(inputs.heads);
    const std::size_t batch = row / t_max / heads;
    return fmt::format("batch {}, head {}, row {} (seq_len {})", batch, row / t_max % heads, row % t_max,
                       inputs.seq_lens[batch]);
}

}  // namespace

CheckReport compare_attention(const AttentionInputs& inputs, std::span<const std::uint16_t> o,
                              std::span<const float> lse, const AttentionOutput& reference, const StressRule& rule) {
    constexpr std::size_t kDim = kHeadDim;
    const double o_atol = double{kOutputTolerance.atol} * double{rule.atol_factor};
    CheckReport report;
    Tally o_tally;
    Tally lse_tally;
    for (std::size_t row = 0; row < reference.lse.size(); ++row) {
        const float expected_lse = reference.lse[row];
        if (!lse_tally.add(deviation(lse[row], expected_lse, kLseTolerance.atol, kLseTolerance.rtol)) &&
            report.detail.empty()) {
            report.detail = fmt::format("lse at {}: got {}, expected {}", place(inputs, row), lse[row], expected_lse);
        }
        const bool must_be_zero = std::isinf(expected_lse);
        for (std::size_t i = row * kDim; i < (row + 1) * kDim; ++i) {
            const float actual = from_bf16(o[i]);
            const float expected = from_bf16(reference.o[i]);
            Deviation found = deviation(actual, expected, o_atol, kOutputTolerance.rtol);
            if (must_be_zero && actual != 0.0F) found.ratio = kHopeless.ratio;
            if (!o_tally.add(found) && report.detail.empty()) {
                report.detail = fmt::format("o at {}, column {}: got {}, expected {}{}", place(inputs, row), i % kDim,
                                            actual, expected, must_be_zero ? " exactly" : "");
            }
        }
    }
    report.o_max_abs_error = o_tally.max_error;
    report.o_worst_ratio = o_tally.worst_ratio;
    report.o_bad_elements = o_tally.bad;
    report.lse_max_abs_error = lse_tally.max_error;
    report.lse_worst_ratio = lse_tally.worst_ratio;
    report.lse_bad_elements = lse_tally.bad;
    report.passed = o_tally.bad == 0 && lse_tally.bad == 0;
    return report;
}

}  // namespace attune
