// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Products of row blocks with weights packed in bfloat16, on the matrix unit of Intel processors (AMX).
//
// The unit multiplies a tile of 16 rows x 32 inputs with one of 32 inputs x 16 outputs, which is just how a panel lies
// in memory: 16 pairs of inputs, 256 bytes apart. So the weights are those of the bf16 dot product.
//
// Memory plan: eight tile registers of 1 KB. Two tiles of rows times two of outputs take four registers for sums, two
// for inputs and two for weights: 4 KB read per 4 products. The last tile of rows, if alone, goes with all four tiles
// of a panel. Sums leave by way of a buffer in the level-1 cache, since vector instructions cannot read a tile.
//
// Roofline: a product of tiles is 16 x 16 x 32 multiply-adds in 16 cycles, 16 times the fp32 rate, so from about 8 rows
// on, what lies between the products (SiLU, layer norm) takes most of the time, and a single row is bound by reading
// the weights.
//
// Every sum is taken in the order of the inputs, whatever the tile's place and number of rows: a row's result depends
// on neither the batch nor the row's place in it.

#pragma once

#include "matmul.h"

#if defined(__AMX_BF16__)

namespace zprl {
namespace {

constexpr int kAmxRows = 16, kAmxColumns = 16, kAmxInputs = 32;
constexpr int kAmxRowBytes = 64;
constexpr int kAmxTilesPerPanel = kPanel / kAmxColumns;
static_assert(kAmxTilesPerPanel == 4, "linear_on_tiles() takes a panel as four tiles");

// GCC's tile loads do not say which memory they read: what they are to see has to be written before this.
ZPRL_INLINE void finish_writes() { asm volatile("" ::: "memory"); }

struct AmxBf16 : Bf16 {
    static constexpr bool kOnTiles = true;

    // Sets the tiles' shape for a block of rows, until it goes out of scope.
    class Unit {
     public:
        explicit Unit(int rows) {
            const int tile_rows = rows < kAmxRows ? rows : kAmxRows;
            // Registers 0-3 hold sums, 4 and 5 inputs, 6 and 7 weights; see _tile_loadconfig for the layout.
            struct alignas(64) {
                uint8_t palette = 1, start_row = 0, reserved[14] = {};
                uint16_t row_bytes[16] = {};
                uint8_t rows[16] = {};
            } config;
            for (int i = 0; i < 8; ++i) {
                config.row_bytes[i] = kAmxRowBytes;
                config.rows[i] = static_cast<uint8_t>(i < 6 ? tile_rows : kAmxInputs / 2);
            }
            finish_writes();
            _tile_loadconfig(&config);
        }
        ~Unit() { _tile_release(); }
        Unit(const Unit&) = delete;
        Unit& operator=(const Unit&) = delete;
    };
};

// The tiles of weights of one step over 32 inputs, one after the other along the outputs. Past the last input a panel
// is followed by something else: its last, incomplete tiles are copied, and padded with zeros.
class TilesOfWeights {
 public:
    ZPRL_INLINE_MEMBER TilesOfWeights(const char* panel, int pairs)
        : panel_(panel), whole_(pairs / (kAmxInputs / 2)), rest_(pairs % (kAmxInputs / 2)) {
        if (rest_ == 0) return;
        const char* from = panel + whole_ * kBytesPerStep;
        for (int i = 0; i < kPanel * kAmxInputs / 2; i += kLanes) {
            store(tail_ + i, i < rest_ * kPanel ? load(reinterpret_cast<const float*>(from) + i) : Vec{});
        }
    }

    ZPRL_INLINE_MEMBER int steps() const { return whole_ + (rest_ > 0); }
    ZPRL_INLINE_MEMBER const char* at(int step) const {
        return step < whole_ ? panel_ + step * kBytesPerStep : reinterpret_cast<const char*>(tail_);
    }

