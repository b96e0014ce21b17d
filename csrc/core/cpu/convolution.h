// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Convolutions over the positions of samples, for the instruction set of the including file.
//
// Activations are [samples][positions][stride], the channels of a position side by side, so a convolution is a sum of
// matrix products, one per tap, of rows that are read where they lie: nothing is gathered into a matrix first. Weights
// are packed as those of the other layers, in panels of outputs, tap after tap (see policy_blob.h).
//
// Rows are taken position by position, and within one sample by sample. A tile of rows runs through those taps that at
// least one of its positions has; a row that lacks one reads zeros. So at the two positions that a horizon of 8 leaves
// on a third level, a kernel of 5 reads three fifths of its weights, and in a large batch a tile of one position
// multiplies nothing with zeros.
//
// Roofline: with one sample each weight is used for a few positions alone, and reading it bounds the time: from memory,
// where a velocity field outgrows the caches (the paper's network has 16 million weights, of which a horizon of 8 reads
// 10 million). Pages of 2 MiB make that 1.3 to 1.8 times as fast (see blob_memory.h); fetching ahead by 2 to 16 KiB was
// not faster. From about 12 rows on it is bound by the multiply-adds.
//
// Every sum is taken in the order of taps and channels, whatever the tile, and a zero more or less changes no sum: a
// sample's result depends on neither the batch nor its place in it.

#pragma once

#include "matmul.h"
#include "scratch.h"

namespace zprl {
namespace {

// Vectors of sums that each row of a convolution's tile has under way: at least as many as in a product of matrices,
// and where there are few rows, as many as hide the latency.
template <typename W, int kRows>
constexpr int tile_vectors() {
    const int wanted = kRows * kTileVectors < kRowVectors ? kRowVectors / kRows : kTileVectors;
    return wanted * W::kOutputs < kPanel ? wanted : kPanel / W::kOutputs;
}

// What a convolution reads: the channels of `length` positions per sample.
template <typename W>
struct Signal {
    const typename W::Input* data;
    int stride;  // of a position
    int length;
};

// finish(sample, position, column, sum + bias) for kRows rows from `row` on and tile_vectors() vectors of outputs.
template <typename W, int kRows, typename Finish>
static void convolution_tile(const Convolution& conv, const Signal<W>& x, const typename W::Input* zeros, int samples,
                             int row, int column, const Finish& finish) {
    constexpr int kVectors = tile_vectors<W, kRows>();
    constexpr int kVectorBytes = W::kOutputs * sizeof(float);
    const int steps_per_tap = conv.channels / W::kInputsPerStep;

    const typename W::Input* sample[kRows];
    int position[kRows];  // that the first tap reads
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
        position[r] = (row + r) / samples * conv.stride + conv.first;
        sample[r] = x.data + static_cast<size_t>((row + r) % samples) * x.length * x.stride;
    }
    const int begin = larger(0, -position[kRows - 1]), end = smaller(conv.taps, x.length - position[0]);

    const char* weights = static_cast<const char*>(conv.layer.weight) +
                          static_cast<size_t>(column / kPanel) * conv.taps * steps_per_tap * kStepBytes +
                          static_cast<size_t>(begin) * steps_per_tap * kStepBytes + column % kPanel * sizeof(float);
    Vec sums[kRows][kVectors] = {};
    for (int tap = begin; tap < end; ++tap) {
        const typename W::Input* input[kRows];
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const int at = position[r] + tap;
            input[r] = at >= 0 && at < x.length ? sample[r] + static_cast<size_t>(at) * x.stride : zeros;
        }
        for (int i = 0; i < conv.channels; i += W::kInputsPerStep, weights += kStepBytes) {
            Vec w[kVectors];
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) w[v] = W::weights(weights + v * kVectorBytes);
#pragma GCC unroll 16
            for (int r = 0; r < kRows; ++r) {
                const Vec value = W::input(input[r] + i);
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; ++v) sums[r][v] = W::add_product(sums[r][v], value, w[v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
            const int at = column + v * W::kOutputs;
            finish((row + r) % samples, (row + r) / samples, at, sums[r][v] + W::bias(conv.layer.bias + at));
        }
    }
}

// finish(sample, position, column, sum + bias) for `length` positions of all samples and the outputs [first, end),
// which are whole panels.
//
//   zeros  as many as a tap has channels
template <typename W, typename Finish>
static void convolve(const Convolution& conv, const Signal<W>& x, const typename W::Input* zeros, int samples,
                     int length, int first, int end, const Finish& finish) {
    const int rows = samples * length;
    for (int panel = first; panel < end; panel += kPanel) {
        int row = 0;
        const auto tiles = [&](auto count) __attribute__((always_inline)) {
            constexpr int kColumns = tile_vectors<W, count.value>() * W::kOutputs;
            static_assert(kPanel % kColumns == 0, "a panel holds whole tiles");
            for (; row + count.value <= rows; row += count.value) {
                for (int column = panel; column < panel + kPanel; column += kColumns) {
                    convolution_tile<W, count.value>(conv, x, zeros, samples, row, column, finish);
                }
            }
        };
        tiles(Count<kTileRows>{});
        if constexpr (kTileRows > 4) tiles(Count<4>{});
        tiles(Count<2>{});
        tiles(Count<1>{});
    }
}

}  // namespace
}  // namespace zprl
