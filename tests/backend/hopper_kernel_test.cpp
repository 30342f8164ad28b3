// The Hopper template run whole on the CPU: its own sources, compiled by the system compiler with the instructions of
// tests/backend/hopper in the place of PTX. So warps, rings, barriers, swizzles and the order of everything are the
// kernel's own; what is not seen here is the compiler of the device, and time.
#include <gtest/gtest.h>

#include <fstream>
#include <numbers>
#include <random>

#include "config/template.h"
#include "core/bf16.h"
#include "core/inputs.h"
#include "core/reference.h"
#include "core/shell.h"
#include "core/target.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

/// Inputs of a call, small enough to be computed twice on a CPU.
struct Call {
    int batch, heads, t_max;
    std::vector<std::int32_t> seq_lens, row_ptr{}, col_idx{};
    int max_nnz = 1;
    std::vector<std::uint16_t> q{}, k{}, v{};

    [[nodiscard]] int q_blocks() const { return t_max / kBlockSize; }
    [[nodiscard]] AttentionInputs inputs() const {
        return {batch, heads, t_max, max_nnz, q, k, v, row_ptr, col_idx, seq_lens};
    }
};

/// `listed(query block, key block)` decides, drawn anew for every (batch, head).
template <class Listed>
Call make_call(int batch, int heads, int t_max, std::vector<std::int32_t> seq_lens, Listed listed) {
    Call call{batch, heads, t_max, std::move(seq_lens)};
    std::vector<std::vector<std::int32_t>> lists;
    for (int bh = 0; bh < batch * heads; ++bh) {
        std::vector<std::int32_t>& list = lists.emplace_back();
        call.row_ptr.push_back(0);
        for (int row = 0; row < call.q_blocks(); ++row) {
            const bool live = row * kBlockSize < call.seq_lens[static_cast<std::size_t>(bh / heads)];
            for (int block = 0; live && block < call.q_blocks(); ++block) {
                if (listed(row, block)) list.push_back(block);
            }
            call.row_ptr.push_back(static_cast<std::int32_t>(list.size()));
        }
        call.max_nnz = std::max(call.max_nnz, static_cast<int>(list.size()));
    }
    for (auto& list : lists) {
        list.resize(static_cast<std::size_t>(call.max_nnz));
        call.col_idx.insert(call.col_idx.end(), list.begin(), list.end());
    }
    CaseSpec spec;
    spec.batch_size = batch;
    spec.num_heads = heads;
    spec.t_max = t_max;
    spec.seed = 7;
    for (const auto& [which, tensor] : {std::pair(kPhiloxQ, &call.q), {kPhiloxK, &call.k}, {kPhiloxV, &call.v}}) {
        tensor->resize(static_cast<std::size_t>(element_count(spec)));
        fill_input(spec, {}, which, *tensor);
    }
    return call;
}

Call window_call() {
    return make_call(1, 2, 768, {700}, [](int row, int block) { return block <= row && block > row - 4; });
}

/// Rows without a block, without their diagonal block, with blocks above it; seq_lens at and around a block's end.
Call odd_call() {
    return make_call(3, 2, 384, {1, 129, 384}, [random = std::mt19937(3)](int row, int block) mutable {
        return row % 3 != 1 && random() % 8 < (block == row ? 5 : 4);
    });
}

/// Lists longer than a warp, of which each lane keeps one block at a time.
Call long_call() {
    return make_call(1, 1, 36 * kBlockSize, {36 * kBlockSize - 1},
                     [](int row, int block) { return block <= row && (row >= 34 || block == row); });
}

template <class T>
void write(std::ofstream& file, const std::vector<T>& values) {
    file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
}

