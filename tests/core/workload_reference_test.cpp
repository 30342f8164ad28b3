// The reference against cases worked out by hand, and the comparison every verdict rests on.
#include "core/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/bf16.h"
#include "core/inputs.h"

namespace attune {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
const double kScale = 1.0 / std::sqrt(128.0);

/// One batch and head; every element of q, k and v zero until set.
struct Problem {
    explicit Problem(int query_blocks, int seq_len, std::vector<std::int32_t> starts, std::vector<std::int32_t> columns)
        : t_max(query_blocks * kBlockSize), row_ptr(std::move(starts)), col_idx(std::move(columns)), seq_lens{seq_len} {
        q.resize(static_cast<std::size_t>(t_max) * kHeadDim);
        k = v = q;
    }
    static std::uint16_t& at(std::vector<std::uint16_t>& tensor, int token, int dim) {
        return tensor[static_cast<std::size_t>(token * kHeadDim + dim)];
    }
    void set(std::vector<std::uint16_t>& tensor, int token, int dim, float value) {
        at(tensor, token, dim) = to_bf16(value);
    }
    [[nodiscard]] AttentionInputs inputs() const {
        return {1, 1, t_max, static_cast<int>(col_idx.size()), q, k, v, row_ptr, col_idx, seq_lens};
    }
    [[nodiscard]] ReferenceRow row(int token) const {
        return reference_rows(inputs(), std::array{RowAddress{0, 0, token}}).front();
    }

    int t_max;
    std::vector<std::uint16_t> q, k, v;
    std::vector<std::int32_t> row_ptr, col_idx, seq_lens;
};

TEST(Reference, OneKeyGivesItsValueAndItsScore) {
    Problem problem(1, 1, {0, 1}, {0});
    problem.set(problem.q, 0, 5, 2.0F);
    problem.set(problem.k, 0, 5, 3.0F);
    problem.set(problem.v, 0, 7, -1.5F);
    const ReferenceRow row = problem.row(0);
    EXPECT_DOUBLE_EQ(row.lse, 6.0 * kScale);
    EXPECT_DOUBLE_EQ(row.o[7], -1.5);
    EXPECT_DOUBLE_EQ(row.o[6], 0.0);
}

TEST(Reference, TwoKeysAreWeighedBySoftmax) {
    Problem problem(1, 2, {0, 1}, {0});
    problem.set(problem.q, 1, 0, 1.0F);
    problem.set(problem.k, 0, 0, 8.0F);
    problem.set(problem.k, 1, 0, -4.0F);
    problem.set(problem.v, 0, 0, 1.0F);
    problem.set(problem.v, 1, 0, 3.0F);
    const ReferenceRow row = problem.row(1);
    const double a = std::exp(8.0 * kScale);
    const double b = std::exp(-4.0 * kScale);
    EXPECT_NEAR(row.lse, std::log(a + b), 1e-14);
    EXPECT_NEAR(row.o[0], (a + 3.0 * b) / (a + b), 1e-14);
}

TEST(Reference, DiagonalIsCausal) {
    Problem problem(1, 128, {0, 1}, {0});
    for (int token = 0; token < 128; ++token)
        problem.set(problem.v, token, 0, static_cast<float>(token));
    // All scores are 0: row i is the mean of 0..i over i + 1 keys.
    for (const int token : {0, 1, 64, 127}) {
        EXPECT_NEAR(problem.row(token).o[0], token / 2.0, 1e-12);
        EXPECT_NEAR(problem.row(token).lse, std::log(token + 1.0), 1e-12);
    }
}

TEST(Reference, LowerBlocksAreAttendedWhole) {
    Problem problem(2, 256, {0, 1, 3}, {0, 0, 1});
    EXPECT_NEAR(problem.row(128).lse, std::log(129.0), 1e-12);
    EXPECT_NEAR(problem.row(255).lse, std::log(256.0), 1e-12);
}

TEST(Reference, RowWithoutListedBlocksIsEmpty) {
    Problem problem(2, 256, {0, 1, 1}, {0});
    problem.set(problem.v, 0, 0, 9.0F);
    const ReferenceRow row = problem.row(200);
    EXPECT_EQ(row.lse, -std::numeric_limits<double>::infinity());
    EXPECT_EQ(row.o[0], 0.0);
}

TEST(Reference, RowsAtOrPastSeqLenAreEmpty) {
    Problem problem(2, 200, {0, 1, 3}, {0, 0, 1});
    EXPECT_NEAR(problem.row(199).lse, std::log(200.0), 1e-12);
    EXPECT_EQ(problem.row(200).lse, -std::numeric_limits<double>::infinity());
}

TEST(Reference, ListedBlocksOutOfReachAreIgnored) {
    // Row block 1 lists block 2 (above the diagonal) and, with seq_len 129, block 1 holds one key.
    Problem above(3, 384, {0, 1, 3, 3}, {0, 1, 2});
    EXPECT_NEAR(above.row(255).lse, std::log(128.0), 1e-12);
    // Row block 1 of a call whose seq_len ends in block 0 has no valid row at all.
    Problem beyond(2, 100, {0, 1, 3}, {0, 0, 1});
    EXPECT_EQ(beyond.row(128).lse, -std::numeric_limits<double>::infinity());
}

TEST(Reference, WholeCallAgreesWithItsRowsAndThreads) {
    CaseSpec spec;
    spec.family = Family::sliding_window_retrieval;
    spec.batch_size = 2;
    spec.num_heads = 2;
    spec.t_max = 512;
    spec.window_blocks = 1;
    spec.retrieval_blocks = 1;
    spec.seed = 3;
    const BlockMask mask = generate_mask(spec);
    std::vector<std::uint16_t> q(static_cast<std::size_t>(element_count(spec)));
    std::vector<std::uint16_t> k(q.size());
    std::vector<std::uint16_t> v(q.size());
    fill_input(spec, {}, kPhiloxQ, q);
    fill_input(spec, {}, kPhiloxK, k);
    fill_input(spec, {}, kPhiloxV, v);
    const AttentionInputs inputs{2, 2, 512, mask.max_nnz, q, k, v, mask.row_ptr, mask.col_idx, mask.seq_lens};
    const AttentionOutput whole = reference_attention(inputs);
    EXPECT_EQ(whole.o, reference_attention(inputs, 1).o);

    std::vector<RowAddress> addresses;
    for (const int token : {0, 127, 128, 300, 320, 511})
        addresses.push_back({1, 1, token});
    const auto rows = reference_rows(inputs, addresses);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto row = static_cast<std::size_t>(3 * 512 + addresses[i].token);
        EXPECT_EQ(whole.lse[row], static_cast<float>(rows[i].lse));
        for (std::size_t dim = 0; dim < 128; ++dim) {
            EXPECT_EQ(whole.o[row * 128 + dim], to_bf16(static_cast<float>(rows[i].o[dim])));
        }
    }
}

