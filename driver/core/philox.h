// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), and how its words become the
// elements of Q, K and V. Includes nothing, so that NVRTC takes it too: host and device inputs are the same bits.
//
//   key     = {case seed low 32 bits, case seed high 32 bits}
//   counter = {element / 4 low 32 bits, element / 4 high 32 bits, draw, tensor}   tensor: q 0, k 1, v 2
//   word    = output[element % 4]
//   value   = table[word >> 12]                                                   table of 2^20 bf16, see inputs.h
//
// `element` is the C-order index into (batch, heads, t_max, 128).
#pragma once

namespace attune {

struct PhiloxWords {
    unsigned int word[4];
};

/// Which tensor's elements are drawn; the counter's last word.
enum PhiloxTensor : unsigned int { kPhiloxQ = 0, kPhiloxK = 1, kPhiloxV = 2 };

/// Bits of a word that index the quantile table, taken from its top.
constexpr int kQuantileBits = 20;

inline constexpr PhiloxWords philox4x32_10(PhiloxWords counter, unsigned int key0, unsigned int key1) {
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 = 0xD2511F53ULL * counter.word[0];
        const unsigned long long product1 = 0xCD9E8D57ULL * counter.word[2];
        counter = {
            {static_cast<unsigned int>(product1 >> 32) ^ counter.word[1] ^ key0, static_cast<unsigned int>(product1),
             static_cast<unsigned int>(product0 >> 32) ^ counter.word[3] ^ key1, static_cast<unsigned int>(product0)}};
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    return counter;
}

/// The words of elements 4 * group .. 4 * group + 3 of a tensor.
inline constexpr PhiloxWords input_words(unsigned long long seed, unsigned int draw, unsigned int tensor,
                                         unsigned long long group) {
    return philox4x32_10({{static_cast<unsigned int>(group), static_cast<unsigned int>(group >> 32), draw, tensor}},
                         static_cast<unsigned int>(seed), static_cast<unsigned int>(seed >> 32));
}

}  // namespace attune
