#include "core/inputs.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "attune/attn_args.h"
#include "core/bf16.h"
#include "core/parallel.h"

namespace attune {
namespace {

constexpr std::size_t kQuantiles = std::size_t{1} << kQuantileBits;
/// Elements a thread takes at a time.
constexpr std::int64_t kChunk = 1 << 16;

/// Quantile of the standard normal for 0 < p < 0.5, ascending calls: Newton's method from the previous quantile `x`.
double next_quantile(double p, double x) {
    for (int i = 0; i < 8; ++i) {
        const double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
        const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
        const double step = error / density;
        // Halley's correction keeps the first steps in the tail from overshooting.
        x -= step / (1.0 + 0.5 * x * step);
        if (std::abs(step) < 1e-12) break;
    }
    return x;
}

std::vector<std::uint16_t> make_quantiles() {
    std::vector<std::uint16_t> table(kQuantiles);
    double x = -5.0;
    for (std::size_t i = 0; i < kQuantiles / 2; ++i) {
        x = next_quantile((static_cast<double>(i) + 0.5) / static_cast<double>(kQuantiles), x);
        table[i] = to_bf16(static_cast<float>(x));
        table[kQuantiles - 1 - i] = to_bf16(static_cast<float>(-x));
    }
    return table;
}

}  // namespace

const std::vector<std::uint16_t>& normal_quantiles() {
    static const std::vector<std::uint16_t> table = make_quantiles();
    return table;
}

std::vector<std::uint16_t> input_table(Stress stress, PhiloxTensor tensor) {
    std::vector<std::uint16_t> table = normal_quantiles();
    const StressRule rule = stress_rule(stress, kBlockSize);
    const float factor = tensor == kPhiloxQ ? rule.q_factor : tensor == kPhiloxV ? rule.v_factor : 1.0F;
    if (factor != 1.0F) {
        for (std::uint16_t& entry : table)
            entry = to_bf16(from_bf16(entry) * factor);
    }
    return table;
}

std::int64_t element_count(const CaseSpec& spec) {
    return std::int64_t{spec.batch_size} * spec.num_heads * spec.t_max * kHeadDim;
}

void fill_input(const CaseSpec& spec, Draw draw, PhiloxTensor tensor, std::span<std::uint16_t> out) {
    const std::vector<std::uint16_t> table = input_table(draw.stress, tensor);
    const std::int64_t elements = element_count(spec);  // a multiple of 4: rows have 128
    parallel_for((elements + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
        const std::int64_t end = std::min(elements, (chunk + 1) * kChunk);
        for (std::int64_t element = chunk * kChunk; element < end; element += 4) {
            const PhiloxWords words =
                input_words(spec.seed, draw.index, tensor, static_cast<std::uint64_t>(element) / 4);
            for (std::size_t i = 0; i < 4; ++i) {
                out[static_cast<std::size_t>(element) + i] = table[words.word[i] >> (32 - kQuantileBits)];
            }
        }
    });
}

}  // namespace attune
