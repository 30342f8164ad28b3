// Where a tile of 128-byte-swizzled rows lies, and how products are told of it. PTX ISA 9.0, "Matrix Descriptor
// Format".
//
// A tile of R rows by 128 elements lies in shared memory as two column halves of R rows x 128 bytes each, which is what
// two TMA boxes of 64 columns with 128-byte swizzle write. Every half begins at a multiple of 1024 bytes.
#pragma once

#include "basics.cuh"

constexpr int kRowBytes = 128;           // one row of one column half
constexpr int kSwizzleAtomBytes = 1024;  // 8 rows: the unit which the swizzle pattern repeats over
constexpr int kMmaK = 16;                // inner extent of one 16-bit wgmma

// A shared-memory descriptor is 64 bits: the address in units of 16 bytes, the leading offset (bits 16-29) and the
// stride offset (bits 32-45) in the same units, the swizzle in bits 62-63. Only the address changes from step to step,
// and as shared memory ends below 2^18 bytes its field cannot overflow: the low word is carried around as a plain
// number.

constexpr u32 descriptor_offset(int bytes) {
    return static_cast<u32>(bytes) >> 4;
}
DEVICE u32 descriptor_address(u32 address) {
    return (address & 0x3ffff) >> 4;
}

/// 128-byte swizzle; groups of eight rows lie 1024 bytes apart.
constexpr u32 kDescriptorHigh = (1u << 30) | descriptor_offset(kSwizzleAtomBytes);
/// Rows run along K (Q, and K as the transposed B): the leading offset is not used within one swizzle span.
constexpr u32 kLeadingKMajor = 1u << 16;
/// V as B: rows are keys, the inner extent; the leading offset is the distance between the two column halves.
constexpr u32 leading_mn_major(int half_bytes) {
    return descriptor_offset(half_bytes) << 16;
}
