// The PTX instructions of the kernel beside it, one function each, for sm_80 and later.
#pragma once

using U32 = unsigned int;
using Bf16 = unsigned short;

#define ATTUNE_DEVICE __device__ __forceinline__

ATTUNE_DEVICE U32 shared_address(const void* pointer) {
    return static_cast<U32>(__cvta_generic_to_shared(pointer));
}

/// Starts copying 16 bytes to shared memory. Both addresses take their constant part as an immediate; the L2 cache is
/// asked to fetch `kL2Bytes` (0 or 256) around the source.
template <int kToOffset, int kFromOffset, int kL2Bytes>
ATTUNE_DEVICE void copy_async(U32 to, const void* from) {
    if constexpr (kL2Bytes == 256) {
        asm volatile("cp.async.cg.shared.global.L2::256B [%0 + %2], [%1 + %3], 16;" ::"r"(to), "l"(from),
                     "n"(kToOffset), "n"(kFromOffset)
                     : "memory");
    } else {
        asm volatile("cp.async.cg.shared.global [%0 + %2], [%1 + %3], 16;" ::"r"(to), "l"(from), "n"(kToOffset),
                     "n"(kFromOffset)
                     : "memory");
    }
}

/// The same, or 16 zero bytes where not `valid`.
ATTUNE_DEVICE void copy_async_or_zero(U32 to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}

ATTUNE_DEVICE void copy_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most `kPending` of this thread's committed groups are still under way.
template <int kPending>
ATTUNE_DEVICE void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8x8 matrices of 16-bit elements; lanes 8i..8i+7 give the addresses of the rows of matrix i.
ATTUNE_DEVICE void load_matrix(U32 (&to)[4], U32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address));
}

/// The same, each matrix transposed.
ATTUNE_DEVICE void load_matrix_transposed(U32 (&to)[4], U32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address));
}

/// c (16x8 fp32) += a (16x16) * b (16x8) in bf16.
ATTUNE_DEVICE void mma_bf16(float (&c)[4], const U32 (&a)[4], U32 b0, U32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// The same in fp16.
ATTUNE_DEVICE void mma_fp16(float (&c)[4], const U32 (&a)[4], U32 b0, U32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two floats to a pair of bf16, `low` in the low half.
ATTUNE_DEVICE U32 pack_bf16(float low, float high) {
    U32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

ATTUNE_DEVICE U32 pack_fp16(float low, float high) {
    U32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

ATTUNE_DEVICE float low_bf16(U32 pair) {
    return __uint_as_float(pair << 16);
}
ATTUNE_DEVICE float high_bf16(U32 pair) {
    return __uint_as_float(pair & 0xffff0000u);
}

/// A pair of bf16 as a pair of fp16: exact for magnitudes in [2^-14, 65504].
ATTUNE_DEVICE U32 bf16_to_fp16(U32 pair) {
    return pack_fp16(low_bf16(pair), high_bf16(pair));
}

ATTUNE_DEVICE float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

ATTUNE_DEVICE float log2_approx(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// Value over the four lanes which share the rows of an accumulator.
ATTUNE_DEVICE float quad_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

ATTUNE_DEVICE float quad_sum(float value) {
    value += __shfl_xor_sync(0xffffffffu, value, 1);
    return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

ATTUNE_DEVICE uint4 load_shared(U32 address) {
    uint4 value;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "r"(address)
                 : "memory");
    return value;
}

ATTUNE_DEVICE void store_shared(U32 address, uint4 value) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(value.x), "r"(value.y), "r"(value.z),
                 "r"(value.w)
                 : "memory");
}

ATTUNE_DEVICE void store_shared(U32 address, U32 value) {
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}
