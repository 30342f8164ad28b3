// Warpgroup matrix products on 128-byte-swizzled tiles. PTX ISA 9.0, "Asynchronous Warpgroup Level Matrix
// Instructions".
#pragma once

#include "descriptors.cuh"
#include "ptx.cuh"

DEVICE void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
DEVICE void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most `kPending` committed groups of this warpgroup are in flight.
template <int kPending>
DEVICE void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Pins registers between the volatile statements around it: the compiler sees a wgmma as complete when issued, and
/// would be free to read an accumulator, or to overwrite an operand, before the wait.
template <int kCount>
DEVICE void pin(float (&registers)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
        asm volatile("" : "+f"(registers[i])::"memory");
}

template <int kCount>
DEVICE void pin(u32 (&registers)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
        asm volatile("" : "+r"(registers[i])::"memory");
}

// The instruction names each accumulator register, so its text can only be spelled out; these macros do it once.
#define ACC_TEXT_32                                                                                              \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
    "%23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define ACC_TEXT_64                                                                                                  \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "     \
    "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, " \
    "%45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define ACC_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define ACC_16(d, i) ACC_4(d, i), ACC_4(d, i + 4), ACC_4(d, i + 8), ACC_4(d, i + 12)
#define ACC_OPERANDS_32(d) ACC_16(d, 0), ACC_16(d, 16)
#define ACC_OPERANDS_64(d) ACC_16(d, 0), ACC_16(d, 16), ACC_16(d, 32), ACC_16(d, 48)

// d (64 x N) = a (64 x 16) * b (16 x N) + accumulate * d. SS: both operands in shared memory; RS: a in registers.
#define WGMMA_SS(N, TEXT, OPERANDS, TYPE, B_TRANSPOSED, A, B, ACCUMULATE, NA, NB, NS, NH)   \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" NS                                       \
                 ", 0;\n"                                                                   \
                 ".reg .b64 a, b; mov.b64 a, {%" NA ", %" NH "}; mov.b64 b, {%" NB ", %" NH \
                 "};\n"                                                                     \
                 "wgmma.mma_async.sync.aligned.m64n" N "k16.f32." TYPE "." TYPE " " TEXT    \
                 ", a, b, p, 1, 1, 0, " B_TRANSPOSED ";}"                                   \
                 : OPERANDS                                                                 \
                 : "r"(A), "r"(B), "r"(ACCUMULATE), "n"(kDescriptorHigh))
#define WGMMA_RS(N, TEXT, OPERANDS, TYPE, B_TRANSPOSED, A, B, ACCUMULATE, A0, A1, A2, A3, NB, NS, NH)                \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" NS                                                                \
                 ", 0;\n"                                                                                            \
                 ".reg .b64 b; mov.b64 b, {%" NB ", %" NH                                                            \
                 "};\n"                                                                                              \
                 "wgmma.mma_async.sync.aligned.m64n" N "k16.f32." TYPE "." TYPE " " TEXT ", {%" A0 ", %" A1 ", %" A2 \
                 ", %" A3 "}, b, p, 1, 1, " B_TRANSPOSED ";}"                                                        \
                 : OPERANDS                                                                                          \
                 : "r"((A)[0]), "r"((A)[1]), "r"((A)[2]), "r"((A)[3]), "r"(B), "r"(ACCUMULATE), "n"(kDescriptorHigh))

/// Scores: s (64 x kKeys) = or += q (64 x 16) * k^T (16 x kKeys), both in shared memory.
template <int kKeys>
DEVICE void wgmma_scores(float (&s)[kKeys / 2], u32 q, u32 k, int accumulate) {
    if constexpr (kKeys == 128)
        WGMMA_SS("128", ACC_TEXT_64, ACC_OPERANDS_64(s), "bf16", "0", q, k, accumulate, "64", "65", "66", "67");
    else
        WGMMA_SS("64", ACC_TEXT_32, ACC_OPERANDS_32(s), "bf16", "0", q, k, accumulate, "32", "33", "34", "35");
}

/// Scores with q in registers, in the operand layout that `ldmatrix.x4` gives.
template <int kKeys>
DEVICE void wgmma_scores(float (&s)[kKeys / 2], const u32* q, u32 k, int accumulate) {
    if constexpr (kKeys == 128)
        WGMMA_RS("128", ACC_TEXT_64, ACC_OPERANDS_64(s), "bf16", "0", q, k, accumulate, "64", "65", "66", "67", "68",
                 "69", "70");
    else
        WGMMA_RS("64", ACC_TEXT_32, ACC_OPERANDS_32(s), "bf16", "0", q, k, accumulate, "32", "33", "34", "35", "36",
                 "37", "38");
}

/// Output: o = or += p (64 x 16, registers) * v (16 keys x 128, shared memory). kFp16 selects the type of p and v.
template <bool kFp16>
DEVICE void wgmma_output(float (&o)[64], const u32* p, u32 v, int accumulate) {
    if constexpr (kFp16)
        WGMMA_RS("128", ACC_TEXT_64, ACC_OPERANDS_64(o), "f16", "1", p, v, accumulate, "64", "65", "66", "67", "68",
                 "69", "70");
    else
        WGMMA_RS("128", ACC_TEXT_64, ACC_OPERANDS_64(o), "bf16", "1", p, v, accumulate, "64", "65", "66", "67", "68",
                 "69", "70");
}

#undef WGMMA_SS
#undef WGMMA_RS
#undef ACC_TEXT_32
#undef ACC_TEXT_64
#undef ACC_4
#undef ACC_16
#undef ACC_OPERANDS_32
#undef ACC_OPERANDS_64
