#include "attune/attn_args.h"
#include "attune_tune.h"
extern "C" __global__ void forward(const __grid_constant__ AttnArgs args) {}
extern "C" __global__ void convert(const __grid_constant__ AttnArgs args) {}
