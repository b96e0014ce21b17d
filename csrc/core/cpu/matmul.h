// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Products of row blocks with packed weights, for the instruction set of the including file.
//
// Weights are packed in panels of kPanel outputs (see policy_blob.h): [panel][in][64] in fp32, and in bf16
// [panel][in / 2][64][2], pairs of inputs side by side, as the bf16 dot product takes them.
//
// The weights of fp32 layers can be multiplied in double precision as well: they are widened as they are loaded.
//
// Memory plan: a tile of kTileRows x kTileVectors vectors of sums lives in registers (of floats, AVX-512: 6 x 64, 24
// registers; AVX2: 6 x 16, 12; others: 4 x 8; of doubles half as many columns) while the loop over the inputs streams
// the tile's columns of a panel and broadcasts one input per row. The panel (64 KB at 256 inputs in fp32) is then in
// the level-2 cache for the other tiles of the block, which fetch the next panel meanwhile. A single row walks several
// panels at once instead, where one alone has too few sums under way to hide the latency (doubles: one panel has
// enough, and two at once were slower). Tiles of 12 x 32, on panels of 64 or of 32 columns that fit the level-1 cache,
// were not faster on a Xeon.
//
// Roofline: 2 * rows * in * out operations. A tile of 6 rows loads 4 vectors and 6 numbers per 24 multiply-adds: it
// is bound by the multiply-adds. A single row loads one vector per multiply-add: it is bound by reading the weights.
//
// Every sum is taken in the order of the inputs, whatever the tile: a row's result depends on neither the batch nor the
// row's place in it.

#pragma once

#include "../policy_blob.h"
#include "simd.h"

namespace zprl {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 6, kTileVectors = 4;
#elif defined(__AVX__)
constexpr int kTileRows = 6, kTileVectors = 2;
#else
constexpr int kTileRows = 4, kTileVectors = 2;
#endif
constexpr int kRowVectors = 8;  // of sums that a single row has under way, at least

// Multiply-adds of one kind of weights: what a row and a vector of sums hold, and one step of the loop over the inputs.
// A Unit is held while a block of rows is worked on; matmul_amx.h has one that does something.
struct NoUnit {
    explicit NoUnit(int) {}
};

struct Fp32 {
    typedef float Input;
    typedef Vec Sum;
    typedef NoUnit Unit;
    static constexpr bool kOnTiles = false;
    static constexpr int kInputsPerStep = 1;
    static constexpr int kOutputs = kLanes;  // of a vector of sums

    ZPRL_INLINE Vec input(const float* x) { return broadcast(*x); }
    ZPRL_INLINE Vec weights(const void* w) { return load(static_cast<const float*>(w)); }
    ZPRL_INLINE Vec bias(const float* b) { return load(b); }
    ZPRL_INLINE Vec add_product(Vec sum, Vec x, Vec w) { return sum + x * w; }

    ZPRL_INLINE void store_input(float* p, Vec v) { store(p, v); }
    ZPRL_INLINE void store_input(float* p, DoubleVec v) { store_rounded(p, v); }
};

// Sums in double precision over weights in single precision.
struct Fp64 {
    typedef double Input;
    typedef DoubleVec Sum;
    static constexpr bool kOnTiles = false;
    static constexpr int kInputsPerStep = 1;
    static constexpr int kOutputs = kDoubleLanes;

    ZPRL_INLINE DoubleVec input(const double* x) { return broadcast(*x); }
    ZPRL_INLINE DoubleVec weights(const void* w) { return load_widened(static_cast<const float*>(w)); }
    ZPRL_INLINE DoubleVec bias(const float* b) { return load_widened(b); }
    ZPRL_INLINE DoubleVec add_product(DoubleVec sum, DoubleVec x, DoubleVec w) { return sum + x * w; }
};

#if defined(__AVX512BF16__)
struct Bf16 {
    typedef uint16_t Input;
    typedef Vec Sum;
    typedef NoUnit Unit;
    static constexpr bool kOnTiles = false;
    static constexpr int kInputsPerStep = 2;
    static constexpr int kOutputs = kLanes;

