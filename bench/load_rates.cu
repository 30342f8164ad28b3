// Tiles loaded by TMA into a ring of shared memory, and nothing done with them (load_rates.cpp). One warp a CTA.
//
// Of AttnArgs: maps[0] has boxes of 128 x 64 over q_blocks tiles of 128 x 128, the rows of one head. At lse every CTA
// writes two numbers: cycles from its start until its first tile had arrived, and until all had.
#include "attune/attn_args.h"
#include "ptx.cuh"
#include "settings.h"

constexpr int kBoxColumns = 64;
constexpr u32 kBoxBytes = kBlockSize * kBoxColumns * sizeof(u16);
constexpr u32 kTileBytes = kHeadDim / kBoxColumns * kBoxBytes;

DEVICE u32 cycle() {
    u32 now;
    asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
    return now;
}

/// kStages tiles, then a barrier for each, in dynamic shared memory.
struct Ring {
    u32 base;

    DEVICE u32 tile(int i) const { return base + i % kStages * kTileBytes; }
    DEVICE u32 barrier(int i) const { return base + kStages * kTileBytes + i % kStages * sizeof(u64); }

    DEVICE void init() const {
        for (int i = 0; i < kStages; ++i)
            barrier_init(barrier(i), 1);
        barrier_init_fence();
    }
    /// Starts the load of `tile_index` as the ring's i-th.
    DEVICE void load(const AttnArgs& args, int i, int tile_index) const {
        barrier_arrive_expect(barrier(i), kTileBytes);
        for (int box = 0; box < kHeadDim / kBoxColumns; ++box) {
            tma_load(tile(i) + box * kBoxBytes, &args.maps[0], barrier(i), box * kBoxColumns, tile_index * kBlockSize,
                     0);
        }
    }
    DEVICE void wait(int i) const { barrier_wait(barrier(i), i / kStages % 2); }
};

/// Loads `count` tiles, of which tile_of(i) is the i-th: a new one as soon as the oldest in the ring has arrived.
template <class TileOf>
DEVICE void play(const AttnArgs& args, int count, TileOf tile_of) {
    const u32 start = cycle();
    extern __shared__ __align__(1024) unsigned char memory[];
    const Ring ring{shared_address(memory)};
    if (!elect_one()) return;
    ring.init();
    u32 first = 0;
    for (int i = 0; i < kStages && i < count; ++i)
        ring.load(args, i, tile_of(i));
    for (int i = 0; i < count; ++i) {
        ring.wait(i);
        if (i == 0) first = cycle() - start;
        if (i + kStages < count) ring.load(args, i + kStages, tile_of(i + kStages));
    }
    args.lse[2 * blockIdx.x] = first;
    args.lse[2 * blockIdx.x + 1] = cycle() - start;
}

extern "C" __global__ void __launch_bounds__(kWarp) load_nothing(const __grid_constant__ AttnArgs) {}

/// All tiles, dealt round robin.
extern "C" __global__ void __launch_bounds__(kWarp) load_dealt(const __grid_constant__ AttnArgs args) {
    const int cta = blockIdx.x, ctas = gridDim.x;
    play(args, (args.q_blocks - cta + ctas - 1) / ctas, [=](int i) { return cta + i * ctas; });
}

/// All tiles kRepeat times in every CTA. Each begins at another, so that no line is asked for by all of them at once.
extern "C" __global__ void __launch_bounds__(kWarp) load_repeated(const __grid_constant__ AttnArgs args) {
    const int tiles = args.q_blocks, begin = blockIdx.x * tiles / gridDim.x;
    play(args, kRepeat * tiles, [=](int i) { return (begin + i) % tiles; });
}
