// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Products of operand tiles in shared memory, by a warp.
//
// A unit says how pairs of numbers are stored, as operand() or kept(), how close silu() has to come, and adds the
// product of two operands, one slab (128 bytes of inputs) at a time, in the layout of layout.h:
//
//   a    [16 kTilesM rows][128 bytes]
//   b    tiles of [8 rows][128 bytes], `stride` bytes apart, `tiles` of them (at most kTilesN)
//   sum  per pair of tiles, of 16 x 8 sums, those of thread 4 g + t:
//        (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1)     with rows of a, rows of b
//
// which is the accumulator of mma.sync. Either operand may be the weights.
//
// Bytes 32 j to 32 j + 31 of a slab are one k-step of mma.sync for bf16 (k = 16) and for tf32 (k = 8) alike, and the
// four bytes that ldmatrix hands to a thread are its two bf16 numbers or its tf32 number: all are one code, but for
// the instruction.
//
// float32 has no instruction of the matrix unit. A number is split into two of tf32, of 11 bits each, and a product is
// three of tf32: all but the product of the low parts, which is at most 2^-22 of the whole. The split takes three
// instructions for a number that a thread has loaded, which then meets all tiles of the other operand.
//
// Per 16 x 8 x 128 bytes of products, with kTilesM = kTilesN = 4: 0.5 ldmatrix.x4 of each operand and k-step, so 1 KB
// read for 4 mma of 16 cycles each, far from the limit of 128 bytes per cycle and multiprocessor. float32: three times
// as many mma, a third of tf32's rate; FFMA would have a quarter of that, bound by 16 bytes read for 6 multiply-adds.

#pragma once

#include "activation.cuh"
#include "device.cuh"
#include "layout.h"

namespace zprl {
namespace cuda {

ZPRL_DEVICE Float2 load_pair(const float* at) { return *reinterpret_cast<const Float2*>(at); }

// Where a lane reads the rows of fragments in a slab, as distances that are the same in all slabs: of 16 rows, their
// first piece of a k-step; of 8 rows, that of one of four pieces. A piece further on, even or a multiple of four, is an
// exclusive or: the swizzle is one, with the row.
ZPRL_DEVICE int rows_of_lane(int lane) { return lane % 16 * kSlabBytes + (lane / 16 ^ lane % 8) * kPieceBytes; }
ZPRL_DEVICE int columns_of_lane(int lane) { return lane % 8 * kSlabBytes + (lane / 8 ^ lane % 8) * kPieceBytes; }

// How a unit keeps numbers that are no operands, the modulation: as they are, or, beside bf16 operands, as fp16: half
// of the memory and traffic for an eighth of the rounding error that bf16 would have. Numbers beyond 65504 become
// infinite and end as NaN in the result.
struct KeepsFloats {
    typedef float Kept;
    static ZPRL_DEVICE Float2 load_kept(const float* at) { return *reinterpret_cast<const Float2*>(at); }
    static ZPRL_DEVICE Float2 kept(float x, float y) { return {x, y}; }
};

struct KeepsHalves {
    typedef uint16_t Kept;
    static ZPRL_DEVICE Float2 load_kept(const uint16_t* at) {
        return device::from_fp16x2(*reinterpret_cast<const uint32_t*>(at));
    }
    static ZPRL_DEVICE uint32_t kept(float x, float y) { return device::to_fp16x2(x, y); }
};

// A float32 number as the sum of two of tf32: the nearest one, and what is left of it, of which the matrix unit, which
// reads 11 bits, may ignore a last bit of the number. NaN stays in the low part, and infinity becomes NaN there.
struct SplitNumber {
    uint32_t high, low;
    ZPRL_DEVICE explicit SplitNumber(uint32_t bits)
        : high((bits + 0x1000) & ~uint32_t{0x1FFF}),
          low(device::float_bits(device::bits_float(bits) - device::bits_float(high))) {}
};

// What the units share; the instruction is mma.sync.
template <typename MatrixInstruction>
struct MatrixUnit {
    typedef MatrixInstruction Instruction;

    template <int kTilesM, int kTilesN>
    static ZPRL_DEVICE void add_products(float (&sum)[kTilesM][kTilesN][4], const char* a, const char* b, int stride,
                                         int tiles) {
        ZPRL_UNROLL_BY(Instruction::kUnrolledHalves)
        for (int half = 0; half < 2; ++half) add_half<kTilesM, kTilesN>(sum, a, b, stride, tiles, half);
    }

