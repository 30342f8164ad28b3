// The Hopper kernel of one candidate, run on the CPU: run PROBLEM RESULT BLOCKS. The template's files are compiled with
// ptx.cuh and wgmma.cuh of this folder in the place of their own. PROBLEM holds four 32-bit numbers (batch, heads,
// t_max, max_nnz), then q, k, v, row_ptr, col_idx, seq_lens; RESULT gets o, lse and the workspace's first word.
#include "attune_tune.h"
#define EMULATED_THREADS Tune::threads
#include "backend/cuda_emulation.h"
// After the emulation: this is a CUDA source.
#include "kernel.cu"

#include <fstream>

namespace {

template <class T>
std::vector<T> read(std::ifstream& file, std::size_t count) {
    std::vector<T> values(count);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
    return values;
}
template <class T>
void write(std::ofstream& file, const std::vector<T>& values) {
    file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
}

}  // namespace

int main(int, char** arguments) {
    std::ifstream problem(arguments[1], std::ios::binary);
    const std::vector<int> shape = read<int>(problem, 4);
    const int batch = shape[0], heads = shape[1], t_max = shape[2], max_nnz = shape[3], q_blocks = t_max / kBlockSize;
    const auto bh = static_cast<std::size_t>(batch * heads), rows = bh * static_cast<std::size_t>(t_max);
    auto q = read<u16>(problem, rows * kHeadDim), k = read<u16>(problem, rows * kHeadDim);
    auto v = read<u16>(problem, rows * kHeadDim);
    const auto row_ptr = read<int>(problem, bh * static_cast<std::size_t>(q_blocks + 1));
    const auto col_idx = read<int>(problem, bh * static_cast<std::size_t>(max_nnz));
    const auto seq_lens = read<int>(problem, static_cast<std::size_t>(batch));
    std::vector<u16> o(rows * kHeadDim, 0xffff);
    std::vector<float> lse(rows, not_a_number());
    std::vector<unsigned> workspace(64);

    AttnArgs args{};
    const emulation::TensorMap maps[] = {{reinterpret_cast<unsigned char*>(q.data()), kRowsPerWarpgroup, t_max},
                                         {reinterpret_cast<unsigned char*>(k.data()), kTileN, t_max},
                                         {reinterpret_cast<unsigned char*>(v.data()), kTileN, t_max},
                                         {reinterpret_cast<unsigned char*>(o.data()), kRowsPerWarpgroup, t_max}};
    for (std::size_t i = 0; i < std::size(maps); ++i)
        std::memcpy(&args.maps[i], &maps[i], sizeof maps[i]);
    args.q = q.data(), args.k = k.data(), args.v = v.data(), args.o = o.data(), args.lse = lse.data();
    args.row_ptr = row_ptr.data(), args.col_idx = col_idx.data(), args.seq_lens = seq_lens.data();
    args.workspace = workspace.data();
    args.batch = batch, args.heads = heads, args.t_max = t_max, args.q_blocks = q_blocks, args.max_nnz = max_nnz;
    args.scale = 1 / std::sqrt(static_cast<float>(kHeadDim));
    emulation::watch_for_hangs();
    emulation::launch(&attn_fwd, {static_cast<unsigned>(std::atoi(arguments[3])), 1, 1}, args,
                      &emulation::reset_named_barriers);

    std::ofstream result(arguments[2], std::ios::binary);
    write(result, o);
    write(result, lse);
    write(result, std::vector<unsigned>{workspace[0]});
    return 0;
}
