// The strategies by name; a new one is a file of its own, a line here and a line in strategies.cpp.
#pragma once

#include <cstdint>
#include <memory>

#include "search/strategy.h"

namespace attune {

[[nodiscard]] std::unique_ptr<Strategy> make_auto(const Space& space, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Strategy> make_model(const Space& space, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Strategy> make_hill_climb(const Space& space, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Strategy> make_simulated_annealing(const Space& space, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Strategy> make_genetic(const Space& space, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Strategy> make_random(const Space& space, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Strategy> make_exhaustive(const Space& space, std::uint64_t seed);

}  // namespace attune
