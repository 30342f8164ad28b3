// What ptx.cuh of the Hopper template offers, on the CPU (backend/cuda_emulation.h): mbarriers, named barriers, TMA and
// matrix moves. What is asynchronous on the device happens as late as it may: TMA stores when they are waited for,
// products likewise (wgmma.cuh), so that whoever lets go of memory too early is found out by a wrong result.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "attune/attn_args.h"
#include "basics.cuh"
#include "core/bf16.h"

/// Dynamic shared memory; an address is an offset into it.
alignas(1024) inline unsigned char memory[232448];

namespace emulation {

/// What a tensor map holds here: boxes of `rows` rows of 64 elements of a (heads, t_max, 128) tensor.
struct TensorMap {
    unsigned char* tensor;
    long long rows;
    long long t_max;
};

inline const TensorMap& tensor_map(const void* map) {
    return *static_cast<const TensorMap*>(map);
}

/// 128-byte swizzle: the chunk of 16 bytes within a row is mixed with the row's place among eight.
inline u32 swizzled(u32 address) {
    return address ^ ((address >> 7 & 7) << 4);
}

/// Every wait has an end: a kernel that hangs is a failed test. Two minutes after the last wait began, it is over.
inline std::atomic<unsigned> waits = 0;
inline void watch_for_hangs() {
    std::thread([] {
        for (unsigned seen = 0;;) {
            std::this_thread::sleep_for(std::chrono::seconds(60));
            if (const unsigned now = waits.load(); now != seen) {
                seen = now;
                continue;
            }
            std::fputs("the kernel hangs\n", stderr);
            std::_Exit(3);
        }
    }).detach();
}

/// Waits until `over(state)`. Only loads: who waits hands nothing on, or races with what it does would be hidden.
template <class Over>
void wait_until(std::atomic<u32>& state, Over over) {
    waits.fetch_add(1, std::memory_order_relaxed);
    for (u32 now = state.load(std::memory_order_acquire); !over(now); now = state.load(std::memory_order_acquire))
        state.wait(now, std::memory_order_acquire);
}

/// One word, as on the device: bit 0 is the phase, bits 1 to 8 the arrivals to come, the rest the bytes, in units
/// of 16.
struct MBarrier {
    std::atomic<u32> state = 0;
    u32 arrivals = 0;

    void update(int arrived, long long announced) {
        u32 held = state.load(), next = 0;
        do {
            const long long bytes = static_cast<long long>(held >> 9) + announced / 16;
            const int pending = static_cast<int>(held >> 1 & 0xff) - arrived;
            next = pending == 0 && bytes == 0
                       ? (~held & 1) | arrivals << 1
                       : static_cast<u32>(bytes << 9) | static_cast<u32>(pending) << 1 | (held & 1);
        } while (!state.compare_exchange_weak(held, next, std::memory_order_acq_rel));
        if ((held ^ next) & 1) state.notify_all();
    }
};
inline MBarrier mbarriers[sizeof memory / 8];
inline MBarrier& mbarrier(u32 address) {
    return mbarriers[address / 8];
}

/// The upper half of the word counts generations, the lower those who have arrived.
struct NamedBarrier {
    std::atomic<u32> state = 0;
    std::atomic<bool> any[2] = {};  // of even and odd generations

    /// Returns the generation that it is part of.
    u32 arrive(u32 threads, bool value) {
        const u32 generation = state.load() >> 16;  // cannot end before this arrival
        if (value) any[generation % 2] = true;
        const u32 before = state.fetch_add(1, std::memory_order_acq_rel);
        if ((before & 0xffff) + 1 == threads) {
            any[(generation + 1) % 2] = false;
            state.fetch_add(0x10000 - threads, std::memory_order_acq_rel);
            state.notify_all();
        }
        return generation;
    }
};
inline NamedBarrier named_barriers[16];

inline void reset_named_barriers() {
    for (NamedBarrier& barrier : named_barriers)
        barrier.state = 0, barrier.any[0] = false, barrier.any[1] = false;
}

/// A read that must be allowed now, though the device may make it later.
inline void touch(u32 address, u32 bytes) {
    for (u32 at = 0; at < bytes; at += 16)
        static_cast<void>(*static_cast<const volatile unsigned char*>(memory + address + at));
}

struct Store {
    const void* map;
    u32 source;
    int column, row, head;
};
inline thread_local std::vector<Store> stores;

inline void move_box(const TensorMap& map, u32 address, int column, int row, int head, bool to_shared) {
    for (long long i = 0; i < map.rows; ++i) {
        for (int chunk = 0; chunk < 8; ++chunk) {
            unsigned char* shared =
                memory + swizzled(address + static_cast<u32>(i) * 128 + static_cast<u32>(chunk) * 16);
            unsigned char* global = map.tensor + ((head * map.t_max + row + i) * kHeadDim + column + chunk * 8) * 2;
            if (to_shared)
                std::memcpy(shared, global, 16);
            else
                std::memcpy(global, shared, 16);
        }
    }
}

}  // namespace emulation

inline u32 shared_address(const void* p) {
    return static_cast<u32>(static_cast<const unsigned char*>(p) - memory);
}
inline bool elect_one() {
    return threadIdx.x % kWarp == 0;
}

