// NumPy's default_rng, bit for bit: SeedSequence, PCG64 (XSL-RR 128/64) and the bounded integers of Generator.
//
// Masks must equal those of the public harness, so this follows NumPy where a generator of our own would be simpler:
// 32-bit draws take the low half of a 64-bit output and keep the high half for the next one; `integers` uses 32-bit
// draws whenever the range fits. Sources: NumPy's SeedSequence (after O'Neill's randutils), PCG64 (O'Neill, "PCG",
// HMC-CS-2014-0905), Lemire, "Fast Random Integer Generation in an Interval", 2019.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace attune {

/// `numpy.random.default_rng(seed)`.
class NumpyRng {
  public:
    explicit NumpyRng(std::uint64_t seed);

    /// The raw stream.
    [[nodiscard]] std::uint64_t next_uint64();
    [[nodiscard]] std::uint32_t next_uint32();
    /// `Generator.random()`: [0, 1), 53 bits.
    [[nodiscard]] double random();
    /// `Generator.integers(low, high)` of dtype int64 (also that of int32 where both ends fit); `high` is excluded and
    /// greater than `low`. `Generator.choice(pool)` is `pool[integers(0, len(pool))]`.
    [[nodiscard]] std::int64_t integers(std::int64_t low, std::int64_t high);

  private:
    using Uint128 = unsigned __int128;

    void step();
    [[nodiscard]] std::uint32_t bounded32(std::uint32_t range);
    [[nodiscard]] std::uint64_t bounded64(std::uint64_t range);

    Uint128 state_ = 0;
    Uint128 increment_ = 0;
    std::optional<std::uint32_t> spare_;
};

/// `numpy.random.SeedSequence(entropy).generate_state(8)`.
[[nodiscard]] std::array<std::uint32_t, 8> seed_sequence_state(std::uint64_t entropy);

}  // namespace attune
