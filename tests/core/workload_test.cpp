// Masks and their generator against NumPy and against golden hashes of the public harness.
#include "core/workload.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/pcg64.h"
#include "core/sha256.h"

namespace attune {
namespace {

std::string hash_of(const std::vector<std::int32_t>& values) {
    return sha256_hex(std::as_bytes(std::span(values)));
}

nlohmann::json golden_suites() {
    std::ifstream file(ATTUNE_SOURCE_DIR "/tests/golden/masks.json");
    return nlohmann::json::parse(file).at("suites");
}

CaseSpec spec_of(const nlohmann::json& item) {
    CaseSpec spec;
    spec.case_id = item.at("case_id");
    const std::string family = item.at("family");
    for (const Family known : kFamilies) {
        if (to_string(known) == family) spec.family = known;
    }
    spec.batch_size = item.at("batch_size");
    spec.num_heads = item.at("num_heads");
    spec.t_max = item.at("t_max");
    spec.window_blocks = item.at("window_blocks");
    spec.global_blocks = item.at("global_blocks");
    spec.retrieval_blocks = item.at("retrieval_blocks");
    spec.retrieval_local_bias = item.at("retrieval_local_bias");
    spec.seq_len_min_ratio = item.at("seq_len_min_ratio");
    spec.seed = item.at("seed");
    return spec;
}

class GoldenMasks : public testing::TestWithParam<const char*> {};

TEST_P(GoldenMasks, AreBitIdenticalToTheHarness) {
    const nlohmann::json suite = golden_suites().at(GetParam());
    ASSERT_FALSE(suite.empty());
    for (const nlohmann::json& item : suite) {
        const CaseSpec spec = spec_of(item);
        SCOPED_TRACE(spec.case_id);
        const BlockMask mask = generate_mask(spec);
        EXPECT_EQ(mask.seq_lens, item.at("seq_lens").get<std::vector<std::int32_t>>());
        EXPECT_EQ(mask.nnz, item.at("nnz").get<std::int64_t>());
        EXPECT_EQ(mask.max_nnz, item.at("max_nnz").get<int>());
        EXPECT_DOUBLE_EQ(mask.density, item.at("density").get<double>());
        EXPECT_EQ(hash_of(mask.row_ptr), item.at("row_ptr_sha256").get<std::string>());
        EXPECT_EQ(hash_of(mask.col_idx), item.at("col_idx_sha256").get<std::string>());
        EXPECT_LE(mask.max_nnz, max_nnz_bound(spec));
        EXPECT_LE(generate_mask(spec, Stress::seq_len_t_max).max_nnz, max_nnz_bound(spec));
    }
}

INSTANTIATE_TEST_SUITE_P(Suites, GoldenMasks, testing::Values("smoke", "local-dev", "quick", "full", "broad"),
                         [](const auto& test) {
                             std::string name = test.param;
                             std::erase(name, '-');
                             return name;
                         });

// Expected values of the next tests were printed by NumPy 2.4.

TEST(NumpyRng, SeedSequenceSpreadsOneAndTwoWordSeeds) {
    EXPECT_EQ(seed_sequence_state(11),
              (std::array<std::uint32_t, 8>{1926383459U, 914257217U, 2880094716U, 681398388U, 4293933281U, 50091523U,
                                            1086536101U, 3623881545U}));
    EXPECT_EQ(seed_sequence_state(0x123456789abcdefULL),
              (std::array<std::uint32_t, 8>{3221299722U, 3682666272U, 3453484635U, 140759693U, 3687914490U, 294362282U,
                                            79785053U, 2828100111U}));
}

TEST(NumpyRng, RawStreamIsPcg64) {
    NumpyRng rng(0);
    for (const std::uint64_t expected :
         {11749869230777074271ULL, 4976686463289251617ULL, 755828109848996024ULL, 304881062738325533ULL})
        EXPECT_EQ(rng.next_uint64(), expected);
    NumpyRng wide(0xffffffffffffffffULL);
    for (const std::uint64_t expected :
         {12544278110101001871ULL, 15593249672699323225ULL, 136562751618339402ULL, 16501869284920798641ULL})
        EXPECT_EQ(wide.next_uint64(), expected);
}

TEST(NumpyRng, MixesDoublesWithBoundedIntegersOfEveryWidth) {
    NumpyRng rng(2026);
    EXPECT_EQ(rng.integers(0, 10), 8);
    EXPECT_EQ(rng.random(), 0.6399131657151546);
    EXPECT_EQ(rng.integers(5, 6), 5);
    EXPECT_EQ(rng.integers(0, 2147483647), 384259585);
    EXPECT_EQ(rng.integers(0, 4294967296), 1569714666);
    EXPECT_EQ(rng.integers(0, 4294967297), 1591287647);
    EXPECT_EQ(rng.integers(-100, 1000000000000), 354917334245);
    EXPECT_EQ(rng.integers(0, 10), 4);
    EXPECT_EQ(rng.random(), 0.790518245853265);
    EXPECT_EQ(rng.integers(5, 6), 5);
    EXPECT_EQ(rng.integers(0, 2147483647), 1512746413);
    EXPECT_EQ(rng.integers(0, 4294967296), 3887563176);
    EXPECT_EQ(rng.integers(0, 4294967297), 761726158);
    EXPECT_EQ(rng.integers(-100, 1000000000000), 652784802650);
    EXPECT_EQ(rng.integers(0, 10), 0);
    EXPECT_EQ(rng.random(), 0.9669622001623905);
    EXPECT_EQ(rng.integers(5, 6), 5);
    EXPECT_EQ(rng.integers(0, 2147483647), 640600314);
    EXPECT_EQ(rng.integers(0, 4294967296), 3126564465);
    EXPECT_EQ(rng.integers(0, 4294967297), 2731044308);
    EXPECT_EQ(rng.integers(-100, 1000000000000), 752732097054);
}

TEST(NumpyRng, RejectionKeepsBoundedDrawsExact) {
    // Two thirds of 2^32 and of 2^64: about every third draw is rejected.
    NumpyRng rng(7);
    for (const std::int64_t expected :
         std::initializer_list<std::int64_t>{2705557255, 1789843056, 2569002621, 1655831446, 2221029780, 2387002582,
                                             644838343, 859469584, 816235725, 2501255652, 15076206, 1431045267})
        EXPECT_EQ(rng.integers(0, 2863311531), expected);
    for (const std::int64_t expected : std::initializer_list<std::int64_t>{
             3653309149541393982, -394330479068873877, -3014571987484836022, -675442219310349386, 55933712652215486,
             657901308226198280, 1502539317749445924, 6013148471020638451, -3501085055772748133, 1383992852120766365,
             -5608523374604152132, -5710124710559756964}) {
        EXPECT_EQ(rng.integers(-6148914691236517205, 6148914691236517205), expected);
    }
}

TEST(Mask, ForcedSeqLenIsTheMaskOfThatSeqLen) {
    CaseSpec spec;
    spec.family = Family::sliding_window_retrieval;
    spec.batch_size = 2;
    spec.num_heads = 3;
    spec.t_max = 2048;
    spec.window_blocks = 2;
    spec.retrieval_blocks = 2;
    spec.seed = 5;
    const BlockMask full = generate_mask(spec, Stress::seq_len_t_max);
    const BlockMask cut = generate_mask(spec, Stress::seq_len_129);
    EXPECT_EQ(full.seq_lens, (std::vector<std::int32_t>{2048, 2048}));
    EXPECT_EQ(cut.seq_lens, (std::vector<std::int32_t>{129, 129}));
    // Two valid query blocks: {0}, {0, 1}, then nothing.
    for (std::size_t head = 0; head < 6; ++head) {
        const auto row_ptr = cut.row_ptr.begin() + static_cast<std::ptrdiff_t>(head * 17);
        EXPECT_EQ(std::vector<std::int32_t>(row_ptr, row_ptr + 4), (std::vector<std::int32_t>{0, 1, 3, 3}));
        EXPECT_EQ(row_ptr[16], 3);
    }
    EXPECT_EQ(cut.max_nnz, 3);
    // Full length: row 15 lists its window and two earlier blocks, ascending.
    EXPECT_EQ(full.row_ptr[16] - full.row_ptr[15], 4);
    EXPECT_TRUE(std::is_sorted(full.col_idx.begin() + full.row_ptr[15], full.col_idx.begin() + full.row_ptr[16]));
}

TEST(Mask, SeqLenNeverExceedsAShortTMax) {
    EXPECT_EQ(stress_rule(Stress::seq_len_129, 128).forced_seq_len, 128);
    EXPECT_EQ(stress_rule(Stress::seq_len_129, 256).forced_seq_len, 129);
    EXPECT_EQ(stress_rule(Stress::none, 256).forced_seq_len, 0);
}

TEST(Mask, GlobalBlocksInsideTheWindowAreListedOnce) {
    CaseSpec spec;
    spec.family = Family::sliding_window_global;
    spec.t_max = 640;
    spec.window_blocks = 2;
    spec.global_blocks = 2;
    spec.seq_len_min_ratio = 1.0;
    const BlockMask mask = generate_mask(spec);
    EXPECT_EQ(mask.row_ptr, (std::vector<std::int32_t>{0, 1, 3, 6, 10, 14}));
    EXPECT_EQ(mask.col_idx, (std::vector<std::int32_t>{0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 3, 4}));
}

}  // namespace
}  // namespace attune