/// The kernel of one candidate.
class EmulatedKernel {
  public:
    /// `knobs` over the template's defaults; `flags` for the compiler.
    explicit EmulatedKernel(const std::string& knobs, const std::string& flags = "") {
        const KernelTemplate kernel = load_template(ATTUNE_SOURCE_DIR "/kernel_templates/sm90_ws");
        const TargetFacts target = target_facts("sm_90a");
        const Space space = kernel.space(target);
        const Candidate candidate = space.parse(knobs, space.defaults());
        EXPECT_TRUE(space.legal(candidate)) << kernel.violated(candidate, target);
        for (const SourceFile& file : kernel.source_bundle(candidate)) {
            fs::create_directories((folder_.path() / file.name).parent_path());
            std::ofstream(folder_.path() / file.name) << file.text;
        }
        for (const char* instructions : {"ptx.cuh", "wgmma.cuh"})
            fs::copy_file(fs::path(kSources) / instructions, folder_.path() / instructions,
                          fs::copy_options::overwrite_existing);
        const Ran built = shell(fmt::format(
            "{} -std=c++20 -O1 -w -pthread {} -I{} -I{}/driver -I{}/tests {}/run.cpp -o {}", ATTUNE_CXX, flags,
            folder_.path().string(), ATTUNE_SOURCE_DIR, ATTUNE_SOURCE_DIR, kSources, program().string()));
        EXPECT_EQ(built.code, 0) << built.err;
    }

    /// Runs it on `blocks` CTAs, one after the other, and compares with the reference.
    void check(const Call& call, int blocks) const {
        const fs::path problem = folder_.path() / "problem", result = folder_.path() / "result";
        {
            std::ofstream file(problem, std::ios::binary);
            write(file, std::vector<int>{call.batch, call.heads, call.t_max, call.max_nnz});
            for (const auto* tensor : {&call.q, &call.k, &call.v})
                write(file, *tensor);
            for (const auto* list : {&call.row_ptr, &call.col_idx, &call.seq_lens})
                write(file, *list);
        }
        // ThreadSanitizer needs its memory map where it expects it, which address randomisation may prevent.
        const Ran ran = shell(fmt::format("if setarch -R true; then run='setarch -R'; fi; $run {} {} {} {}",
                                          program().string(), problem.string(), result.string(), blocks));
        if (ran.err.find("unexpected memory mapping") != std::string::npos) GTEST_SKIP() << ran.err;
        ASSERT_EQ(ran.code, 0) << ran.err;

        std::vector<std::uint16_t> o(call.q.size());
        std::vector<float> lse(o.size() / kHeadDim);
        unsigned counter = 1;
        std::ifstream file(result, std::ios::binary);
        file.read(reinterpret_cast<char*>(o.data()), static_cast<std::streamsize>(o.size() * sizeof o[0]));
        file.read(reinterpret_cast<char*>(lse.data()), static_cast<std::streamsize>(lse.size() * sizeof lse[0]));
        file.read(reinterpret_cast<char*>(&counter), sizeof counter);
        const CheckReport report = compare_attention(call.inputs(), o, lse, reference_attention(call.inputs()), {});
        EXPECT_TRUE(report.passed) << report.detail << "; worst error of o over tolerance " << report.o_worst_ratio;
        EXPECT_EQ(counter, 0U) << "the next call would begin with a later task";
    }

  private:
    static constexpr const char* kSources = ATTUNE_SOURCE_DIR "/tests/backend/hopper";
    [[nodiscard]] fs::path program() const { return folder_.path() / "run"; }

    TempFolder folder_;
};

class HopperKernel : public testing::TestWithParam<const char*> {};

TEST_P(HopperKernel, AgreesWithTheReference) {
    const EmulatedKernel kernel(GetParam());
    const std::string knobs = GetParam();
    // A grid that does not draw has a CTA a task.
    const bool grid = knobs.find("schedule=grid") != std::string::npos;
    kernel.check(window_call(), grid ? 12 : 2);
    kernel.check(odd_call(), grid ? 18 : 3);
    kernel.check(long_call(), grid ? 36 : 5);
}

