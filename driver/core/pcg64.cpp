#include "core/pcg64.h"

#include <bit>
#include <limits>

namespace attune {
namespace {

constexpr std::uint32_t kMixShift = 16;

/// A hash whose constant changes with every call, by a factor of its own.
class HashMix {
  public:
    constexpr HashMix(std::uint32_t constant, std::uint32_t factor) : constant_(constant), factor_(factor) {}

    std::uint32_t operator()(std::uint32_t value) {
        value ^= constant_;
        constant_ *= factor_;
        value *= constant_;
        return value ^ (value >> kMixShift);
    }

  private:
    std::uint32_t constant_;
    std::uint32_t factor_;
};

std::uint32_t mix(std::uint32_t x, std::uint32_t y) {
    const std::uint32_t value = 0xca01f9ddU * x - 0x4973f715U * y;
    return value ^ (value >> kMixShift);
}

}  // namespace

std::array<std::uint32_t, 8> seed_sequence_state(std::uint64_t entropy) {
    // A 64-bit seed is at most two words of entropy; the pool's other words are hashed zeros either way.
    std::array<std::uint32_t, 4> pool{static_cast<std::uint32_t>(entropy), static_cast<std::uint32_t>(entropy >> 32U)};
    HashMix hash_entropy(0x43b0d7e5U, 0x931e8875U);
    for (std::uint32_t& word : pool)
        word = hash_entropy(word);
    for (std::size_t source = 0; source < pool.size(); ++source) {
        for (std::size_t target = 0; target < pool.size(); ++target) {
            if (source != target) pool[target] = mix(pool[target], hash_entropy(pool[source]));
        }
    }
    HashMix hash_state(0x8b51f9ddU, 0x58f38dedU);
    std::array<std::uint32_t, 8> state{};
    for (std::size_t i = 0; i < state.size(); ++i)
        state[i] = hash_state(pool[i % pool.size()]);
    return state;
}

NumpyRng::NumpyRng(std::uint64_t seed) {
    const auto words = seed_sequence_state(seed);
    // Pairs of words are little-endian 64-bit numbers; pairs of those are 128-bit numbers, high half first.
    const auto wide = [&words](std::size_t i) {
        const auto half = [&words](std::size_t j) { return words[j] | (std::uint64_t{words[j + 1]} << 32U); };
        return (Uint128{half(i)} << 64U) | half(i + 2);
    };
    increment_ = (wide(4) << 1U) | 1U;
    step();
    state_ += wide(0);
    step();
}

void NumpyRng::step() {
    constexpr Uint128 kMultiplier = (Uint128{0x2360ed051fc65da4U} << 64U) | 0x4385df649fccf645U;
    state_ = state_ * kMultiplier + increment_;
}

std::uint64_t NumpyRng::next_uint64() {
    step();
    const auto high = static_cast<std::uint64_t>(state_ >> 64U);
    return std::rotr(high ^ static_cast<std::uint64_t>(state_), static_cast<int>(high >> 58U));
}

std::uint32_t NumpyRng::next_uint32() {
    if (spare_) {
        const std::uint32_t value = *spare_;
        spare_.reset();
        return value;
    }
    const std::uint64_t value = next_uint64();
    spare_ = static_cast<std::uint32_t>(value >> 32U);
    return static_cast<std::uint32_t>(value);
}

double NumpyRng::random() {
    return static_cast<double>(next_uint64() >> 11U) * 0x1p-53;
}

std::uint32_t NumpyRng::bounded32(std::uint32_t range) {
    if (range == std::numeric_limits<std::uint32_t>::max()) return next_uint32();
    const std::uint32_t count = range + 1;
    const std::uint32_t threshold = (std::numeric_limits<std::uint32_t>::max() - range) % count;
    std::uint64_t product = 0;
    do {
        product = std::uint64_t{next_uint32()} * count;
    } while (static_cast<std::uint32_t>(product) < threshold);
    return static_cast<std::uint32_t>(product >> 32U);
}

std::uint64_t NumpyRng::bounded64(std::uint64_t range) {
    if (range == std::numeric_limits<std::uint64_t>::max()) return next_uint64();
    const std::uint64_t count = range + 1;
    const std::uint64_t threshold = (std::numeric_limits<std::uint64_t>::max() - range) % count;
    Uint128 product = 0;
    do {
        product = Uint128{next_uint64()} * count;
    } while (static_cast<std::uint64_t>(product) < threshold);
    return static_cast<std::uint64_t>(product >> 64U);
}

std::int64_t NumpyRng::integers(std::int64_t low, std::int64_t high) {
    const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) - 1;
    if (range == 0) return low;  // NumPy draws nothing then
    const std::uint64_t offset = range <= std::numeric_limits<std::uint32_t>::max()
                                     ? bounded32(static_cast<std::uint32_t>(range))
                                     : bounded64(range);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + offset);
}

}  // namespace attune
