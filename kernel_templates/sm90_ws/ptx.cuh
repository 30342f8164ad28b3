// One function per PTX instruction the kernel needs and CUDA C++ does not offer without toolkit headers.
// Semantics: PTX ISA 9.0, chapters "mbarrier", "cp.async.bulk.tensor", "Miscellaneous".
#pragma once

#include "basics.cuh"

/// Shared-memory address as the 32-bit number that PTX takes.
DEVICE u32 shared_address(const void* p) {
    return static_cast<u32>(__cvta_generic_to_shared(p));
}

/// True in one lane of a warp in step, always the same. ptxas knows that it is one alone: behind `lane == 0` it writes
/// a loop over the lanes around every TMA instruction.
DEVICE bool elect_one() {
    u32 elected;
    asm volatile("{.reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p;}" : "=r"(elected));
    return elected != 0;
}

// ---- mbarrier -----------------------------------------------------------------------------------------------------

DEVICE void barrier_init(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

/// Makes the initialised barriers visible to the TMA unit; __syncthreads() does so only for threads.
DEVICE void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

DEVICE void barrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// Arrives and announces `bytes` of TMA traffic: the phase ends when both have happened.
DEVICE void barrier_arrive_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/// Announces `bytes` of TMA traffic without arriving: the phase ends only after a later arrival.
DEVICE void barrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

DEVICE void barrier_wait(u32 barrier, u32 phase) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}" ::"r"(barrier),
        "r"(phase)
        : "memory");
}

// ---- Named barriers -----------------------------------------------------------------------------------------------

DEVICE void named_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// A barrier that also tells every thread whether `value` held for any of them.
DEVICE bool named_any(int id, int threads, bool value) {
    int any;
    asm volatile(
        "{.reg .pred in, out; setp.ne.b32 in, %3, 0;\n"
        "barrier.cta.red.or.pred out, %1, %2, in;\n"
        "selp.b32 %0, 1, 0, out;}"
        : "=r"(any)
        : "r"(id), "r"(threads), "r"(static_cast<int>(value))
        : "memory");
    return any != 0;
}

DEVICE void named_arrive(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- TMA ----------------------------------------------------------------------------------------------------------

/// L2 policies. K and V blocks are read again by neighbouring query blocks; Q and O are touched once.
DEVICE u64 l2_evict_first() {
    u64 policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

DEVICE u64 l2_evict_last() {
    u64 policy;
    asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

DEVICE void tma_prefetch_descriptor(const void* map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// Loads the box of `map` at (column, row, head) into shared memory; completes on `barrier`.
DEVICE void tma_load(u32 target, const void* map, u32 barrier, int column, int row, int head) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
            "r"(target),
        "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(head)
        : "memory");
}

DEVICE void tma_load(u32 target, const void* map, u32 barrier, int column, int row, int head, u64 policy) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], "
        "[%1, {%3, %4, %5}], [%2], %6;" ::"r"(target),
        "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(head), "l"(policy)
        : "memory");
}

/// Stores a box from shared memory; `tma_store_commit` closes the group that `tma_store_wait_read` waits for.
DEVICE void tma_store(const void* map, u32 source, int column, int row, int head) {
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map),
                 "r"(source), "r"(column), "r"(row), "r"(head)
                 : "memory");
}

DEVICE void tma_store_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Returns when the thread's stores have read their shared memory (which may then be reused or freed).
DEVICE void tma_store_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

/// Returns when the thread's stores have reached global memory.
DEVICE void tma_store_wait() {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/// Orders this thread's ordinary shared-memory writes before later accesses by TMA or wgmma.
DEVICE void async_proxy_fence() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

DEVICE void prefetch_l2(const void* p) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/// Words of shared memory, as volatile as the barriers that order them.
DEVICE void store_shared(u32 address, int x, int y, int z, int w) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}

DEVICE void store_shared(u32 address, int x) {
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(x) : "memory");
}

DEVICE int load_shared_word(u32 address) {
    int x;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(address) : "memory");
    return x;
}

DEVICE int4 load_shared(u32 address) {
    int4 v;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(address)
                 : "memory");
    return v;
}

/// Ends the thread.
DEVICE void exit_thread() {
    asm volatile("exit;");
}

// ---- Registers, matrices, arithmetic ------------------------------------------------------------------------------

template <int kRegisters>
DEVICE void registers_increase() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
DEVICE void registers_decrease() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

DEVICE void load_matrix_x4(u32 address, u32& a, u32& b, u32& c, u32& d) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a), "=r"(b), "=r"(c), "=r"(d)
                 : "r"(address)
                 : "memory");
}

DEVICE void store_matrix_x4(u32 address, u32 a, u32 b, u32 c, u32 d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(a), "r"(b),
                 "r"(c), "r"(d)
                 : "memory");
}

DEVICE float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float reciprocal_approx(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float log2_approx(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// Forces `value`, which must not be negative, to be computed before a later wait for wgmma. ptxas sees no dependence
/// between the two and would move the softmax, all of it, below the wait for the very product that it is to hide. The
/// store depends on the value, stays before the wait, and never happens.
DEVICE void compute_before_wait(float value, u32 shared) {
    asm volatile("{.reg .pred never; setp.lt.f32 never, %0, 0f00000000; @never st.shared.f32 [%1], %0;}" ::"f"(value),
                 "r"(shared)
                 : "memory");
}

DEVICE u32 pack_bf16(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

DEVICE u32 pack_fp16(float low, float high) {
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