INSTANTIATE_TEST_SUITE_P(
    Knobs, HopperKernel,
    testing::Values("", "meet=1,diagonal_skip=1,tail_blocks=0",
                    "tile_n=64,k_stages=5,v_stages=5,diagonal_skip=1,draw_after=4",
                    "consumers=1,tile_n=64,pingpong=0,k_stages=2,epilogue=direct",
                    "overlap=0,pingpong=0,order=in_order,schedule=static,rescale=always,q_stages=1",
                    "order=longest_first,p_mode=hilo,o_buffer=own,q_stages=1,k_stages=2,meet=2,rescale=lazy",
                    "p_mode=fp16_convert,rescale=lazy,q_in_registers=1,schedule=grid"));

/// A race of the emulation is one of the kernel: its barriers order what they order on a device, and nothing more.
TEST(HopperRaces, ThreadSanitizerFindsNone) {
    const EmulatedKernel kernel("", "-g -fsanitize=thread");
    kernel.check(window_call(), 2);
    kernel.check(odd_call(), 3);
}

/// Where rows of `hilo_span` blocks and fewer see their first keys, the rounding errors of P must count: here the
/// values of half of block 0's keys cancel those of the other half, and leave little but such errors.
TEST(HopperPrecision, TheLeftEndOfShortRowsCountsRoundingErrors) {
    Call call = make_call(1, 1, 512, {512}, [](int row, int block) { return block <= row; });
    const float score = 0.3F, p = std::exp(-score);
    for (int token = 0; token < call.t_max; ++token) {
        for (int i = 0; i < kHeadDim; ++i) {
            const auto at = static_cast<std::size_t>(token * kHeadDim + i);
            const bool odd = token % 2 == 1, first_block = token < kBlockSize;
            call.q[at] = to_bf16(i == 0 ? 1.F : 0.F);
            call.k[at] = to_bf16(i == 0 && odd ? -score * std::sqrt(static_cast<float>(kHeadDim)) : 0.F);
            call.v[at] = to_bf16(!first_block ? 0.F : odd ? 64.F : -64.F * p);
        }
    }
    EmulatedKernel("").check(call, 1);
}

/// The reference is the largest score of a task's first tile, wherever it stands there: the probabilities relative to
/// it are 1 and 1.5 / 64 here, which bf16 holds, and o is what is left where their values cancel. Relative to another
/// reference the two round differently.
TEST(HopperPrecision, TheLargestScoreOfTheFirstTileIsExact) {
    Call call = make_call(1, 1, 768, {768}, [](int row, int) { return row == 5; });
    const double score_of_one = 1.0 / (std::sqrt(static_cast<double>(kHeadDim)) * std::numbers::ln2);  // in log2
    // A key's score comes from two elements, for one bf16 is too coarse.
    const auto put = [&](int token, double log2_p, float v) {
        const auto at = static_cast<std::size_t>(token) * kHeadDim;
        const std::uint16_t coarse = to_bf16(static_cast<float>(log2_p / score_of_one));
        call.k[at] = coarse;
        call.k[at + 1] = to_bf16(static_cast<float>(log2_p / score_of_one - from_bf16(coarse)));
        std::fill_n(call.v.begin() + static_cast<std::ptrdiff_t>(at), kHeadDim, to_bf16(v));
    };
    std::fill(call.k.begin(), call.k.end(), to_bf16(0.F));
    std::fill(call.q.begin(), call.q.end(), to_bf16(0.F));
    for (int token = 0; token < call.t_max; ++token) {
        call.q[static_cast<std::size_t>(token) * kHeadDim] = call.q[static_cast<std::size_t>(token) * kHeadDim + 1] =
            to_bf16(1.F);
        put(token, -30.0, 0.F);
    }
    const int first_tile = 4 * kBlockSize;  // where query blocks 4 to 7 begin
    put(first_tile, -3.3, 0.F);             // the largest of the first 64 keys
    put(first_tile + 100, 0.0, 6.F);
    for (int i = 64; i < 96; ++i)
        put(first_tile + i, std::log2(1.5 / 64), -8.F);
    EmulatedKernel("").check(call, 1);
}

}  // namespace
}  // namespace attune
