// The input generator: known vectors, the quantile table, and what a draw looks like.
#include "core/inputs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/bf16.h"
#include "core/sha256.h"

namespace attune {
namespace {

CaseSpec small_case() {
    CaseSpec spec;
    spec.batch_size = 1;
    spec.num_heads = 2;
    spec.t_max = 512;
    spec.window_blocks = 1;
    spec.seed = 11;
    return spec;
}

std::vector<std::uint16_t> draw_of(const CaseSpec& spec, Draw draw, PhiloxTensor tensor) {
    std::vector<std::uint16_t> values(static_cast<std::size_t>(element_count(spec)));
    fill_input(spec, draw, tensor, values);
    return values;
}

TEST(Philox, KnownAnswers) {  // kat_vectors of the Random123 distribution
    const auto expect = [](PhiloxWords counter, unsigned key0, unsigned key1, PhiloxWords words) {
        const PhiloxWords output = philox4x32_10(counter, key0, key1);
        for (int i = 0; i < 4; ++i)
            EXPECT_EQ(output.word[i], words.word[i]);
    };
    expect({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}});
    expect({{~0U, ~0U, ~0U, ~0U}}, ~0U, ~0U, {{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}});
    expect({{0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}}, 0xa4093822U, 0x299f31d0U,
           {{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}});
}

TEST(Bf16, RoundsToNearestEven) {
    EXPECT_EQ(to_bf16(1.0F), 0x3f80);
    EXPECT_EQ(to_bf16(1.00390625F), 0x3f80);  // a tie, the even neighbour is below
    EXPECT_EQ(to_bf16(1.01171875F), 0x3f82);  // a tie, the even neighbour is above
    EXPECT_EQ(to_bf16(1.00390637F), 0x3f81);  // just above a tie
    EXPECT_EQ(to_bf16(-0.0F), 0x8000);
    EXPECT_EQ(to_bf16(3.4e38F), 0x7f80);  // rounds up to infinity
    EXPECT_EQ(to_bf16(INFINITY), 0x7f80);
    EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0x7f800001U)))));
    for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
        EXPECT_EQ(to_bf16(from_bf16(static_cast<std::uint16_t>(bits))), bits);
    }
}

TEST(NormalQuantiles, MatchAnIndependentInverse) {
    const auto& table = normal_quantiles();
    ASSERT_EQ(table.size(), 1U << 20U);
    // Hash of the same table from Wichura's AS 241, as in Python's statistics.NormalDist.
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(table))),
              "d5d62a82bd3c97006b848fc95f46f231c2a0aeaf1809a84ecbf6052f0ff48b9d");
    for (std::size_t i = 0; i < table.size(); ++i) {
        ASSERT_EQ(from_bf16(table[i]), -from_bf16(table[table.size() - 1 - i]));
        ASSERT_GE(from_bf16(table[i]), from_bf16(table[i > 0 ? i - 1 : 0]));
    }
}

TEST(Inputs, AreStandardNormal) {
    for (const PhiloxTensor tensor : {kPhiloxQ, kPhiloxK, kPhiloxV}) {
        const auto values = draw_of(small_case(), {}, tensor);
        double moment[5] = {};
        for (const std::uint16_t bits : values) {
            const double x = from_bf16(bits);
            for (int power = 1; power <= 4; ++power)
                moment[power] += std::pow(x, power);
        }
        const auto n = static_cast<double>(values.size());  // 131072: standard errors are sqrt(1, 2, 15, 96) / 362
        EXPECT_NEAR(moment[1] / n, 0.0, 0.014);
        EXPECT_NEAR(moment[2] / n, 1.0, 0.02);
        EXPECT_NEAR(moment[3] / n, 0.0, 0.054);
        EXPECT_NEAR(moment[4] / n, 3.0, 0.14);
    }
}

TEST(Inputs, FollowTheStatedLayout) {
    CaseSpec spec = small_case();
    spec.seed = 0x0123456789abcdefULL;
    const auto values = draw_of(spec, {7, Stress::none}, kPhiloxV);
    for (const std::size_t element : {0U, 3U, 4U, 70001U, 131071U}) {
        const PhiloxWords words =
            philox4x32_10({{static_cast<unsigned>(element / 4), 0, 7, 2}}, 0x89abcdefU, 0x01234567U);
        EXPECT_EQ(values[element], normal_quantiles()[words.word[element % 4] >> 12U]);
    }
}

TEST(Inputs, DifferByTensorDrawAndSeed) {
    const CaseSpec spec = small_case();
    CaseSpec other = spec;
    other.seed = 12;
    const auto base = draw_of(spec, {}, kPhiloxQ);
    EXPECT_EQ(base, draw_of(spec, {}, kPhiloxQ));
    for (const auto& values :
         {draw_of(spec, {}, kPhiloxK), draw_of(spec, {1, Stress::none}, kPhiloxQ), draw_of(other, {}, kPhiloxQ)}) {
        const auto same = std::inner_product(base.begin(), base.end(), values.begin(), std::size_t{0}, std::plus<>(),
                                             [](std::uint16_t a, std::uint16_t b) { return a == b ? 1U : 0U; });
        EXPECT_LT(same, base.size() / 50);
    }
}

TEST(Inputs, StressScalesTheRightTensor) {
    const CaseSpec spec = small_case();
    const auto expect_scaled = [&](PhiloxTensor tensor, Stress stress, float factor) {
        const auto plain = draw_of(spec, {}, tensor);
        const auto stressed = draw_of(spec, {0, stress}, tensor);
        for (std::size_t i = 0; i < plain.size(); ++i) {
            ASSERT_EQ(stressed[i], to_bf16(from_bf16(plain[i]) * factor));
        }
    };
    expect_scaled(kPhiloxQ, Stress::peaked, 3.0F);
    expect_scaled(kPhiloxK, Stress::peaked, 1.0F);
    expect_scaled(kPhiloxV, Stress::peaked, 1.0F);
    expect_scaled(kPhiloxV, Stress::large_v, 64.0F);
    expect_scaled(kPhiloxQ, Stress::large_v, 1.0F);
    expect_scaled(kPhiloxQ, Stress::seq_len_1, 1.0F);
}

}  // namespace
}  // namespace attune
