// The driver's own kernels, run on the CPU against core's inputs, reference and comparison.
#include "backend/cuda_emulation.h"
// After the emulation: these are CUDA sources.
#include "backend/cuda/device_code/compare.cuh"
#include "backend/cuda/device_code/generate.cuh"
#include "backend/cuda/device_code/reference.cuh"

#include <gtest/gtest.h>

#include <limits>

#include "core/bf16.h"
#include "core/inputs.h"
#include "core/reference.h"

namespace attune {
namespace {

CaseSpec small_case(Family family) {
    CaseSpec spec;
    spec.case_id = "small";
    spec.family = family;
    spec.batch_size = 2;
    spec.num_heads = 1;
    spec.t_max = 256;
    spec.window_blocks = 2;
    spec.global_blocks = family == Family::sliding_window_global ? 1 : 0;
    spec.seq_len_min_ratio = 0.4;
    spec.seed = 11;
    return spec;
}

/// A draw of a case on the host, with the kernels' outputs.
struct Problem {
    CaseSpec spec;
    BlockMask mask;
    std::vector<std::uint16_t> q, k, v, o;
    std::vector<float> lse;

    Problem(const CaseSpec& of, Draw draw) : spec(of), mask(generate_mask(of, draw.stress)) {
        const auto elements = static_cast<std::size_t>(element_count(spec));
        for (auto* tensor : {&q, &k, &v})
            tensor->resize(elements);
        fill_input(spec, draw, kPhiloxQ, q);
        fill_input(spec, draw, kPhiloxK, k);
        fill_input(spec, draw, kPhiloxV, v);
        o.assign(elements, 0xffff);
        lse.assign(elements / kHeadDim, std::numeric_limits<float>::quiet_NaN());
    }
    [[nodiscard]] AttentionInputs inputs() const {
        return {spec.batch_size, spec.num_heads, spec.t_max,   mask.max_nnz, q, k, v,
                mask.row_ptr,    mask.col_idx,   mask.seq_lens};
    }
    [[nodiscard]] AttnArgs args() {
        AttnArgs args{};
        args.q = q.data();
        args.k = k.data();
        args.v = v.data();
        args.o = o.data();
        args.lse = lse.data();
        args.row_ptr = mask.row_ptr.data();
        args.col_idx = mask.col_idx.data();
        args.seq_lens = mask.seq_lens.data();
        args.batch = spec.batch_size;
        args.heads = spec.num_heads;
        args.t_max = spec.t_max;
        args.q_blocks = spec.t_max / kBlockSize;
        args.max_nnz = mask.max_nnz;
        args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(kHeadDim)));
        return args;
    }
    void run_reference() {
        emulation::launch(&attune_reference,
                          {static_cast<unsigned>(spec.t_max / kTileRows), static_cast<unsigned>(spec.num_heads),
                           static_cast<unsigned>(spec.batch_size)},
                          args());
    }
};

TEST(CudaGenerate, BitsAreThoseOfTheCpu) {
    const CaseSpec spec = small_case(Family::sliding_window);
    for (const Stress stress : {Stress::none, Stress::peaked, Stress::large_v}) {
        for (const PhiloxTensor tensor : {kPhiloxQ, kPhiloxK, kPhiloxV}) {
            const Draw draw{7, stress};
            std::vector<std::uint16_t> expected(static_cast<std::size_t>(element_count(spec)));
            fill_input(spec, draw, tensor, expected);
            const std::vector<std::uint16_t> table = input_table(stress, tensor);
            std::vector<std::uint16_t> drawn(expected.size());
            emulation::launch(&attune_generate, {3, 1, 1},
                              GenerateArgs{drawn.data(), table.data(), static_cast<long long>(drawn.size() / 4),
                                           spec.seed, draw.index, tensor});
            EXPECT_EQ(drawn, expected) << to_string(stress) << " tensor " << tensor;
        }
    }
}

struct ReferenceCase {
    Family family;
    Stress stress;
};

class CudaReference : public testing::TestWithParam<ReferenceCase> {};

TEST_P(CudaReference, AgreesWithTheCpu) {
    Problem problem(small_case(GetParam().family), {0, GetParam().stress});
    problem.run_reference();
    const AttentionOutput expected = reference_attention(problem.inputs());
    const StressRule rule = stress_rule(GetParam().stress, problem.spec.t_max);
    const CheckReport report = compare_attention(problem.inputs(), problem.o, problem.lse, expected, rule);
    EXPECT_TRUE(report.passed) << report.detail;
    // Far better than a candidate must be: a reference near the tolerance would decide verdicts by itself.
    EXPECT_LT(report.lse_worst_ratio, 0.2);
    EXPECT_LT(report.o_worst_ratio, 0.8);  // one step of bf16, where fp32 and double round differently
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaReference,
                         testing::Values(ReferenceCase{Family::sliding_window, Stress::none},
                                         ReferenceCase{Family::sliding_window, Stress::peaked},
                                         ReferenceCase{Family::sliding_window, Stress::large_v},
                                         ReferenceCase{Family::sliding_window_global, Stress::seq_len_1},
                                         ReferenceCase{Family::sliding_window_global, Stress::seq_len_129}));

TEST(CudaReference, SkipsBlocksThatAreListedButOutOfReach) {
    CaseSpec spec = small_case(Family::sliding_window);
    spec.batch_size = 1;
    Problem problem(spec, {0, Stress::seq_len_127});
    // Both rows list both blocks: above the diagonal and past seq_len they do not count.
    problem.mask.max_nnz = 4;
    problem.mask.row_ptr = {0, 2, 4};
    problem.mask.col_idx = {0, 1, 0, 1};
    problem.run_reference();
    const AttentionOutput expected = reference_attention(problem.inputs());
    const CheckReport report = compare_attention(problem.inputs(), problem.o, problem.lse, expected, {});
    EXPECT_TRUE(report.passed) << report.detail;
}