 private:
    static constexpr size_t kBytesPerStep = kAmxInputs / 2 * kStepBytes;
    const char* panel_;
    int whole_, rest_;
    alignas(64) float tail_[kPanel * kAmxInputs / 2];
};

// See linear(). The caller holds a Unit of `rows`; x has a stride that is a multiple of 32, padded with numbers.
template <typename Finish>
static void linear_on_tiles(const Linear& layer, const uint16_t* x, int x_stride, int rows, const Finish& finish) {
    const int pairs = num_steps<Bf16>(layer.in);
    const int panels = padded(layer.out) / kPanel;
    const size_t panel_bytes = pairs * kStepBytes, row_bytes = x_stride * sizeof(uint16_t);
    const int row_tiles = (rows + kAmxRows - 1) / kAmxRows;
    constexpr int kWeightRowBytes = kPanel * sizeof(float);
    alignas(64) float sums[4][kAmxRows][kAmxColumns];

    // The last tile of rows ends with the last row, and overlaps the one before it; `from` is its first new row.
    const auto first_row = [&](int t) __attribute__((always_inline)) {
        return rows < kAmxRows || t + 1 < row_tiles ? t * kAmxRows : rows - kAmxRows;
    };
    const auto finish_tile = [&](const float (*tile)[kAmxColumns], int t, int column) __attribute__((always_inline)) {
        const int first = first_row(t), end = (t + 1) * kAmxRows < rows ? (t + 1) * kAmxRows : rows;
        const Vec bias = load(layer.bias + column);
        for (int row = t * kAmxRows; row < end; ++row) finish(row, column, load(tile[row - first]) + bias);
    };

    for (int panel = 0; panel < panels; ++panel) {
        const TilesOfWeights weights(static_cast<const char*>(layer.weight) + panel * panel_bytes, pairs);
        const int steps = weights.steps();
        finish_writes();
        // The products of this panel fetch the next one, or the next layer, which follows in the blob.
        const char* next = static_cast<const char*>(layer.weight) + (panel + 1) * panel_bytes;
        const int lines_per_step = static_cast<int>(panel_bytes / 64) / (row_tiles * steps) + 1;
        const auto fetch_ahead = [&]() __attribute__((always_inline)) {
            for (int i = 0; i < lines_per_step; ++i, next += 64) prefetch_level2(next);
        };
        int t = 0;
        for (; t + 2 <= row_tiles; t += 2) {
            const uint16_t* upper = x + static_cast<size_t>(first_row(t)) * x_stride;
            const uint16_t* lower = x + static_cast<size_t>(first_row(t + 1)) * x_stride;
            for (int half = 0; half < 2; ++half) {
                const int offset = half * 2 * kAmxRowBytes;
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
                for (int step = 0; step < steps; ++step) {
                    const char* w = weights.at(step) + offset;
                    _tile_loadd(6, w, kWeightRowBytes);
                    _tile_loadd(4, upper + step * kAmxInputs, row_bytes);
                    _tile_dpbf16ps(0, 4, 6);
                    _tile_loadd(5, lower + step * kAmxInputs, row_bytes);
                    _tile_dpbf16ps(2, 5, 6);
                    _tile_loadd(7, w + kAmxRowBytes, kWeightRowBytes);
                    _tile_dpbf16ps(1, 4, 7);
                    _tile_dpbf16ps(3, 5, 7);
                    fetch_ahead();
                }
                _tile_stored(0, sums[0], kAmxRowBytes);
                _tile_stored(1, sums[1], kAmxRowBytes);
                _tile_stored(2, sums[2], kAmxRowBytes);
                _tile_stored(3, sums[3], kAmxRowBytes);
                const int column = panel * kPanel + half * 2 * kAmxColumns;
                for (int i = 0; i < 4; ++i) finish_tile(sums[i], t + i / 2, column + i % 2 * kAmxColumns);
            }
        }
        if (t < row_tiles) {
            const uint16_t* alone = x + static_cast<size_t>(first_row(t)) * x_stride;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int step = 0; step < steps; ++step) {
                const char* w = weights.at(step);
                _tile_loadd(4, alone + step * kAmxInputs, row_bytes);
                _tile_loadd(6, w, kWeightRowBytes);
                _tile_dpbf16ps(0, 4, 6);
                _tile_loadd(7, w + kAmxRowBytes, kWeightRowBytes);
                _tile_dpbf16ps(1, 4, 7);
                _tile_loadd(6, w + 2 * kAmxRowBytes, kWeightRowBytes);
                _tile_dpbf16ps(2, 4, 6);
                _tile_loadd(7, w + 3 * kAmxRowBytes, kWeightRowBytes);
                _tile_dpbf16ps(3, 4, 7);
            }
            _tile_stored(0, sums[0], kAmxRowBytes);
            _tile_stored(1, sums[1], kAmxRowBytes);
            _tile_stored(2, sums[2], kAmxRowBytes);
            _tile_stored(3, sums[3], kAmxRowBytes);
            for (int i = 0; i < 4; ++i) finish_tile(sums[i], t, panel * kPanel + i * kAmxColumns);
        }
    }
}

// See peak_of().
static double peak_of_tiles(int repeats) {
    const AmxBf16::Unit unit(kAmxRows);  // all tiles are zero, which does not make the products any faster
    for (int i = 0; i < repeats; ++i) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    return 2.0 * repeats * 4 * kAmxRows * kAmxColumns * kAmxInputs;
}

}  // namespace
}  // namespace zprl

#endif  // defined(__AMX_BF16__)
