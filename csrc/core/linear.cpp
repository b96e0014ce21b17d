// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// y = x * weight + bias on small row blocks.
//
// Memory plan: a tile of kTileRows x kTileColumns sums stays in vector registers while the loop over `in` streams a
// column panel of the weights, in * 128 bytes (32 KB at in = 256), which stays in the L1 cache for the other rows of
// the block. Weights are stored [in][out], so the inner loop over outputs is a contiguous load, and a broadcast of x.
//
// Cost: 2 * rows * in * out operations.
//
// Every sum is taken in the order of `in`, by the same instructions whichever rows are beside it: a row's result
// depends on neither the batch nor the row's place in it. Rows are padded rather than treated apart for that reason.

#include "linear.h"

// Compile the routine for three generations of x86-64 and let the loader choose. Other compilers and processors get one
// version, for the flags of the build.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__) && __GNUC__ >= 12
#define ZPRL_TARGET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ZPRL_TARGET_CLONES
#endif

namespace zprl {

ZPRL_TARGET_CLONES
void linear(const Linear& layer, const float* x, int rows, float* y) {
    constexpr int kTileColumns = 32;
    const int in = layer.in, out = layer.out;

    for (int column = 0; column < out; column += kTileColumns) {
        const int columns = out - column < kTileColumns ? out - column : kTileColumns;
        for (int row = 0; row < rows; row += kTileRows) {
            float sums[kTileRows][kTileColumns] = {};
            const float* weight = layer.weight + column;
            const float* input = x + static_cast<size_t>(row) * in;

            if (columns == kTileColumns) {  // a constant width, so that the sums can live in registers
                for (int i = 0; i < in; ++i, weight += out) {
                    for (int r = 0; r < kTileRows; ++r) {
                        const float value = input[static_cast<size_t>(r) * in + i];
                        for (int c = 0; c < kTileColumns; ++c) sums[r][c] += value * weight[c];
                    }
                }
            } else {
                for (int i = 0; i < in; ++i, weight += out) {
                    for (int r = 0; r < kTileRows; ++r) {
                        const float value = input[static_cast<size_t>(r) * in + i];
                        for (int c = 0; c < columns; ++c) sums[r][c] += value * weight[c];
                    }
                }
            }

            for (int r = 0; r < kTileRows; ++r) {
                float* output = y + static_cast<size_t>(row + r) * out + column;
                for (int c = 0; c < columns; ++c) output[c] = sums[r][c] + layer.bias[column + c];
            }
        }
    }
}

}  // namespace zprl