    // Those of a half of the slab: two k-steps.
    template <int kTilesM, int kTilesN>
    static ZPRL_DEVICE void add_half(float (&sum)[kTilesM][kTilesN][4], const char* a, const char* b, int stride,
                                     int tiles, int half) {
        const int lane = device::thread_index() % 32;
        const device::OperandAddress a_at = device::operand_address(a), b_at = device::operand_address(b);
        // Matrices in the order of the fragment: rows 0-7 and 8-15 of the first piece, then of the second one.
        uint32_t rows[2][kTilesM][4];
        ZPRL_UNROLL
        for (int step = 0; step < 2; ++step) {
            const int at = rows_of_lane(lane) ^ (4 * half + 2 * step) * kPieceBytes;
            ZPRL_UNROLL
            for (int m = 0; m < kTilesM; ++m) device::load_matrices(rows[step][m], a_at + at + m * (16 * kSlabBytes));
        }
        const int of_columns = columns_of_lane(lane) ^ 4 * half * kPieceBytes;
        ZPRL_UNROLL
        for (int n = 0; n < kTilesN; ++n) {
            if (n >= tiles) continue;
            uint32_t columns[4];  // two k-steps of two pieces
            device::load_matrices(columns, b_at + of_columns + n * stride);
            ZPRL_UNROLL
            for (int step = 0; step < 2; ++step) {
                ZPRL_UNROLL
                for (int m = 0; m < kTilesM; ++m) {
                    Instruction::multiply(sum[m][n], rows[step][m], columns[2 * step], columns[2 * step + 1]);
                }
            }
        }
    }
};

struct SplitInstruction {
    static constexpr int kUnrolledHalves = 1;
    // Each k-step's sums first, the small products before the large one, and then in float32: the matrix unit cuts off
    // what a sum has no bits for, instead of rounding it, and a long sum would lose that at every step.
    static ZPRL_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        const SplitNumber rows[] = {SplitNumber(a[0]), SplitNumber(a[1]), SplitNumber(a[2]), SplitNumber(a[3])};
        const uint32_t high[] = {rows[0].high, rows[1].high, rows[2].high, rows[3].high};
        const uint32_t low[] = {rows[0].low, rows[1].low, rows[2].low, rows[3].low};
        const SplitNumber column0(b0), column1(b1);
        float part[4] = {};
        device::multiply_tf32(part, low, column0.high, column1.high);
        device::multiply_tf32(part, high, column0.low, column1.low);
        device::multiply_tf32(part, high, column0.high, column1.high);
        ZPRL_UNROLL
        for (int i = 0; i < 4; ++i) c[i] += part[i];
    }
};

struct Tf32Instruction {
    static constexpr int kUnrolledHalves = 2;
    static ZPRL_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        device::multiply_tf32(c, a, b0, b1);
    }
};

struct Bf16Instruction {
    static constexpr int kUnrolledHalves = 2;
    static ZPRL_DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        device::multiply_bf16(c, a, b0, b1);
    }
};

struct Fp32Unit : KeepsFloats, MatrixUnit<SplitInstruction> {
    static constexpr int kElementBytes = 4;
    static ZPRL_DEVICE Float2 operand(float x, float y) { return {x, y}; }
    static ZPRL_DEVICE float silu(float x) { return cuda::silu(x); }
};

struct Tf32Unit : KeepsFloats, MatrixUnit<Tf32Instruction> {
    static constexpr int kElementBytes = 4;
    static ZPRL_DEVICE Float2 operand(float x, float y) { return {device::to_tf32(x), device::to_tf32(y)}; }
    static ZPRL_DEVICE float silu(float x) { return silu_of_tf32(x); }
};

struct Bf16Unit : KeepsHalves, MatrixUnit<Bf16Instruction> {
    static constexpr int kElementBytes = 2;
    static ZPRL_DEVICE uint32_t operand(float x, float y) { return device::to_bf16x2(x, y); }
    static ZPRL_DEVICE float silu(float x) { return silu_of_bfloat16(x); }
};

}  // namespace cuda
}  // namespace zprl