/// Outputs that match, to be spoilt.
class CudaCompare : public testing::Test {
  protected:
    static constexpr std::size_t kRows = 128;
    std::vector<std::uint16_t> o = std::vector<std::uint16_t>(kRows * kHeadDim, to_bf16(0.5F));
    std::vector<std::uint16_t> o_reference = o;
    std::vector<float> lse = std::vector<float>(kRows, 3.0F);
    std::vector<float> lse_reference = lse;

    CompareResult compare() {
        constexpr unsigned long long kNone = ~0ULL;
        CompareResult result{{0, 0, 0, kNone}, {0, 0, 0, kNone}};
        emulation::launch(&attune_compare, {2, 1, 1},
                          CompareArgs{o.data(), o_reference.data(), lse.data(), lse_reference.data(), &result, kRows,
                                      1e-3F, 1e-2F, 1e-5F, 1e-5F});
        return result;
    }
};

TEST_F(CudaCompare, EqualOutputsPass) {
    const CompareResult result = compare();
    EXPECT_EQ(result.o.bad_elements + result.lse.bad_elements, 0U);
    EXPECT_EQ(result.o.max_abs_error_bits, 0U);
    EXPECT_EQ(result.o.first_bad, ~0ULL);
}

TEST_F(CudaCompare, FindsTheFirstElementOutOfTolerance) {
    o[700] = to_bf16(0.53F);
    o[70] = to_bf16(0.48F);
    o[7] = to_bf16(0.504F);  // allowed: 0.001 + 0.005
    const CompareResult result = compare();
    EXPECT_EQ(result.o.bad_elements, 2U);
    EXPECT_EQ(result.o.first_bad, 70U);
    EXPECT_NEAR(std::bit_cast<float>(result.o.max_abs_error_bits), 0.03F, 0.003F);
    EXPECT_NEAR(std::bit_cast<float>(result.o.worst_ratio_bits), 0.03F / 0.006F, 0.5F);
    EXPECT_EQ(result.lse.bad_elements, 0U);
}

TEST_F(CudaCompare, NanNeverPasses) {
    o[5] = 0x7fc0;
    lse[9] = std::numeric_limits<float>::quiet_NaN();
    const CompareResult result = compare();
    EXPECT_EQ(result.o.bad_elements, 1U);
    EXPECT_EQ(result.o.first_bad, 5U);
    EXPECT_EQ(result.lse.bad_elements, 1U);
    EXPECT_EQ(result.lse.first_bad, 9U);
    EXPECT_TRUE(std::isinf(std::bit_cast<float>(result.lse.worst_ratio_bits)));
}

TEST_F(CudaCompare, InfinitiesMatchInPlaceAndSign) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const std::size_t row : {1U, 2U, 3U}) {
        lse_reference[row] = -infinity;
        for (std::size_t d = 0; d < kHeadDim; ++d)
            o[row * kHeadDim + d] = o_reference[row * kHeadDim + d] = 0;
    }
    lse[1] = -infinity;
    lse[2] = infinity;
    lse[3] = 3.0F;
    lse[4] = -infinity;
    const CompareResult result = compare();
    EXPECT_EQ(result.lse.bad_elements, 3U);
    EXPECT_EQ(result.lse.first_bad, 2U);
    EXPECT_EQ(result.o.bad_elements, 0U);
}

TEST_F(CudaCompare, RowsWithoutKeysAreExactlyZero) {
    lse[6] = lse_reference[6] = -std::numeric_limits<float>::infinity();
    for (std::size_t d = 0; d < kHeadDim; ++d)
        o[6 * kHeadDim + d] = o_reference[6 * kHeadDim + d] = 0;
    o[6 * kHeadDim + 2] = 0x8000;  // -0 is zero
    o[6 * kHeadDim + 3] = to_bf16(1e-5F);
    const CompareResult result = compare();
    EXPECT_EQ(result.o.bad_elements, 1U);
    EXPECT_EQ(result.o.first_bad, 6U * kHeadDim + 3U);
}

TEST(CudaGuards, CountsDamagedWords) {
    std::vector<unsigned> band(1000, 0xabcdU);
    std::vector<unsigned> hurt = band;
    hurt[0] = 0;
    hurt[999] = 1;
    unsigned damaged = 0;
    emulation::launch(&attune_guards, {2, 1, 1},
                      GuardArgs{{band.data(), hurt.data(), band.data(), hurt.data()}, 1000, 0xabcdU, &damaged});
    EXPECT_EQ(damaged, 4U);
}

TEST(CudaChecksum, ChangesWithEveryWordAndTheirOrder) {
    std::vector<unsigned> words(1000);
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = static_cast<unsigned>(i * i);
    const auto checksum = [&words] {
        unsigned long long sum = 0;
        emulation::launch(&attune_checksum, {2, 1, 1},
                          ChecksumArgs{words.data(), static_cast<long long>(words.size()), &sum});
        return sum;
    };
    const unsigned long long whole = checksum();
    EXPECT_EQ(checksum(), whole);
    std::swap(words[3], words[800]);
    EXPECT_NE(checksum(), whole);
    std::swap(words[3], words[800]);
    words[999] ^= 1U;
    EXPECT_NE(checksum(), whole);
    words[999] ^= 1U;
    words[0] = 1;
    EXPECT_NE(checksum(), whole);
}

}  // namespace
}  // namespace attune
