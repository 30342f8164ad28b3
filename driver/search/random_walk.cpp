#include "search/random_walk.h"

namespace attune {
namespace {

/// splitmix64's finaliser.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EB;
    return value ^ (value >> 31U);
}

}  // namespace

Permutation::Permutation(std::uint64_t size, std::uint64_t seed) : size_(size) {
    while (half_bits_ < 32 && (std::uint64_t{1} << (2 * half_bits_)) < size_)
        ++half_bits_;
    for (std::uint64_t& key : keys_)
        key = mix(seed += 0x9E3779B97F4A7C15);
}

std::uint64_t Permutation::operator()(std::uint64_t position) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    do {
        std::uint64_t left = position >> half_bits_;
        std::uint64_t right = position & mask;
        for (const std::uint64_t key : keys_) {
            const std::uint64_t next = left ^ (mix(right ^ key) & mask);
            left = right;
            right = next;
        }
        position = (left << half_bits_) | right;
    } while (position >= size_);
    return position;
}

std::optional<Candidate> RandomWalk::next(std::uint64_t& steps) {
    Candidate candidate;
    while (position_ < space_.extent() && steps > 0) {
        --steps;
        space_.visit(order_(position_++), candidate);
        if (space_.legal(candidate)) return candidate;
    }
    return std::nullopt;
}

}  // namespace attune
