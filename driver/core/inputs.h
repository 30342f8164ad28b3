// Q, K and V of a draw: standard normal, rounded to bf16, the same bits on host and device (core/philox.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/philox.h"
#include "core/workload.h"

namespace attune {

/// Entry i is the quantile of the standard normal at (i + 0.5) / 2^20, rounded to nearest even: 2^20 bf16 bit patterns,
/// computed once. Antisymmetric, +-4.9 at the ends. A device uploads it and looks its inputs up.
[[nodiscard]] const std::vector<std::uint16_t>& normal_quantiles();

/// The table of a tensor under a stress: every quantile times the stress's factor in fp32, rounded to nearest even.
/// That is the same as scaling the elements, and spares the generator a factor.
[[nodiscard]] std::vector<std::uint16_t> input_table(Stress stress, PhiloxTensor tensor);

/// Elements of one of q, k, v: batch * heads * t_max * 128.
[[nodiscard]] std::int64_t element_count(const CaseSpec& spec);

/// Writes `tensor` of a draw of a case to `out`, which has element_count(spec) elements. Uses all hardware threads.
void fill_input(const CaseSpec& spec, Draw draw, PhiloxTensor tensor, std::span<std::uint16_t> out);

}  // namespace attune
