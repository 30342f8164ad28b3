// Inputs of a draw, the same bits as core/inputs.cpp writes.
#pragma once

#include "core/philox.h"
#include "device_args.h"

extern "C" __global__ void __launch_bounds__(kDeviceThreads)
    attune_generate(const __grid_constant__ GenerateArgs args) {
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long group = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; group < args.groups;
         group += stride) {
        const attune::PhiloxWords words =
            attune::input_words(args.seed, args.draw, args.tensor, static_cast<unsigned long long>(group));
        for (int i = 0; i < 4; ++i) {
            args.out[4 * group + i] = args.table[words.word[i] >> (32 - attune::kQuantileBits)];
        }
    }
}
