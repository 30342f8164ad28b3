// What wgmma.cuh of the Hopper template offers, on the CPU. A product is computed when its group is waited for, from
// what its operands then are, so that whoever overwrites them before is found out by a wrong result.
#pragma once

#include "descriptors.cuh"
#include "ptx.cuh"

namespace emulation {

/// d (64 x columns) = or += a (64 x 16) * b (16 x columns), by the 128 threads of a warpgroup.
struct Product {
    float* d;
    int columns;
    const u32* a_registers;  // null: a lies in shared memory
    u32 a;                   // descriptor
    u32 b;
    bool b_rows_are_k;  // V; else K, whose rows are columns of d
    bool fp16;
    bool accumulate;
};

inline thread_local std::vector<std::vector<Product>> groups(1);  // the last one is open

constexpr int kMostProducts = 64, kRows = 64;
struct Warpgroup {
    std::barrier<> barrier{kWarpgroup};
    u16 a[kMostProducts][kRows][kMmaK];  // register operands, gathered
};
inline Warpgroup warpgroups[kThreads / kWarpgroup];

inline u16 shared_element(u32 address) {
    u16 bits;
    std::memcpy(&bits, memory + swizzled(address), sizeof bits);
    return bits;
}
inline u32 start_of(u32 descriptor) {
    return (descriptor & 0x3fff) << 4;
}
/// Element of a tile whose rows of 128 bytes lie in groups of eight.
inline u16 k_major(u32 descriptor, int row, int k) {
    return shared_element(start_of(descriptor) + static_cast<u32>(row / 8 * 1024 + row % 8 * 128 + k * 2));
}
inline u16 mn_major(u32 descriptor, int k, int column) {
    return shared_element(start_of(descriptor) + static_cast<u32>(column / 64) * ((descriptor >> 16) << 4) +
                          static_cast<u32>(k * 128 + column % 64 * 2));
}
inline float value_of(u16 bits, bool fp16) {
    return fp16 ? static_cast<float>(std::bit_cast<_Float16>(bits)) : attune::from_bf16(bits);
}

inline void compute(const std::vector<Product>& products) {
    if (products.empty()) return;
    Warpgroup& group = warpgroups[threadIdx.x / kWarpgroup];
    const int thread = static_cast<int>(threadIdx.x) % kWarpgroup, lane = thread % ::kWarp;
    const int row = thread / ::kWarp * 16 + lane / 4, quad = lane % 4;
    for (std::size_t i = 0; i < products.size(); ++i) {
        if (products[i].a_registers == nullptr) continue;
        for (int j = 0; j < 8; ++j)  // register j / 2: row + 8 (j / 2 % 2), columns from 2 quad + 8 (j / 4)
            group.a[i][row + j / 2 % 2 * 8][2 * quad + j % 2 + j / 4 * 8] =
                static_cast<u16>(products[i].a_registers[j / 2] >> 16 * (j % 2));
    }
    group.barrier.arrive_and_wait();
    for (std::size_t i = 0; i < products.size(); ++i) {
        const Product& p = products[i];
        float a[2][kMmaK];
        for (int r = 0; r < 2; ++r)
            for (int k = 0; k < kMmaK; ++k)
                a[r][k] = value_of(p.a_registers != nullptr ? group.a[i][row + 8 * r][k] : k_major(p.a, row + 8 * r, k),
                                   p.fp16);
        for (int pair = 0; pair < p.columns / 4; ++pair) {  // two rows of a column
            const int column = pair / 2 * 8 + 2 * quad + pair % 2;
            float sum[2] = {0, 0};
            for (int k = 0; k < kMmaK; ++k) {
                const float b = value_of(p.b_rows_are_k ? mn_major(p.b, k, column) : k_major(p.b, column, k), p.fp16);
                sum[0] += a[0][k] * b;
                sum[1] += a[1][k] * b;
            }
            for (int r = 0; r < 2; ++r) {
                float& d = p.d[pair / 2 * 4 + 2 * r + pair % 2];
                d = p.accumulate ? d + sum[r] : sum[r];
            }
        }
    }
    group.barrier.arrive_and_wait();
}

inline void add(const Product& product) {
    groups.back().push_back(product);
}

}  // namespace emulation

inline void wgmma_fence() {}
inline void wgmma_commit() {
    emulation::groups.emplace_back();
}
template <int kPending>
void wgmma_wait() {
    auto& groups = emulation::groups;
    while (groups.size() > kPending + 1) {
        emulation::compute(groups.front());
        groups.erase(groups.begin());
    }
}
template <class T, int kCount>
void pin(T (&)[kCount]) {}

template <int kKeys>
void wgmma_scores(float (&s)[kKeys / 2], u32 q, u32 k, int accumulate) {
    emulation::add({s, kKeys, nullptr, q, k, false, false, accumulate != 0});
}
template <int kKeys>
void wgmma_scores(float (&s)[kKeys / 2], const u32* q, u32 k, int accumulate) {
    emulation::add({s, kKeys, q, 0, k, false, false, accumulate != 0});
}
template <bool kFp16>
void wgmma_output(float (&o)[64], const u32* p, u32 v, int accumulate) {
    emulation::add({o, kHeadDim, p, 0, v, true, kFp16, accumulate != 0});
}