inline void barrier_init(u32 barrier, u32 arrivals) {
    emulation::MBarrier& b = emulation::mbarrier(barrier);
    b.arrivals = arrivals;
    b.state = arrivals << 1;
}
inline void barrier_init_fence() {}
inline void barrier_arrive(u32 barrier) {
    emulation::mbarrier(barrier).update(1, 0);
}
inline void barrier_arrive_expect(u32 barrier, u32 bytes) {
    emulation::mbarrier(barrier).update(1, bytes);
}
inline void barrier_expect(u32 barrier, u32 bytes) {
    emulation::mbarrier(barrier).update(0, bytes);
}
inline void barrier_wait(u32 barrier, u32 phase) {
    emulation::wait_until(emulation::mbarrier(barrier).state, [&](u32 state) { return (state & 1) != phase; });
}

inline bool named_any(int id, int threads, bool value) {
    emulation::NamedBarrier& b = emulation::named_barriers[id];
    const u32 generation = b.arrive(static_cast<u32>(threads), value);
    emulation::wait_until(b.state, [&](u32 state) { return state >> 16 != generation; });
    return b.any[generation % 2];
}
inline void named_sync(int id, int threads) {
    named_any(id, threads, false);
}
inline void named_arrive(int id, int threads) {
    emulation::named_barriers[id].arrive(static_cast<u32>(threads), false);
}

inline u64 l2_evict_first() {
    return 1;
}
inline u64 l2_evict_last() {
    return 2;
}
inline void prefetch_l2(const void*) {}
inline void tma_prefetch_descriptor(const void*) {}
inline void tma_load(u32 target, const void* map, u32 barrier, int column, int row, int head) {
    const emulation::TensorMap& tensor = emulation::tensor_map(map);
    emulation::move_box(tensor, target, column, row, head, true);
    emulation::mbarrier(barrier).update(0, -tensor.rows * 128);
}
inline void tma_load(u32 target, const void* map, u32 barrier, int column, int row, int head, u64) {
    tma_load(target, map, barrier, column, row, head);
}
inline void tma_store(const void* map, u32 source, int column, int row, int head) {
    emulation::touch(source, static_cast<u32>(emulation::tensor_map(map).rows) * 128);
    emulation::stores.push_back({map, source, column, row, head});
}
inline void tma_store_commit() {}
inline void tma_store_wait_read() {
    for (const emulation::Store& store : emulation::stores)
        emulation::move_box(emulation::tensor_map(store.map), store.source, store.column, store.row, store.head, false);
    emulation::stores.clear();
}
inline void tma_store_wait() {
    tma_store_wait_read();
}
inline void async_proxy_fence() {}

template <int kRegisters>
void registers_increase() {}
template <int kRegisters>
void registers_decrease() {}

/// Rows of four 8x8 matrices lie where the lanes' addresses say, eight lanes a matrix.
inline void load_matrix_x4(u32 address, u32& a, u32& b, u32& c, u32& d) {
    const std::uint64_t* rows = emulation::exchange<std::uint64_t>(address);
    const unsigned lane = threadIdx.x % kWarp;
    for (unsigned i = 0; i < 4; ++i)
        std::memcpy(i == 0 ? &a : i == 1 ? &b : i == 2 ? &c : &d, memory + rows[8 * i + lane / 4] + 4 * (lane % 4), 4);
    __syncwarp();
}
inline void store_matrix_x4(u32 address, u32 a, u32 b, u32 c, u32 d) {
    const std::uint64_t* rows = emulation::exchange<std::uint64_t>(address);
    const unsigned lane = threadIdx.x % kWarp;
    const u32 values[] = {a, b, c, d};
    for (unsigned i = 0; i < 4; ++i)
        std::memcpy(memory + rows[8 * i + lane / 4] + 4 * (lane % 4), &values[i], 4);
    __syncwarp();
}

inline void store_shared(u32 address, int x, int y, int z, int w) {
    const int4 v{x, y, z, w};
    std::memcpy(memory + address, &v, sizeof v);
}
inline void store_shared(u32 address, int x) {
    std::memcpy(memory + address, &x, sizeof x);
}
inline int4 load_shared(u32 address) {
    int4 v;
    std::memcpy(&v, memory + address, sizeof v);
    return v;
}
inline int load_shared_word(u32 address) {
    int x;
    std::memcpy(&x, memory + address, sizeof x);
    return x;
}
[[noreturn]] inline void exit_thread() {
    throw emulation::Exit{};
}

inline float exp2_approx(float x) {
    return std::exp2(x);
}
inline float reciprocal_approx(float x) {
    return 1 / x;
}
inline float log2_approx(float x) {
    return std::log2(x);
}
inline void compute_before_wait(float, u32) {}

inline u32 pack_bf16(float low, float high) {
    return static_cast<u32>(attune::to_bf16(low)) | static_cast<u32>(attune::to_bf16(high)) << 16;
}
inline u32 pack_fp16(float low, float high) {
    const auto bits = [](float x) { return std::bit_cast<u16>(static_cast<_Float16>(x)); };
    return static_cast<u32>(bits(low)) | static_cast<u32>(bits(high)) << 16;
}
