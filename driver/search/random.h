// Randomness that is the same on every machine: the standard's engines are, its distributions are not.
#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace attune {

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}

    /// Uniform in [0, count); count > 0.
    [[nodiscard]] std::uint64_t below(std::uint64_t count) {
        // Rejects the incomplete last stretch of the 64-bit range, which would favour small numbers.
        const std::uint64_t excess = (UINT64_MAX % count + 1) % count;
        std::uint64_t draw = engine_();
        while (draw > UINT64_MAX - excess)
            draw = engine_();
        return draw % count;
    }
    /// Uniform in [0, 1).
    [[nodiscard]] double unit() { return static_cast<double>(engine_() >> 11U) * 0x1p-53; }

    template <class T>
    void shuffle(std::vector<T>& items) {
        for (std::size_t i = items.size(); i > 1; --i)
            std::swap(items[i - 1], items[below(i)]);
    }
    template <class T>
    [[nodiscard]] const T& pick(const std::vector<T>& items) {
        return items[below(items.size())];
    }

  private:
    std::mt19937_64 engine_;
};

}  // namespace attune
