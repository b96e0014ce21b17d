// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// wgmma, Hopper's asynchronous products of a warpgroup (four warps), as device.cuh is for the rest of the hardware.
// Only sm_90a has it: neither sm_90 nor later architectures do.
//
//   fence_async()                  by every thread, between its writes of operands and the barrier before the products
//   begin_products()               before the first product of a batch: orders the registers of the sums
//   multiply_group_*(c, a, b, ..)  asynchronous: c += a b, or c = a b
//   commit_products()              ends a batch
//   wait_for_products<n>()         all batches but the last n are through: their operands may be overwritten
//   fence_operand(c)               after the wait for the last one: only now may the sums be read
//   take_registers<n>()            by all warps of a warpgroup: from now on a thread has n registers, which others must
//   give_registers<n>()            have given before
//
// Operands are 64 rows, or kTiles times 8 rows, of 32 bytes (16 bf16 or 8 tf32 numbers) of slabs as in layout.h. The
// sums of warp w of the group are those of its rows 16 w to 16 w + 15, each tile's four as in unit.cuh.

#pragma once

#include "device.cuh"
#include "layout.h"

// The host's pass of nvcc compiles no device code, but parses it.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ZPRL_HAS_WGMMA 1
#else
#define ZPRL_HAS_WGMMA 0
#endif

namespace zprl {
namespace cuda {

// The matrix descriptor of an operand that begins at this address of shared memory: see "Matrix descriptor format" of
// the PTX manual, under wgmma. Rows of 128 bytes, swizzled; groups of 8 rows follow each other. Bytes 32 j of the rows
// are reached by adding 2 j: the swizzle is a function of the address, as long as each group begins at a multiple of
// 1024.
ZPRL_HOST_DEVICE constexpr uint64_t matrix_descriptor(uint32_t shared_address) {
    constexpr uint64_t kUnit = 16, kLeadingBytes = 16 /* not used in this layout */, kStrideBytes = 8 * kSlabBytes;
    constexpr uint64_t kSwizzle128 = 1;
    return (shared_address & 0x3FFFF) / kUnit | kLeadingBytes / kUnit << 16 | kStrideBytes / kUnit << 32 |
           kSwizzle128 << 62;
}

}  // namespace cuda
}  // namespace zprl

#if defined(__CUDACC__) && ZPRL_HAS_WGMMA

namespace zprl {
namespace cuda {
namespace device {

template <int kRegisters>
ZPRL_DEVICE void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
ZPRL_DEVICE void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

ZPRL_DEVICE void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
ZPRL_DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
ZPRL_DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int kBatches>
ZPRL_DEVICE void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kBatches) : "memory");
}

// Keeps the compiler from reading the sums earlier.
template <int kTiles>
ZPRL_DEVICE void fence_operand(float (&c)[kTiles][4]) {
    ZPRL_UNROLL
    for (int n = 0; n < kTiles; ++n) {
        asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
    }
}

// The sums of 4, 8, 12 and 16 tiles, by the operands' numbers and as operands.
#define ZPRL_NAMES_4 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define ZPRL_NAMES_8 \
    ZPRL_NAMES_4     \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ZPRL_NAMES_12 \
    ZPRL_NAMES_8      \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define ZPRL_NAMES_16 \
    ZPRL_NAMES_12     \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ZPRL_SUMS_1(n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define ZPRL_SUMS_4(n) ZPRL_SUMS_1(n), ZPRL_SUMS_1(n + 1), ZPRL_SUMS_1(n + 2), ZPRL_SUMS_1(n + 3)
#define ZPRL_SUMS_8 ZPRL_SUMS_4(0), ZPRL_SUMS_4(4)
#define ZPRL_SUMS_12 ZPRL_SUMS_8, ZPRL_SUMS_4(8)
#define ZPRL_SUMS_16 ZPRL_SUMS_12, ZPRL_SUMS_4(12)

// The last three operands: two descriptors, and whether the sums are added to.
#define ZPRL_MULTIPLY_GROUP(shape, type, flags, names, a_name, b_name, accumulate_name, ...)            \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " accumulate_name                                \
                 ", 0;\n"                                                                               \
                 "wgmma.mma_async.sync.aligned." shape ".f32." type " {" names "}, " a_name ", " b_name \
                 ", add, 1, 1" flags ";\n}\n"                                                           \
                 : __VA_ARGS__                                                                          \
                 : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

// The number of tiles decides the instruction, whose n is 8 times as many.
#define ZPRL_MULTIPLY_GROUP_OF_TILES(k, type, flags)                                                     \
    if constexpr (kTiles == 4) {                                                                         \
        ZPRL_MULTIPLY_GROUP("m64n32" k, type, flags, ZPRL_NAMES_4, "%16", "%17", "%18", ZPRL_SUMS_4(0)); \
    } else if constexpr (kTiles == 8) {                                                                  \
        ZPRL_MULTIPLY_GROUP("m64n64" k, type, flags, ZPRL_NAMES_8, "%32", "%33", "%34", ZPRL_SUMS_8);    \
    } else if constexpr (kTiles == 12) {                                                                 \
        ZPRL_MULTIPLY_GROUP("m64n96" k, type, flags, ZPRL_NAMES_12, "%48", "%49", "%50", ZPRL_SUMS_12);  \
    } else {                                                                                             \
        static_assert(kTiles == 16, "there is an instruction for 4, 8, 12 or 16 tiles");                 \
        ZPRL_MULTIPLY_GROUP("m64n128" k, type, flags, ZPRL_NAMES_16, "%64", "%65", "%66", ZPRL_SUMS_16); \
    }

// Sums of the first kTiles tiles, from operands that descriptors name.
template <int kTiles, int kAllTiles>
ZPRL_DEVICE void multiply_group_bf16(float (&c)[kAllTiles][4], uint64_t a, uint64_t b, bool accumulate) {
    static_assert(kTiles <= kAllTiles, "sums for every tile");
    ZPRL_MULTIPLY_GROUP_OF_TILES("k16", "bf16.bf16", ", 0, 0")  // neither operand transposed
}

template <int kTiles, int kAllTiles>
ZPRL_DEVICE void multiply_group_tf32(float (&c)[kAllTiles][4], uint64_t a, uint64_t b, bool accumulate) {
    static_assert(kTiles <= kAllTiles, "sums for every tile");
    ZPRL_MULTIPLY_GROUP_OF_TILES("k8", "tf32.tf32", "")
}

#undef ZPRL_MULTIPLY_GROUP_OF_TILES
#undef ZPRL_MULTIPLY_GROUP
#undef ZPRL_SUMS_16
#undef ZPRL_SUMS_12
#undef ZPRL_SUMS_8
#undef ZPRL_SUMS_4
#undef ZPRL_SUMS_1
#undef ZPRL_NAMES_16
#undef ZPRL_NAMES_12
#undef ZPRL_NAMES_8
#undef ZPRL_NAMES_4

}  // namespace device
}  // namespace cuda
}  // namespace zprl

#endif