    ZPRL_INLINE Vec input(const uint16_t* x) {
        int pair;
        __builtin_memcpy(&pair, x, sizeof(pair));
        return (Vec)_mm512_set1_epi32(pair);
    }
    ZPRL_INLINE Vec weights(const void* w) { return load(static_cast<const float*>(w)); }
    ZPRL_INLINE Vec bias(const float* b) { return load(b); }
    ZPRL_INLINE Vec add_product(Vec sum, Vec x, Vec w) {
        return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
    }

    ZPRL_INLINE void store_input(uint16_t* p, Vec v) {
        const __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
        __builtin_memcpy(p, &rounded, sizeof(rounded));
    }
    ZPRL_INLINE void store_input(uint16_t* p, DoubleVec v) {
        const __m128bh rounded = _mm256_cvtneps_pbh(_mm512_cvtpd_ps((__m512d)v));
        __builtin_memcpy(p, &rounded, sizeof(rounded));
    }
};
#endif

// Steps of the loop over `in` inputs, and the bytes of weights between two of them.
template <typename W>
ZPRL_INLINE int num_steps(int in) {
    return (in + W::kInputsPerStep - 1) / W::kInputsPerStep;
}
constexpr size_t kStepBytes = kPanel * sizeof(float);  // in fp32 and, with two inputs per step, in bf16
constexpr int kStepsAhead = 8;                         // of weights on their way from the level-2 to the level-1 cache

// What a tile fetches into the level-2 cache while it computes, a little in each step: weights that are needed later.
struct Ahead {
    const char* next;
    int bytes_per_step;
};

// Fetch memory into the level-1 or level-2 cache; nothing happens if there is no such memory.
ZPRL_INLINE void prefetch_level1(const char* p) { __builtin_prefetch(p, 0, 3); }
ZPRL_INLINE void prefetch_level2(const char* p) { __builtin_prefetch(p, 0, 2); }

// Sums of a tile: kRows rows with kColumns tiles of kVectors vectors each, whose weights begin `stride` bytes apart.
template <typename W, int kRows, int kColumns, int kVectors>
struct Tile {
    typedef typename W::Sum Sum;
    typedef Sum Sums[kRows][kColumns][kVectors];
    static constexpr int kVectorBytes = W::kOutputs * sizeof(float);

    const typename W::Input* x;
    int x_stride;
    const char* weights;
    size_t stride;
    Ahead ahead;

    // finish(row, column tile, vector, sum) for all sums over `steps` steps.
    template <typename Finish>
    ZPRL_INLINE_MEMBER void run(int steps, const Finish& finish) {
        Sums sums = {};
        for (int step = 0; step < steps; ++step) {
            Sum w[kColumns][kVectors];
#pragma GCC unroll 16
            for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; ++v) {
                    const char* at = weights + c * stride + v * kVectorBytes;
                    w[c][v] = W::weights(at);
                    if (kRows > 1) prefetch_level1(at + kStepsAhead * kStepBytes);
                }
            }
            if (kRows > 1) {
                prefetch_level2(ahead.next);
                ahead.next += ahead.bytes_per_step;
            }
#pragma GCC unroll 16
            for (int r = 0; r < kRows; ++r) {
                const Sum input = W::input(x + static_cast<size_t>(r) * x_stride);
#pragma GCC unroll 16
                for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 16
                    for (int v = 0; v < kVectors; ++v) sums[r][c][v] = W::add_product(sums[r][c][v], input, w[c][v]);
                }
            }
            x += W::kInputsPerStep;
            weights += kStepBytes;
        }
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
            for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; ++v) finish(r, c, v, sums[r][c][v]);
            }
        }
    }
};

template <typename W, int kRows, typename Finish>
static void row_tile(const Linear& layer, const typename W::Input* x, int x_stride, int row, int column,
                     const char* weights, int steps, Ahead ahead, const Finish& finish) {
    Tile<W, kRows, 1, kTileVectors> tile = {x + static_cast<size_t>(row) * x_stride, x_stride, weights, 0, ahead};
    tile.run(steps, [&](int r, int, int v, typename W::Sum total) __attribute__((always_inline)) {
        const int at = column + v * W::kOutputs;
        finish(row + r, at, total + W::bias(layer.bias + at));
    });
}

