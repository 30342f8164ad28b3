// The driver's own kernels, compiled by NVRTC when a device worker starts.
#include "compare.cuh"
#include "generate.cuh"
#include "reference.cuh"
#include "timing.cuh"
