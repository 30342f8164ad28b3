// Block-sparse causal attention for Hopper: warp-specialised, persistent, TMA in and out, wgmma in between.
//
// A CTA is one producer warpgroup and one or two consumer warpgroups. A task is kTileM query rows of one (batch, head);
// CTAs take tasks until none is left. See docs/kernels.md for what each choice was measured to bring.
//
//   geometry.cuh   sizes and shared-memory map   consumer.cuh  scores and outputs of a tile
//   pipeline.cuh   rings, and tasks in them      softmax.cuh   exponentials on accumulators
//   scheduler.cuh  which task comes when         epilogue.cuh  normalise and store; exact.cuh  rare repair
//   planner.cuh    mask -> lists                 loops.cuh     the order of all that
//   producer.cuh, loads.cuh  lists -> TMA        ptx.cuh, wgmma.cuh  instructions
//   basics.cuh     types                         descriptors.cuh  how tiles lie, in words of wgmma
#include "loops.cuh"
#include "producer.cuh"

extern "C" __global__ void __launch_bounds__(kThreads, kCtasPerSm) attn_fwd(const __grid_constant__ AttnArgs args) {
    extern __shared__ __align__(kSwizzleAtomBytes) unsigned char memory[];
    const Shared shared{shared_address(memory)};
    const int warpgroup = warp_uniform(threadIdx.x / kWarpgroup);

    const int warp = warp_uniform(threadIdx.x / kWarp), lane = threadIdx.x % kWarp;
    if (warp == 0) {
        head_start(args, shared, lane);
    } else if (warpgroup == 0) {
        if (warp == 1 && lane <= kMapO) tma_prefetch_descriptor(&args.maps[lane]);
        if (Tune::prefetch) prefetch_mask(args, threadIdx.x - kWarp);
    }
    __syncthreads();

    // One if/else, one setmaxnreg in each branch: ptxas ignores the instruction in any other shape (C7508).
    if (warpgroup == 0) {
        registers_decrease<kProducerRegisters>();
        if (warp == 0)
            Producer(args, shared, lane).run();
        else
            help(args, shared);
    } else {
        registers_increase<kConsumerRegisters>();
        Consumer consumer(args, shared, warpgroup - 1);
        if constexpr (Tune::overlap)
            consumer.run_overlapped();
        else
            consumer.run_serial();
    }
}

/// V as fp16 into the workspace, for p_mode fp16_prepass. Exact for 2^-14 <= |v| <= 65504.
extern "C" __global__ void __launch_bounds__(256) convert_v(const __grid_constant__ AttnArgs args) {
    const u64 chunks = static_cast<u64>(args.batch) * args.heads * args.t_max * kHeadDim / 8;
    const uint4* in = reinterpret_cast<const uint4*>(args.v);
    uint4* out = reinterpret_cast<uint4*>(static_cast<char*>(args.workspace) + Tune::workspace_v_offset);
    for (u64 i = blockIdx.x * 256u + threadIdx.x; i < chunks; i += gridDim.x * 256u) {
        const uint4 x = __ldg(in + i);
        out[i] = make_uint4(bf16_to_fp16(x.x), bf16_to_fp16(x.y), bf16_to_fp16(x.z), bf16_to_fp16(x.w));
    }
}
