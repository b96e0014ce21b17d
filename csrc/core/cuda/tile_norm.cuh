// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The layer norm of a tile's rows: a warp per row, and several rows at once where it has as many, since a row alone is
// a chain of latencies.

#pragma once

#include "layer_norm.cuh"

namespace zprl {
namespace cuda {

// Of rows that registers hold, of kPieces times kLaneColumns numbers: read once, with all that they are multiplied
// with and moved by on its way meanwhile.
template <typename Unit, int kRows, int kPieces>
ZPRL_DEVICE void held_layer_norm_of_tile(const NormOperands<typename Unit::Kept>& n, int rows) {
    // As many rows at once as registers have room for.
    constexpr int kRowsOfWarp = kRows / kWarps, kMost = (sizeof(typename Unit::Kept) == 2 ? 16 : 8) / kPieces;
    constexpr int kRowsAtOnce = kRowsOfWarp < kMost ? kRowsOfWarp : kMost;
    constexpr float kInverseWidth = 1.0f / (kPieces * kLaneColumns);
    const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
    Float2 of_shift[kPieces], of_scale[kPieces];
    ZPRL_UNROLL
    for (int i = 0; i < kPieces; ++i) {
        of_shift[i] = load_pair(n.time_shift + i * kLaneColumns + 2 * lane);
        of_scale[i] = load_pair(n.time_scale + i * kLaneColumns + 2 * lane);
    }
    ZPRL_NO_UNROLL
    for (int first = warp; first < rows; first += kRowsAtOnce * kWarps) {
        Float2 x[kRowsAtOnce][kPieces], shift[kRowsAtOnce][kPieces], scale[kRowsAtOnce][kPieces];
        float mean[kRowsAtOnce] = {}, variance[kRowsAtOnce] = {};
        ZPRL_UNROLL
        for (int row = 0; row < kRowsAtOnce; ++row) {
            const float* const stream = n.stream + (first + row * kWarps) * n.stream_stride + 2 * lane;
            const int of_row = (first + row * kWarps) * n.modulation_stride + 2 * lane;
            ZPRL_UNROLL
            for (int i = 0; i < kPieces; ++i) {
                x[row][i] = load_pair(stream + i * kLaneColumns);
                shift[row][i] = Unit::load_kept(n.shift + of_row + i * kLaneColumns);
                scale[row][i] = Unit::load_kept(n.scale + of_row + i * kLaneColumns);
                mean[row] += x[row][i].x + x[row][i].y;
            }
        }
        sum_over_warp(mean);
        ZPRL_UNROLL
        for (int row = 0; row < kRowsAtOnce; ++row) {
            ZPRL_UNROLL
            for (int i = 0; i < kPieces; ++i) {
                x[row][i].x -= mean[row] * kInverseWidth;
                x[row][i].y -= mean[row] * kInverseWidth;
                variance[row] += x[row][i].x * x[row][i].x + x[row][i].y * x[row][i].y;
            }
        }
        sum_over_warp(variance);
        ZPRL_UNROLL
        for (int row = 0; row < kRowsAtOnce; ++row) {
            const float inverse_std = device::inverse_sqrt(variance[row] * kInverseWidth + kLayerNormEpsilon);
            char* const branch = n.branch + swizzled(kRows, first + row * kWarps, 2 * lane * Unit::kElementBytes);
            ZPRL_UNROLL
            for (int i = 0; i < kPieces; ++i) {
                const Float2 by = scale[row][i], to = shift[row][i];
                const float a = x[row][i].x * inverse_std * (by.x + (1.0f + of_scale[i].x)) + (to.x + of_shift[i].x);
                const float b = x[row][i].y * inverse_std * (by.y + (1.0f + of_scale[i].y)) + (to.y + of_shift[i].y);
                constexpr int kPieceSlabs = kLaneColumns * Unit::kElementBytes / kSlabBytes;
                device::store_operand(branch + i * kPieceSlabs * (kRows * kSlabBytes), Unit::operand(a, b));
            }
        }
    }
}

// Of rows of any width.
template <typename Unit, int kRows>
ZPRL_DEVICE void general_layer_norm_of_tile(const NormOperands<typename Unit::Kept>& n, int rows) {
    constexpr int kRowsOfWarp = kRows / kWarps, kRowsAtOnce = kRowsOfWarp < 4 ? kRowsOfWarp : 4;
    constexpr int kColumnsAtOnce = 4 / kRowsAtOnce;
    static_assert(kRowsOfWarp % kRowsAtOnce == 0, "rows at once end with the block's");
    const int width = n.width, hidden = padded_width(width);
    const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
    const float inverse_width = 1.0f / static_cast<float>(width);
    for (int first = warp; first < rows; first += kRowsAtOnce * kWarps) {
        const float* const stream = n.stream + first * n.stream_stride;
        const typename Unit::Kept *const of_shift = n.shift + first * n.modulation_stride, *const of_scale =
                                                                                               n.scale +
                                                                                               first *
                                                                                                   n.modulation_stride;
        const int stream_step = kWarps * n.stream_stride, modulation_step = kWarps * n.modulation_stride;
        float mean[kRowsAtOnce] = {}, variance[kRowsAtOnce] = {};
        ZPRL_UNROLL_BY(kColumnsAtOnce)
        for (int i = 2 * lane; i < hidden; i += 64) {  // numbers past the width are zero
            ZPRL_UNROLL
            for (int row = 0; row < kRowsAtOnce; ++row) {
                const Float2 pair = load_pair(stream + row * stream_step + i);
                mean[row] += pair.x + pair.y;
            }
        }
        sum_over_warp(mean);
        ZPRL_UNROLL
        for (float& each : mean) each *= inverse_width;
        ZPRL_UNROLL_BY(kColumnsAtOnce)
        for (int i = 2 * lane; i < hidden; i += 64) {
            ZPRL_UNROLL
            for (int row = 0; row < kRowsAtOnce; ++row) {
                const Float2 pair = load_pair(stream + row * stream_step + i);
                const float x = i < width ? pair.x - mean[row] : 0.0f, y = i + 1 < width ? pair.y - mean[row] : 0.0f;
                variance[row] += x * x + y * y;
            }
        }
        sum_over_warp(variance);
        float inverse_std[kRowsAtOnce];
        ZPRL_UNROLL
        for (int row = 0; row < kRowsAtOnce; ++row) {
            inverse_std[row] = device::inverse_sqrt(variance[row] * inverse_width + kLayerNormEpsilon);
        }
        ZPRL_UNROLL_BY(kColumnsAtOnce)
        for (int i = 2 * lane; i < hidden; i += 64) {
            const Float2 time_shift = load_pair(n.time_shift + i), time_scale = load_pair(n.time_scale + i);
            ZPRL_UNROLL
            for (int row = 0; row < kRowsAtOnce; ++row) {
                const Float2 pair = load_pair(stream + row * stream_step + i);
                const Float2 shift = Unit::load_kept(of_shift + row * modulation_step + i);
                const Float2 scale = Unit::load_kept(of_scale + row * modulation_step + i);
                float x = (pair.x - mean[row]) * inverse_std[row], y = (pair.y - mean[row]) * inverse_std[row];
                x = x * (scale.x + (1.0f + time_scale.x)) + (shift.x + time_shift.x);
                y = y * (scale.y + (1.0f + time_scale.y)) + (shift.y + time_shift.y);
                char* const to = n.branch + swizzled(kRows, first + row * kWarps, i * Unit::kElementBytes);
                device::store_operand(to, Unit::operand(i < width ? x : 0.0f, i + 1 < width ? y : 0.0f));
            }
        }
    }
}

template <typename Unit, int kRows>
ZPRL_DEVICE void modulated_layer_norm_of_tile(const NormOperands<typename Unit::Kept>& n, int rows) {
    if (n.width == 4 * kLaneColumns) return held_layer_norm_of_tile<Unit, kRows, 4>(n, rows);
    if (n.width == 8 * kLaneColumns) return held_layer_norm_of_tile<Unit, kRows, 8>(n, rows);
    general_layer_norm_of_tile<Unit, kRows>(n, rows);
}

}  // namespace cuda
}  // namespace zprl
