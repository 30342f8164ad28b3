// What stands between two samples.
#pragma once

#include "device_args.h"

/// A cache policy under which lines are the last to be evicted.
__device__ inline unsigned long long evict_last_policy() {
    unsigned long long policy;
    asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

/// Lines a variant loaded with an evict_last hint yield to nothing but lines of the same rank, and would make it look
/// faster than it is on a cold cache. So the driver flushes twice: first with that rank, then with the normal one,
/// which also puts the flush's own lines back to normal.
extern "C" __global__ void __launch_bounds__(kDeviceThreads) attune_flush(const __grid_constant__ FlushArgs args) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    uint4* quads = reinterpret_cast<uint4*>(args.words);
    const unsigned long long policy = evict_last_policy();
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < args.count / 4; i += stride) {
        // Contents change with the salt, so that no compression or silent store makes the flush cheap.
        const unsigned int word = (static_cast<unsigned int>(i) + args.salt) * 0x9E3779B9U;
        const uint4 quad = make_uint4(word, word ^ 0x85EBCA6BU, word + 0xC2B2AE35U, ~word);
        if (args.evict_last != 0) {
            asm volatile("st.global.L2::cache_hint.v4.u32 [%0], {%1, %2, %3, %4}, %5;" ::"l"(quads + i), "r"(quad.x),
                         "r"(quad.y), "r"(quad.z), "r"(quad.w), "l"(policy)
                         : "memory");
        } else {
            quads[i] = quad;
        }
    }
}

/// One thread, spinning.
extern "C" __global__ void attune_delay(const __grid_constant__ DelayArgs args) {
    unsigned long long start;
    unsigned long long now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    do {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    } while (now - start < args.duration_ns);
}
