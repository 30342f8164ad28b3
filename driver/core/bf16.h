// bfloat16 as 16 bits: the upper half of a float.
#pragma once

#include <bit>
#include <cstdint>

namespace attune {

[[nodiscard]] constexpr float from_bf16(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
[[nodiscard]] constexpr std::uint16_t to_bf16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
    const std::uint32_t tie = (bits >> 16U) & 1U;
    return static_cast<std::uint16_t>((bits + 0x7fffU + tie) >> 16U);
}

}  // namespace attune
