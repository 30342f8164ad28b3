// The legal candidates of a space in a random order, each once, however large the space: a keyed permutation of the
// positions needs no memory.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/space.h"

namespace attune {

/// A pseudo-random permutation of [0, size): a Feistel network over the next power of four, walked until it lands
/// inside.
class Permutation {
  public:
    Permutation(std::uint64_t size, std::uint64_t seed);
    [[nodiscard]] std::uint64_t operator()(std::uint64_t position) const;

  private:
    static constexpr int kRounds = 6;
    std::uint64_t size_;
    unsigned half_bits_ = 1;
    std::array<std::uint64_t, kRounds> keys_{};
};

class RandomWalk {
  public:
    RandomWalk(const Space& space, std::uint64_t seed) : space_(space), order_(space.extent(), seed) {}

    /// The next legal candidate; nothing when all have been given, or when there are no more `steps` to find it, which
    /// are counted down.
    [[nodiscard]] std::optional<Candidate> next(std::uint64_t& steps);
    /// The same, however many steps it takes.
    [[nodiscard]] std::optional<Candidate> next() {
        std::uint64_t steps = UINT64_MAX;
        return next(steps);
    }

  private:
    const Space& space_;
    Permutation order_;
    std::uint64_t position_ = 0;
};

}  // namespace attune
