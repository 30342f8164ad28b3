// Guard bands: memory beside a variant's buffers that it must leave alone.
#pragma once

#include <cstddef>

namespace attune::cuda {

/// More than a 128 x 128 tile of bf16 and a wide miss beside it.
inline constexpr std::size_t kGuardBytes = 64 * 1024;
inline constexpr std::size_t kGuardWords = kGuardBytes / sizeof(unsigned);
/// No bf16 or float a kernel is likely to write: its halves are enormous and tiny.
inline constexpr unsigned kGuardPattern = 0x7d2bf19eU;

}  // namespace attune::cuda
