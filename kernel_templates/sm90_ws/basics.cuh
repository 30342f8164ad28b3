// Types, the sizes of a warp, and bit patterns: what takes no instruction that CUDA C++ does not offer.
#pragma once

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

#define DEVICE __device__ __forceinline__

constexpr int kWarp = 32;
constexpr int kWarpgroup = 128;

DEVICE float negative_infinity() {
    return __int_as_float(0xff800000);
}
DEVICE float not_a_number() {
    return __int_as_float(0x7fffffff);
}

/// Tells the compiler that a value is the same in all lanes, so that it may live in a uniform register.
DEVICE int warp_uniform(int value) {
    return __shfl_sync(~0u, value, 0);
}

DEVICE float bf16_low(u32 pair) {
    return __uint_as_float(pair << 16);
}
DEVICE float bf16_high(u32 pair) {
    return __uint_as_float(pair & 0xffff0000u);
}
