// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The layer norm of a cluster's rows, which every block does for itself: a chain of latencies as long as a layer's
// products and exchange together if it is done as in tiles, a row after the other by a warp each.
//
// Here all warps have something to do, whatever the number of rows: where a row has several warps, each of them works
// out mean and variance (the same sums in the same order, from what its lanes hold in registers) and writes a part of
// the row. What time adds to scale and shift comes from global memory, and is requested before the row has arrived.

#pragma once

#include "layer_norm.cuh"

namespace zprl {
namespace cuda {

// Of rows of kPieces times kLaneColumns numbers, of which a row has 2^kPerRowLog2 warps: all without a branch.
template <typename Unit, int kPieces, int kPerRowLog2, typename Receive>
ZPRL_DEVICE void held_layer_norm_of_cluster(const NormOperands<typename Unit::Kept>& n, int rows,
                                            const Receive& receive) {
    constexpr int kParts = 1 << kPerRowLog2, kOwn = kPieces > kParts ? kPieces / kParts : 1;  // pieces of a part
    constexpr int kPieceOperandBytes = kLaneColumns * Unit::kElementBytes / kSlabBytes * (kClusterRows * kSlabBytes);
    const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
    const int row = warp >> kPerRowLog2, part = warp & (kParts - 1);
    const bool has_part = row < rows && part < kPieces;
    const int first = part * kLaneColumns + 2 * lane;
    Float2 factor[kOwn], shift[kOwn], own[kOwn], held[kPieces];
    if (has_part) {
        const typename Unit::Kept *const of_shift = n.shift + row * n.modulation_stride + first,
                                         *const of_scale = n.scale + row * n.modulation_stride + first;
        ZPRL_UNROLL
        for (int i = 0; i < kOwn; ++i) {
            constexpr int kApart = kParts * kLaneColumns;
            const Float2 by = Unit::load_kept(of_scale + i * kApart),
                         by_time = load_pair(n.time_scale + first + i * kApart);
            const Float2 to = Unit::load_kept(of_shift + i * kApart),
                         to_time = load_pair(n.time_shift + first + i * kApart);
            factor[i] = {by.x + (1.0f + by_time.x), by.y + (1.0f + by_time.y)};
            shift[i] = {to.x + to_time.x, to.y + to_time.y};
        }
    }
    receive();
    if (!has_part) return;

    const float* const stream = n.stream + row * n.stream_stride;
    ZPRL_UNROLL
    for (int i = 0; i < kPieces; ++i) held[i] = load_pair(stream + 2 * lane + i * kLaneColumns);
    ZPRL_UNROLL
    for (int i = 0; i < kOwn; ++i) own[i] = load_pair(stream + first + i * kParts * kLaneColumns);
    // All lanes have as many numbers, so that means and squared deviations of two are merged by Chan's formula, on one
    // way through the warp instead of two.
    float mean = 0.0f, squares = 0.0f, numbers = 2.0f * kPieces;
    ZPRL_UNROLL
    for (int i = 0; i < kPieces; ++i) mean += held[i].x + held[i].y;
    mean *= 1.0f / (2 * kPieces);
    ZPRL_UNROLL
    for (int i = 0; i < kPieces; ++i) {
        squares += (held[i].x - mean) * (held[i].x - mean) + (held[i].y - mean) * (held[i].y - mean);
    }
    ZPRL_UNROLL
    for (int mask = 16; mask > 0; mask /= 2, numbers *= 2.0f) {
        const float other = device::shuffle_xor(mean, mask), difference = other - mean;
        squares += device::shuffle_xor(squares, mask);
        squares += difference * difference * (0.5f * numbers);
        mean = 0.5f * (mean + other);
    }
    const float inverse_std = device::inverse_sqrt(squares * (1.0f / (kPieces * kLaneColumns)) + kLayerNormEpsilon);
    char* const branch =
        n.branch + swizzled(kClusterRows, row, 2 * lane * Unit::kElementBytes) + part * kPieceOperandBytes;
    ZPRL_UNROLL
    for (int i = 0; i < kOwn; ++i) {
        const float x = (own[i].x - mean) * inverse_std, y = (own[i].y - mean) * inverse_std;
        device::store_operand(branch + i * kParts * kPieceOperandBytes,
                              Unit::operand(x * factor[i].x + shift[i].x, y * factor[i].y + shift[i].y));
    }
}

template <typename Unit, int kPieces, typename Receive>
ZPRL_DEVICE void held_layer_norm_of_cluster(const NormOperands<typename Unit::Kept>& n, int rows,
                                            const Receive& receive) {
    if (rows > 4) return held_layer_norm_of_cluster<Unit, kPieces, 0>(n, rows, receive);
    if (rows > 1) return held_layer_norm_of_cluster<Unit, kPieces, 1>(n, rows, receive);
    held_layer_norm_of_cluster<Unit, kPieces, 3>(n, rows, receive);
}

// Of rows of any width.
template <typename Unit, typename Receive>
ZPRL_DEVICE void general_layer_norm_of_cluster(const NormOperands<typename Unit::Kept>& n, int rows,
                                               const Receive& receive) {
    // Pairs of a lane that are in registers, all of them up to a width of 512.
    constexpr int kHeld = 8;
    constexpr int kPieceOperandBytes = kLaneColumns * Unit::kElementBytes / kSlabBytes * (kClusterRows * kSlabBytes);
    const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
    const int per_row_log2 = rows > 4 ? 0 : rows > 2 ? 1 : rows > 1 ? 2 : 3;  // warps
    const int row = warp >> per_row_log2, part = warp & ((1 << per_row_log2) - 1);
    const int pieces = padded_width(n.width) / kLaneColumns;  // of kLaneColumns columns
    const auto column_of = [&](int piece) { return piece * kLaneColumns + 2 * lane; };
    const auto piece_of_part = [&](int i) { return part + (i << per_row_log2); };

    // Calls function(i) for the pieces that are held; a width of 256 stops halfway.
    const auto for_held = [&](const auto& function) {
        ZPRL_UNROLL
        for (int i = 0; i < kHeld / 2; ++i) function(i);
        if (pieces <= kHeld / 2) return;
        ZPRL_UNROLL
        for (int i = kHeld / 2; i < kHeld; ++i) function(i);
    };

    // All that does not depend on the stream: what the pieces of this part are multiplied with and moved by, nothing
    // past the width.
    const typename Unit::Kept *const of_shift = n.shift + row * n.modulation_stride, *const of_scale =
                                                                                         n.scale +
                                                                                         row * n.modulation_stride;
    Float2 inside[kHeld], factor[kHeld], shift[kHeld];
    const auto factor_of = [&](int column) {
        const Float2 scale = Unit::load_kept(of_scale + column), of_time = load_pair(n.time_scale + column);
        return Float2{column < n.width ? scale.x + (1.0f + of_time.x) : 0.0f,
                      column + 1 < n.width ? scale.y + (1.0f + of_time.y) : 0.0f};
    };
    const auto shift_of = [&](int column) {
        const Float2 own = Unit::load_kept(of_shift + column), of_time = load_pair(n.time_shift + column);
        return Float2{column < n.width ? own.x + of_time.x : 0.0f, column + 1 < n.width ? own.y + of_time.y : 0.0f};
    };
    const auto inside_of = [&](int column) {
        return Float2{column < n.width ? 1.0f : 0.0f, column + 1 < n.width ? 1.0f : 0.0f};
    };
    ZPRL_UNROLL
    for (int i = 0; i < kHeld; ++i) {
        inside[i] = inside_of(column_of(i));
        factor[i] = shift[i] = {0.0f, 0.0f};
        if (row >= rows || piece_of_part(i) >= pieces) continue;
        factor[i] = factor_of(column_of(piece_of_part(i)));
        shift[i] = shift_of(column_of(piece_of_part(i)));
    }
    const float inverse_width = 1.0f / static_cast<float>(n.width);
    receive();
    if (row >= rows) return;

    const float* const stream = n.stream + row * n.stream_stride + 2 * lane;
    Float2 held[kHeld], own[kHeld];  // of this part
    float mean[1] = {}, variance[1] = {};
    for_held([&](int i) {
        held[i] = own[i] = {0.0f, 0.0f};
        if (i < pieces) held[i] = load_pair(stream + i * kLaneColumns);  // numbers past the width are zero
        if (piece_of_part(i) < pieces) own[i] = load_pair(stream + piece_of_part(i) * kLaneColumns);
    });
    const auto add_square = [&](float x, float y) { variance[0] += x * x + y * y; };
    for_held([&](int i) { mean[0] += held[i].x + held[i].y; });
    ZPRL_NO_UNROLL
    for (int i = kHeld; i < pieces; ++i) {
        const Float2 pair = load_pair(stream + i * kLaneColumns);
        mean[0] += pair.x + pair.y;
    }
    sum_over_warp(mean);
    mean[0] *= inverse_width;
    for_held([&](int i) { add_square(held[i].x - inside[i].x * mean[0], held[i].y - inside[i].y * mean[0]); });
    ZPRL_NO_UNROLL
    for (int i = kHeld; i < pieces; ++i) {
        const Float2 pair = load_pair(stream + i * kLaneColumns), is_inside = inside_of(column_of(i));
        add_square(pair.x - is_inside.x * mean[0], pair.y - is_inside.y * mean[0]);
    }
    sum_over_warp(variance);
    const float inverse_std = device::inverse_sqrt(variance[0] * inverse_width + kLayerNormEpsilon);

    char* const branch = n.branch + swizzled(kClusterRows, row, 2 * lane * Unit::kElementBytes);
    const auto write = [&](int piece, Float2 pair, Float2 by, Float2 to) {
        const float x = (pair.x - mean[0]) * inverse_std, y = (pair.y - mean[0]) * inverse_std;
        device::store_operand(branch + piece * kPieceOperandBytes, Unit::operand(x * by.x + to.x, y * by.y + to.y));
    };
    ZPRL_UNROLL
    for (int i = 0; i < kHeld; ++i) {
        if (piece_of_part(i) >= pieces) break;
        write(piece_of_part(i), own[i], factor[i], shift[i]);
    }
    ZPRL_NO_UNROLL
    for (int piece = piece_of_part(kHeld); piece < pieces; piece += 1 << per_row_log2) {
        const int column = column_of(piece);
        write(piece, load_pair(stream + piece * kLaneColumns), factor_of(column), shift_of(column));
    }
}

// Of `rows` rows; `receive` waits until the stream is there, and is called by all threads.
template <typename Unit, typename Receive>
ZPRL_DEVICE void modulated_layer_norm_of_cluster(const NormOperands<typename Unit::Kept>& n, int rows,
                                                 const Receive& receive) {
    if (n.width == 4 * kLaneColumns) return held_layer_norm_of_cluster<Unit, 4>(n, rows, receive);
    if (n.width == 8 * kLaneColumns) return held_layer_norm_of_cluster<Unit, 8>(n, rows, receive);
    general_layer_norm_of_cluster<Unit>(n, rows, receive);
}

}  // namespace cuda
}  // namespace zprl
