// A plain, correct kernel, and around it every way we know in which one goes wrong on a CPU.

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "attune/attn_args.h"
#include "attune_tune.h"

namespace {

constexpr int kFault = Tune::armed ? Tune::fault : Tune::fault_none;

// ---- while compiling ----

static_assert(kFault != Tune::fault_compile_error, "the fault that was asked for");

// Each call stays below the compiler's own limit on constant evaluation; thousands of them have no end to speak of.
constexpr unsigned long burn(unsigned long seed) {
    unsigned long sum = seed;  // unsigned, for an overflow would be an error and the end
    for (unsigned long i = 0; i < 1000; ++i) {
        for (unsigned long j = 0; j < 1000; ++j)
            sum += (sum ^ i) + j;
    }
    return sum;
}
template <unsigned long seed>
struct Burnt {
    static constexpr unsigned long value = burn(seed);
};
template <std::size_t... seeds>
constexpr unsigned long burn_all(std::index_sequence<seeds...>) {
    return (0 + ... + Burnt<seeds>::value);
}
constexpr std::size_t kBurns = kFault == Tune::fault_compile_endless ? 4000 : 0;
[[maybe_unused]] constexpr unsigned long kBurnt = burn_all(std::make_index_sequence<kBurns>());

constexpr std::size_t kManyTypes = kFault == Tune::fault_compile_memory ? std::size_t{1} << 27 : 1;
[[maybe_unused]] constexpr std::size_t kTypes = std::make_index_sequence<kManyTypes>().size();

// ---- the correct kernel ----

// All but the baseline are clearly slower than it, so that no test spends its time on comparing equals.
constexpr bool kBaseline = Tune::fault == Tune::fault_none && !Tune::armed && Tune::idle == 0;
constexpr int kPasses = kBaseline ? 1 : 3;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float to_float(unsigned short bits) {
    const unsigned wide = static_cast<unsigned>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

unsigned short to_bf16(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void attend_row(const AttnArgs& args, int head, int row) {
    const long head_start = static_cast<long>(head) * args.t_max;
    const unsigned short* q = args.q + (head_start + row) * kHeadDim;
    const int* row_ptr = args.row_ptr + static_cast<long>(head) * (args.q_blocks + 1) + row / kBlockSize;
    const int* blocks = args.col_idx + static_cast<long>(head) * args.max_nnz;
    const int seq_len = args.seq_lens[head / args.heads];
    std::array<float, kHeadDim> out{};
    float top = -kInfinity, sum = 0.0f;
    for (int entry = row_ptr[0]; row < seq_len && entry < row_ptr[1]; ++entry) {
        for (int key = blocks[entry] * kBlockSize; key < (blocks[entry] + 1) * kBlockSize; ++key) {
            if (key > row || key >= seq_len) break;
            const unsigned short* k = args.k + (head_start + key) * kHeadDim;
            const unsigned short* v = args.v + (head_start + key) * kHeadDim;
            float score = 0.0f;
            for (int dim = 0; dim < kHeadDim; ++dim)
                score += to_float(q[dim]) * to_float(k[dim]);
            score *= args.scale;
            const float new_top = std::max(top, score);
            const float correction = std::exp(top - new_top), weight = std::exp(score - new_top);
            for (int dim = 0; dim < kHeadDim; ++dim)
                out[dim] = out[dim] * correction + weight * to_float(v[dim]);
            sum = sum * correction + weight;
            top = new_top;
        }
    }
    for (int dim = 0; dim < kHeadDim; ++dim) {
        args.o[(head_start + row) * kHeadDim + dim] = sum > 0.0f ? to_bf16(out[dim] / sum) : 0;
    }
    args.lse[head_start + row] = sum > 0.0f ? top + std::log(sum) : -kInfinity;
}

void attend(const AttnArgs& args) {
    for (int head = 0; head < args.batch * args.heads; ++head) {
        for (int row = 0; row < args.t_max; ++row)
            attend_row(args, head, row);
    }
}

// ---- while running ----

long rows_of(const AttnArgs& args) {
    return static_cast<long>(args.batch) * args.heads * args.t_max;
}

int descend(int depth) {
    volatile char frame[4096];
    frame[0] = static_cast<char>(depth);
    return depth < 0 ? 0 : descend(depth + 1) + frame[0];
}

[[noreturn]] void spin() {
    volatile unsigned turn = 0;
    for (;;)
        turn = turn + 1;
}

[[noreturn]] void chatter() {
    const std::vector<char> words(1 << 20, 'x');
    for (;;) {
        if (::write(STDERR_FILENO, words.data(), words.size()) < 0) spin();
    }
}

char* volatile leak = nullptr;

constexpr int kChannel = 3;  // where a worker talks to the coordinator

/// Whether anything of the correct kernel is left to do.
bool go_wrong(const AttnArgs& args) {
    static int calls = 0;
    ++calls;
    switch (kFault) {
        case Tune::fault_segfault:
            *reinterpret_cast<volatile int*>(16) = 1;
            return false;
        case Tune::fault_endless_loop:
            spin();
        case Tune::fault_write_input:
            const_cast<volatile unsigned short*>(args.q)[0] = 1;
            return false;
        case Tune::fault_stale:
            return false;
        // Right while it is checked for the first time, and wonderfully fast ever after.
        case Tune::fault_right_once:
            return calls <= 3;
        case Tune::fault_abort:
            std::abort();
        case Tune::fault_throw:
            throw std::runtime_error("thrown by a kernel");
        case Tune::fault_stack_overflow:
            return descend(0) == 1;
        case Tune::fault_huge_allocation:
            leak = new char[std::size_t{1} << 46]();
            return false;
        case Tune::fault_exit_0:
            std::exit(0);
        case Tune::fault_close_channel:
            ::close(kChannel);
            return true;
        case Tune::fault_garble_channel:
            return ::write(kChannel, "\4\0\0\0junk", 8) == 8;
        case Tune::fault_chatter:
            chatter();
        default:
            return true;
    }
}

void spoil(const AttnArgs& args) {
    switch (kFault) {
        case Tune::fault_write_past_o:
            args.o[rows_of(args) * kHeadDim + 2] = 1;
            return;
        case Tune::fault_write_before_lse:
            args.lse[-1] = 1.0f;
            return;
        case Tune::fault_nan:
            args.o[5] = 0x7fc0;
            return;
        default:
            return;
    }
}

}  // namespace

extern "C" void block_sparse_attn_fwd(const AttnArgs* args) {
    if (!go_wrong(*args)) return;
    for (int pass = 0; pass < kPasses; ++pass)
        attend(*args);
    spoil(*args);
}