// A number as a type.
template <int kValue>
struct Count {
    static constexpr int value = kValue;
};

// See linear().
template <typename W, typename Finish>
static void linear_on_vectors(const Linear& layer, const typename W::Input* x, int x_stride, int rows,
                              const Finish& finish) {
    const int steps = num_steps<W>(layer.in);
    const size_t panel_bytes = steps * kStepBytes;
    const char* weights = static_cast<const char*>(layer.weight);
    const int panels = padded(layer.out) / kPanel;

    if (rows == 1) {
        constexpr int kPanelVectors = kPanel / W::kOutputs;
        constexpr int kVectors = kPanelVectors < kRowVectors ? kPanelVectors : kRowVectors;
        constexpr int kTileColumns = kVectors * W::kOutputs;
        int column = 0;
        const auto tiles = [&](auto count) __attribute__((always_inline)) {
            for (; column + count.value * kTileColumns <= panels * kPanel; column += count.value * kTileColumns) {
                const char* tile_weights = weights + column / kPanel * panel_bytes + column % kPanel * sizeof(float);
                Tile<W, 1, count.value, kVectors> tile = {x, x_stride, tile_weights, panel_bytes, {}};
                tile.run(steps, [&](int, int c, int v, typename W::Sum total) __attribute__((always_inline)) {
                    const int at = column + c * kTileColumns + v * W::kOutputs;
                    finish(0, at, total + W::bias(layer.bias + at));
                });
            }
        };
        // Vectors so wide that a panel has fewer than kRowVectors take several panels at once.
        if constexpr (kVectors < kRowVectors) tiles(Count<4>{});
        tiles(Count<1>{});
        return;
    }

    constexpr int kTileColumns = kTileVectors * W::kOutputs;
    constexpr int kTilesPerPanel = kPanel / kTileColumns;
    static_assert(kPanel % kTileColumns == 0, "a panel holds whole tiles");
    for (int t = 0; t < panels * kTilesPerPanel; ++t) {
        const int column = t * kTileColumns;
        const char* tile_weights = weights + t / kTilesPerPanel * panel_bytes +
                                   static_cast<size_t>(t % kTilesPerPanel) * kTileColumns * sizeof(float);
        // The tiles of a panel fetch the next panel, or whatever follows in the blob, which is the next layer: each its
        // share, according to its rows.
        const int bytes_per_step = static_cast<int>(kStepBytes) / kTilesPerPanel * kTileRows / rows;
        const char* next =
            weights + (t / kTilesPerPanel + 1) * panel_bytes + t % kTilesPerPanel * (panel_bytes / kTilesPerPanel);
        int row = 0;
        const auto tiles = [&](auto count) __attribute__((always_inline)) {
            for (; row + count.value <= rows; row += count.value) {
                row_tile<W, count.value>(layer, x, x_stride, row, column, tile_weights, steps, {next, bytes_per_step},
                                         finish);
                next += steps * bytes_per_step;
            }
        };
        tiles(Count<kTileRows>{});
        if constexpr (kTileRows > 8) tiles(Count<8>{});
        if constexpr (kTileRows > 4) tiles(Count<4>{});
        tiles(Count<2>{});
        tiles(Count<1>{});
    }
}

// In matmul_amx.h.
template <typename Finish>
static void linear_on_tiles(const Linear& layer, const uint16_t* x, int x_stride, int rows, const Finish& finish);

// finish(row, column, x * weight + bias) for all rows and all vectors of outputs; layer.out is padded to whole panels.
//
//   x  [rows][x_stride], padded with numbers to an even number of inputs, on tiles to a multiple of 32
template <typename W, typename Finish>
ZPRL_INLINE void linear(const Linear& layer, const typename W::Input* x, int x_stride, int rows, const Finish& finish) {
    if constexpr (W::kOnTiles) {
        linear_on_tiles(layer, x, x_stride, rows, finish);
    } else {
        linear_on_vectors<W>(layer, x, x_stride, rows, finish);
    }
}

}  // namespace
}  // namespace zprl
