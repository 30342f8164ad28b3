// Cases and their sparsity masks (docs/operator.md).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

enum class Family { sliding_window, sliding_window_global, sliding_window_retrieval };

inline constexpr std::array kFamilies{Family::sliding_window, Family::sliding_window_global,
                                      Family::sliding_window_retrieval};

[[nodiscard]] std::string_view to_string(Family family);

/// One case of a suite, with the fields, defaults and meaning of the public Attention Kernel Challenge harness.
struct CaseSpec {
    std::string case_id;
    Family family = Family::sliding_window;
    int batch_size = 1;
    int num_heads = 1;
    int t_max = 0;  ///< tokens; a multiple of 128
    int window_blocks = 0;
    int global_blocks = 0;
    int retrieval_blocks = 0;
    double retrieval_local_bias = 0.7;
    double seq_len_min_ratio = 0.625;
    std::uint64_t seed = 0;
    std::string profile = "smoke";

    friend bool operator==(const CaseSpec&, const CaseSpec&) = default;
};

/// A named list of cases; every family that scores has at least one.
struct Suite {
    std::string name;
    std::vector<CaseSpec> cases;
};

/// The block-sparse mask of a case. Layouts are those of AttnArgs: seq_lens (batch), row_ptr (batch, heads,
/// q_blocks + 1), col_idx (batch, heads, max_nnz), all C order.
struct BlockMask {
    int max_nnz = 0;
    std::int64_t nnz = 0;  ///< listed blocks over all (batch, head)
    double density = 0.0;  ///< mean over (batch, head) of listed blocks / valid blocks squared, as the harness has it
    std::vector<std::int32_t> seq_lens;
    std::vector<std::int32_t> row_ptr;
    std::vector<std::int32_t> col_idx;
};

/// Inputs outside the plain domain, checked on every variant but never deciding its verdict.
enum class Stress { none, peaked, large_v, seq_len_1, seq_len_127, seq_len_128, seq_len_129, seq_len_t_max };

inline constexpr std::array kStresses{Stress::peaked,       Stress::large_v,     Stress::seq_len_1,
                                      Stress::seq_len_127,  Stress::seq_len_128, Stress::seq_len_129,
                                      Stress::seq_len_t_max};

[[nodiscard]] std::string_view to_string(Stress stress);

/// Which inputs a check uses: the `index`-th draw of Q, K, V of a case, under a stress.
struct Draw {
    std::uint32_t index = 0;
    Stress stress = Stress::none;
};

/// What a stress does to a case: the factors on q and v, the seq_len it forces (0: the case's own) and the absolute
/// tolerance's factor.
struct StressRule {
    float q_factor = 1.0F;
    float v_factor = 1.0F;
    int forced_seq_len = 0;  ///< clamped to t_max
    float atol_factor = 1.0F;
};
[[nodiscard]] StressRule stress_rule(Stress stress, int t_max);

/// The mask of `spec`, bit-identical to the harness's generator (NumPy's default_rng). A stress that forces seq_len
/// gives the mask the harness would draw for those seq_lens; its max_nnz may exceed the plain mask's.
[[nodiscard]] BlockMask generate_mask(const CaseSpec& spec, Stress stress = Stress::none);

/// At least the max_nnz of every mask of `spec`, whatever the stress: what workspace and grid are planned for.
[[nodiscard]] int max_nnz_bound(const CaseSpec& spec);

/// Tolerances of the contract: |a - b| <= atol + rtol * |b|.
struct Tolerance {
    float atol;
    float rtol;
};
inline constexpr Tolerance kOutputTolerance{1e-3F, 1e-2F};
inline constexpr Tolerance kLseTolerance{1e-5F, 1e-5F};

}  // namespace attune
