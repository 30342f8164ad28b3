// Enough of CUDA to run a kernel's source on the CPU, one block at a time: every thread of the block is a thread of the
// host, so that a missing __syncthreads is a race here too (and one that ThreadSanitizer finds). For kernels whose
// barriers and shuffles are reached by all threads of a block. Include it before the kernels, in one source file only.
#pragma once

#include <array>
#include <atomic>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __grid_constant__
#define __launch_bounds__(threads)

namespace emulation {

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

constexpr unsigned kThreads = 256;
constexpr unsigned kWarp = 32;

struct Block {
    std::barrier<> all{kThreads};
    std::array<std::unique_ptr<std::barrier<>>, kThreads / kWarp> warps;
    /// Two turns, so that one barrier a shuffle is enough: who writes a turn again has seen all read it.
    std::array<std::array<std::uint64_t, kThreads>, 2> exchanged{};
    Block() {
        for (auto& warp : warps)
            warp = std::make_unique<std::barrier<>>(kWarp);
    }
};

inline thread_local Block* current = nullptr;
inline thread_local unsigned turn = 0;

}  // namespace emulation

inline thread_local emulation::Index threadIdx;
inline thread_local emulation::Index blockIdx;
inline emulation::Index blockDim{emulation::kThreads, 1, 1};
inline emulation::Index gridDim{1, 1, 1};

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}

/// Dynamic shared memory of the one block that runs; kernels declare it `extern`.
extern "C" {
inline float4 shared_memory[16 * 1024];
}

inline float __uint_as_float(unsigned bits) {
    return std::bit_cast<float>(bits);
}
inline unsigned __float_as_uint(float value) {
    return std::bit_cast<unsigned>(value);
}

inline void __syncthreads() {
    emulation::current->all.arrive_and_wait();
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    emulation::Block& block = *emulation::current;
    auto& exchanged = block.exchanged[++emulation::turn % 2];
    const unsigned self = threadIdx.x;
    std::memcpy(&exchanged[self], &value, sizeof value);
    block.warps[self / emulation::kWarp]->arrive_and_wait();
    T other;
    std::memcpy(&other, &exchanged[self ^ static_cast<unsigned>(lane_mask)], sizeof other);
    return other;
}

template <class T>
T atomicAdd(T* address, T value) {
    return std::atomic_ref<T>(*address).fetch_add(value);
}
template <class T, class Better>
void atomic_choose(T* address, T value, Better better) {
    std::atomic_ref<T> target(*address);
    for (T held = target.load(); better(value, held) && !target.compare_exchange_weak(held, value);) {
    }
}
template <class T>
void atomicMax(T* address, T value) {
    atomic_choose(address, value, [](T a, T b) { return a > b; });
}
template <class T>
void atomicMin(T* address, T value) {
    atomic_choose(address, value, [](T a, T b) { return a < b; });
}

namespace emulation {

/// Runs `kernel(args)` on `grid` blocks of 256 threads, block after block.
template <class Args>
void launch(void (*kernel)(Args), Index grid, const Args& args) {
    gridDim = grid;
    Block block;
    const auto run = [&](unsigned thread) {
        current = &block;
        threadIdx = {thread, 0, 0};
        for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z) {
            for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
                for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
                    kernel(args);
                    block.all.arrive_and_wait();
                }
            }
        }
    };
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread)
        threads.emplace_back(run, thread);
}

}  // namespace emulation
