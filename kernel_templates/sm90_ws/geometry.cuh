// Sizes that follow from the knobs, and the shared-memory map. Everything here is known at compile time.
#pragma once

#include "attune/attn_args.h"
#include "attune_tune.h"
#include "wgmma.cuh"

// ---- Tile ---------------------------------------------------------------------------------------------------------

constexpr int kRowsPerWarpgroup = 64;  // M of wgmma
constexpr int kConsumers = Tune::consumers;
constexpr int kTileM = kRowsPerWarpgroup * kConsumers;
constexpr int kTileN = Tune::tile_n;
constexpr int kTilesPerBlock = kBlockSize / kTileN;  // key tiles in a key block
constexpr int kTasksPerBlock = kBlockSize / kTileM;  // tasks in a query block
constexpr int kThreads = kWarpgroup * (1 + kConsumers);

constexpr bool kFp16 = Tune::p_mode == Tune::p_mode_fp16_convert || Tune::p_mode == Tune::p_mode_fp16_prepass;
constexpr bool kConvertV = Tune::p_mode == Tune::p_mode_fp16_convert;
/// The i-th key block from the left of a task of n multiplies V by P's bf16 rounding error, too, if i + n is at most
/// this. A row's error falls with the keys it sees, and with every block treated so; from the left, because the first
/// rows of a query block see the fewest keys and hardly any of the diagonal block.
constexpr int kHiLoSpan = Tune::p_mode == Tune::p_mode_bf16   ? Tune::hilo_span
                          : Tune::p_mode == Tune::p_mode_hilo ? 1 << 24
                                                              : 0;
constexpr bool kHiLo = kHiLoSpan > 0;
constexpr bool kOwnO = Tune::o_buffer == Tune::o_buffer_own;
constexpr bool kTmaStore = Tune::epilogue == Tune::epilogue_tma;
/// O is staged in the stage of the Q it was computed from, which is then free only when O has been stored.
constexpr bool kOInQ = kTmaStore && !kOwnO;

// ---- Tensor maps, in the order of template.json -------------------------------------------------------------------

enum TensorMap { kMapQ, kMapK, kMapV, kMapO, kMapVFp16 };

// ---- Shared memory ------------------------------------------------------------------------------------------------

constexpr int kColumnHalves = 2;
constexpr int kColumnsPerHalf = kHeadDim / kColumnHalves;
/// 64 rows x 128 elements: one warpgroup's share of Q or O.
constexpr int kRowsHalfBytes = kRowsPerWarpgroup * kRowBytes;
constexpr int kRowsBytes = kColumnHalves * kRowsHalfBytes;
constexpr int kQBytes = kRowsBytes * kConsumers;
/// A tile of K or V.
constexpr int kTileHalfBytes = kTileN * kRowBytes;
constexpr int kTileBytes = kColumnHalves * kTileHalfBytes;

constexpr int kQStages = Tune::q_stages;
constexpr int kKStages = Tune::k_stages;
constexpr int kVStages = Tune::v_stages;

namespace shared_map {
constexpr int kQ = 0;
constexpr int kK = kQ + kQBytes * kQStages;
constexpr int kV = kK + kTileBytes * kKStages;
constexpr int kO = kV + kTileBytes * kVStages;
constexpr int kTasks = kO + (kOwnO ? kQBytes : 0);
constexpr int kTaskBytes = 32;
constexpr int kFirstTask = kTasks + kTaskBytes * kQStages;
constexpr int kQFull = kFirstTask + kTaskBytes;
constexpr int kQEmpty = kQFull + 8 * kQStages;
constexpr int kKFull = kQEmpty + 8 * kQStages;
constexpr int kKEmpty = kKFull + 8 * kKStages;
constexpr int kVFull = kKEmpty + 8 * kKStages;
constexpr int kVEmpty = kVFull + 8 * kVStages;
constexpr int kVLoaded = kVEmpty + 8 * kVStages;  // before conversion to fp16
constexpr int kLoaded = kVLoaded + (kConvertV ? 8 * kVStages : 0);
constexpr int kPlanWanted = kLoaded + 8;
constexpr int kPlanReady = kPlanWanted + 8;
constexpr int kPlanTask = (kPlanReady + 8 + 15) / 16 * 16;
constexpr int kPlanList = kPlanTask + kTaskBytes;
constexpr int kPlanCached = kPlanList + 16;
constexpr int kEnd = kPlanCached + 4 * kWarp;
}  // namespace shared_map

// ---- Registers ----------------------------------------------------------------------------------------------------

/// One CTA of two consumers, or two CTAs of one, fill an SM.
constexpr int kCtasPerSm = kConsumers == 1 ? 2 : 1;
/// What each thread starts with: setmaxnreg redistributes the registers of the CTA, it cannot add to them.
constexpr int kLaunchRegisters = 65536 / (kThreads * kCtasPerSm) / 8 * 8;
constexpr int kProducerRegisters = Tune::producer_regs;
constexpr int kConsumerRegisters = Tune::consumer_regs;

// ---- What template.json promised ----------------------------------------------------------------------------------

static_assert(Tune::threads == kThreads, "template.json and the kernel must agree on the block size");
static_assert(shared_map::kEnd <= Tune::shared_bytes, "template.json asks for too little shared memory");
static_assert(kBlockSize % kTileM == 0 && kBlockSize % kTileN == 0, "tiles must divide the blocks of the mask");
static_assert(kTileN == 64 || kTileN == 128, "wgmma wrappers exist for these widths");
static_assert(kQStages >= 1 && kKStages >= 2 && kVStages >= 2, "the pipeline holds two tiles at a time");
static_assert(kProducerRegisters % 8 == 0 && kConsumerRegisters % 8 == 0 && kConsumerRegisters <= 256,
              "setmaxnreg takes multiples of 8 up to 256");
static_assert(kProducerRegisters + kConsumers * kConsumerRegisters <= (1 + kConsumers) * kLaunchRegisters,
              "a larger sum of setmaxnreg never becomes free: the kernel would wait forever");
static_assert(!Tune::pingpong || (Tune::overlap && kConsumers == 2), "ping-pong orders two overlapping warpgroups");
static_assert(!Tune::overlap || kQStages == 2 || kOwnO || !kTmaStore,
              "with overlap the next Q is needed before O has left the tile that it would share with it");
static_assert(!(Tune::q_in_registers && kHiLo && kTileN == 128),
              "Q, S, O, P and its rounding error exceed 240 registers");
