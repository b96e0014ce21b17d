// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy blob of the GPU: a header and sections like those of the CPU's (policy_blob.h), in the same order but for
// the actor's, which come before the decoder's; each at a multiple of 1024 bytes, and with weights in slabs.
//
// A slab is 128 bytes of a layer's inputs (32 float32 or tf32 numbers, 64 bf16 numbers) for all outputs, so that a
// layer is
//
//   [slabs][padded outputs][128 bytes]      inputs are padded with zeros to whole slabs, outputs to whole panels
//
// Within the 128 bytes of output n, the 16-byte piece c lies at place c ^ (n % 8). Operands in shared memory, the rows
// of a batch instead of outputs, are laid out alike. Why this layout and no other:
//
// * eight rows of any one piece lie in different banks, so that ldmatrix and 16-byte loads do not conflict;
// * any range of outputs of a slab, in multiples of eight, is one contiguous copy, and keeps its swizzle in shared
//   memory: a plain cp.async moves it, without a tensor map;
// * it is the canonical K-major layout with 128-byte swizzle of Hopper's and Blackwell's matrix units.
//
// Parts that a policy lacks (Part in policy_blob.h) are left out here as well.
//
// Weights of embedding, encoder, actor and decoder are float32; the others are of the header's precision, tf32 being
// float32 rounded to 10 bits of mantissa.

#pragma once

#include <cstddef>
#include <cstdint>

#include "../policy_blob.h"

#if defined(__CUDACC__)
#define ZPRL_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ZPRL_HOST_DEVICE inline
#endif

namespace zprl {
namespace cuda {

constexpr int32_t kCudaMagic = 0x4752505A;  // "ZPRG"
constexpr int32_t kCudaVersion = 4;

// In the place of HeaderField's kFieldDtype the GPU's header holds the Precision; all else is the same.
constexpr int kFieldPrecision = kFieldDtype;

constexpr int kSlabBytes = 128;
constexpr int kPieceBytes = 16;
constexpr size_t kSectionAlignment = 1024;

// Width padded to whole panels: constexpr functions may be called on the device only if they say so. Unsigned, here and
// below, since divisions of signed numbers are more than a shift.
ZPRL_HOST_DEVICE constexpr int padded_width(int width) {
    return static_cast<int>((static_cast<unsigned>(width) + kPanel - 1) / kPanel * kPanel);
}

ZPRL_HOST_DEVICE constexpr int slabs_of(int inputs, int element_bytes) {
    return static_cast<int>((static_cast<unsigned>(inputs * element_bytes) + kSlabBytes - 1) / kSlabBytes);
}

// Byte at which byte `k` of row `row` lies, in slabs of `rows` rows.
ZPRL_HOST_DEVICE constexpr uint32_t swizzled(int rows, int row, uint32_t k) {
    return k / kSlabBytes * (rows * kSlabBytes) + row * kSlabBytes +
           ((k % kSlabBytes / kPieceBytes) ^ (static_cast<uint32_t>(row) % 8)) * kPieceBytes + k % kPieceBytes;
}

}  // namespace cuda
}  // namespace zprl
