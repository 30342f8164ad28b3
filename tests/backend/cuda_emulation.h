// Enough of CUDA to run a kernel's source on the CPU, one block at a time: every thread of the block is a thread of the
// host, so that a missing __syncthreads is a race here too (and one that ThreadSanitizer finds). For kernels whose
// barriers are reached by all threads of a block and whose shuffles by all of a warp, or which end threads early by
// `emulation::Exit`. Include it before the kernels, in one source file only; EMULATED_THREADS is the size of a block.
#pragma once

#include <algorithm>
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

#ifndef EMULATED_THREADS
#define EMULATED_THREADS 256
#endif

#define __global__
#define __device__
#define __shared__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __align__(bytes) __attribute__((aligned(bytes)))

namespace emulation {

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

constexpr unsigned kThreads = EMULATED_THREADS;
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

/// Thrown by a thread that ends before its kernel's last line.
struct Exit {};

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
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
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

inline float __int_as_float(int bits) {
    return std::bit_cast<float>(bits);
}
inline int __float_as_int(float value) {
    return std::bit_cast<int>(value);
}
inline float __fmaf_rn(float a, float b, float c) {
    return std::fma(a, b, c);
}
inline int __ffs(int value) {
    return value == 0 ? 0 : std::countr_zero(static_cast<unsigned>(value)) + 1;
}
template <class T>
T __ldg(const T* p) {
    return *p;
}
using std::max;
using std::min;

inline void __syncthreads() {
    emulation::current->all.arrive_and_wait();
}

namespace emulation {

/// Lets the warp see everyone's value: lane l's is the l-th of what is returned, until the next but one exchange.
template <class T>
const std::uint64_t* exchange(T value) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    auto& exchanged = current->exchanged[++turn % 2];
    std::memcpy(&exchanged[threadIdx.x], &value, sizeof value);
    current->warps[threadIdx.x / kWarp]->arrive_and_wait();
    return &exchanged[threadIdx.x / kWarp * kWarp];
}

template <class T>
T from_lane(T value, unsigned lane) {
    T other;
    std::memcpy(&other, exchange(value) + lane, sizeof other);
    return other;
}

}  // namespace emulation

template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
    return emulation::from_lane(value, (threadIdx.x % emulation::kWarp) ^ static_cast<unsigned>(lane_mask));
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return emulation::from_lane(value, static_cast<unsigned>(lane) % emulation::kWarp);
}
inline unsigned __ballot_sync(unsigned, bool value) {
    const std::uint64_t* all = emulation::exchange<std::uint64_t>(value);
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < emulation::kWarp; ++lane)
        ballot |= static_cast<unsigned>(all[lane]) << lane;
    return ballot;
}
inline bool __any_sync(unsigned mask, bool value) {
    return __ballot_sync(mask, value) != 0;
}
inline int __reduce_add_sync(unsigned, int value) {
    const std::uint64_t* all = emulation::exchange<std::int64_t>(value);
    std::int64_t sum = 0;
    for (unsigned lane = 0; lane < emulation::kWarp; ++lane)
        sum += static_cast<std::int64_t>(all[lane]);
    return static_cast<int>(sum);
}
inline void __syncwarp() {
    emulation::exchange(0);
}

template <class T>
T atomicAdd(T* address, T value) {
    return std::atomic_ref<T>(*address).fetch_add(value);
}
inline unsigned atomicInc(unsigned* address, unsigned last) {
    std::atomic_ref<unsigned> target(*address);
    unsigned held = target.load();
    while (!target.compare_exchange_weak(held, held >= last ? 0 : held + 1)) {
    }
    return held;
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

/// Runs `kernel(args)` on `grid` blocks of kThreads threads, block after block; `between` after each, by one thread.
template <class Args>
void launch(void (*kernel)(Args), Index grid, const Args& args, void (*between)() = nullptr) {
    gridDim = grid;
    Block block;
    const auto run = [&](unsigned thread) {
        current = &block;
        threadIdx = {thread, 0, 0};
        for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z) {
            for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
                for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
                    try {
                        kernel(args);
                    } catch (const Exit&) {
                    }
                    block.all.arrive_and_wait();
                    if (between != nullptr) {
                        if (thread == 0) between();
                        block.all.arrive_and_wait();
                    }
                }
            }
        }
    };
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread)
        threads.emplace_back(run, thread);
}

}  // namespace emulation