/// A correct output of 128 rows, 100 of them valid, to be spoilt by each test.
class Comparison : public testing::Test {
  protected:
    Comparison() : problem_(1, 100, {0, 1}, {0}) {
        for (int token = 0; token < 128; ++token)
            problem_.set(problem_.v, token, 3, 1.0F);
        reference_ = reference_attention(problem_.inputs());
        o_ = reference_.o;
        lse_ = reference_.lse;
    }
    [[nodiscard]] CheckReport compare(Stress stress = Stress::none) const {
        return compare_attention(problem_.inputs(), o_, lse_, reference_, stress_rule(stress, 128));
    }
    Problem problem_;
    AttentionOutput reference_;
    std::vector<std::uint16_t> o_;
    std::vector<float> lse_;
};

TEST_F(Comparison, AcceptsTheReferenceItself) {
    const CheckReport report = compare();
    EXPECT_TRUE(report.passed);
    EXPECT_EQ(report.detail, "");
    EXPECT_EQ(report.o_worst_ratio, 0.0);
    EXPECT_EQ(report.lse_max_abs_error, 0.0);
}

TEST_F(Comparison, MeasuresErrorsAgainstTheTolerance) {
    o_[50 * 128 + 3] = to_bf16(1.0078125F);  // allowed: 1e-3 + 1e-2
    CheckReport report = compare();
    EXPECT_TRUE(report.passed);
    EXPECT_NEAR(report.o_max_abs_error, 0.0078125, 1e-9);
    EXPECT_NEAR(report.o_worst_ratio, 0.0078125 / 0.011, 1e-6);
    o_[50 * 128 + 3] = to_bf16(1.015625F);
    report = compare();
    EXPECT_FALSE(report.passed);
    EXPECT_EQ(report.o_bad_elements, 1);
    EXPECT_EQ(report.lse_bad_elements, 0);
    EXPECT_THAT(report.detail, AllOf(HasSubstr("o at batch 0, head 0, row 50"), HasSubstr("column 3"),
                                     HasSubstr("got 1.015625, expected 1")));
}

TEST_F(Comparison, LseIsHeldTighter) {
    lse_[1] += 3e-5F;
    const CheckReport report = compare();
    EXPECT_FALSE(report.passed);
    EXPECT_EQ(report.lse_bad_elements, 1);
    EXPECT_THAT(report.detail, HasSubstr("lse at batch 0, head 0, row 1 "));
}

TEST_F(Comparison, NanNeverPasses) {
    o_[0] = 0x7fc0;
    EXPECT_FALSE(compare().passed);
    o_ = reference_.o;
    lse_[127] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_FALSE(compare().passed);
}

TEST_F(Comparison, InfinitiesMatchInPlaceAndSign) {
    lse_[127] = kInf;
    EXPECT_FALSE(compare().passed);
    lse_[127] = -1e30F;
    EXPECT_FALSE(compare().passed);
    lse_ = reference_.lse;
    lse_[5] = -kInf;
    EXPECT_FALSE(compare().passed);
    lse_ = reference_.lse;
    o_[7 * 128] = 0x7f80;
    EXPECT_FALSE(compare().passed);
}

TEST_F(Comparison, RowsPastSeqLenMustBeExactlyZero) {
    o_[100 * 128] = to_bf16(1e-5F);  // far below atol
    const CheckReport report = compare();
    EXPECT_FALSE(report.passed);
    EXPECT_THAT(report.detail, HasSubstr("expected 0 exactly"));
    o_[100 * 128] = 0x8000;  // -0
    EXPECT_TRUE(compare().passed);
}

TEST_F(Comparison, LargeVWidensOnlyTheAbsoluteTolerance) {
    o_[50 * 128 + 4] = to_bf16(0.05F);
    EXPECT_FALSE(compare().passed);
    EXPECT_TRUE(compare(Stress::large_v).passed);
    lse_[1] += 3e-5F;
    EXPECT_FALSE(compare(Stress::large_v).passed);
}

}  // namespace
}  // namespace attune
