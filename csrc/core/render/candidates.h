// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Sets of primitives, a bit each: which may be seen in a tile, and which may stand before the light.

#pragma once

#include "vectors.h"
#include "view.h"

namespace zprl::render {
namespace {

// How far some primitives reach along a direction: centre - extent to centre + extent, and a bit more than that, for
// all roundings up to those of intersect.h.
struct Range {
    Vec low, high;
};

ZPRL_INLINE Range range(const View& view, int first, Vec x, Vec y, Vec z) {
    constexpr float kMargin = 1e-5f;
    const auto along = [&](int row) __attribute__((always_inline)) {
        const float* bound = view.bounds + static_cast<ptrdiff_t>(row) * view.padded + first;
        return load(bound) * x + load(bound + view.padded) * y + load(bound + 2 * view.padded) * z;
    };
    const auto row = [&](int row) __attribute__((always_inline)) {
        return load(view.bounds + static_cast<ptrdiff_t>(row) * view.padded + first);
    };
    const Vec center = along(kCenter), flat = along(kFlat), square = x * x + y * y + z * z;
    const Vec size = abs(row(kCenter)) + abs(row(kCenter + 1)) + abs(row(kCenter + 2));
    const Vec round = row(kRadius) * sqrt(max(square - flat * flat, Vec{}));
    Vec extent = abs(along(kReach)) + abs(along(kReach + 3)) + abs(along(kReach + 6)) + round;
    extent += kMargin * (extent + size * sqrt(square));
    return {center - extent, center + extent};
}

ZPRL_INLINE void add_bits(uint64_t* set, int first, IntVec mask) {
    set[first / 64] |= static_cast<uint64_t>(bits(mask)) << (first % 64);
}

// What is on the two sides of a plane through the camera, or on both.
ZPRL_INLINE void split(const View& view, Vec x, Vec y, Vec z, uint64_t* before, uint64_t* after) {
    for (int w = 0; w < view.words; ++w) before[w] = after[w] = 0;
    for (int first = 0; first < view.padded; first += kLanes) {
        const Range r = range(view, first, x, y, z);
        add_bits(before, first, r.low <= 0.0f);
        add_bits(after, first, r.high >= 0.0f);
    }
}

// For each column of tiles, what is present, neither too near nor too far, and between the column's edges.
ZPRL_INLINE void find_columns(const View& view) {
    const Vec one = broadcast(1.0f), zero = {};
    const int words = view.words;
    uint64_t *seen = view.row_set, *after = seen + words, *before = after + words;
    for (int w = 0; w < words; ++w) seen[w] = 0;
    for (int first = 0; first < view.padded; first += kLanes) {
        const Range depth = range(view, first, zero, zero, -one);
        store(view.nearest + first, depth.low);
        add_bits(seen, first, (depth.high >= view.near) & (depth.low <= view.far));
    }
    for (int w = 0; w < words; ++w) seen[w] &= view.present[w];
    for (int column = 0; column <= view.tile_columns; ++column) {
        uint64_t* set = view.column_sets + static_cast<ptrdiff_t>(column) * words;
        split(view, one, zero, broadcast(view.column_edges[column]), before, after);
        for (int w = 0; w < words; ++w) {
            if (column > 0) set[w - words] &= before[w];
            set[w] = seen[w] & after[w];
        }
    }
}

// v falls from row to row.
ZPRL_INLINE void find_row(const View& view, int row) {
    const Vec one = broadcast(1.0f), zero = {};
    const int words = view.words;
    uint64_t *set = view.row_set, *below_top = set + words, *other = below_top + words;
    split(view, zero, one, broadcast(view.row_edges[row]), below_top, other);
    split(view, zero, one, broadcast(view.row_edges[row + 1]), other, set);
    for (int w = 0; w < words; ++w) set[w] &= below_top[w];
}

// What may be seen in a tile of the row. Return whether there is something.
ZPRL_INLINE bool find_tile(const View& view, int column) {
    const uint64_t* set = view.column_sets + static_cast<ptrdiff_t>(column) * view.words;
    uint64_t seen = 0;
    for (int w = 0; w < view.words; ++w) seen |= view.tile_set[w] = set[w] & view.row_set[w];
    return seen != 0;
}

ZPRL_INLINE void find_shadows(const View& view) {
    for (int first = 0; first < view.padded; first += kLanes) {
        const auto range_along = [&](const float n[3]) __attribute__((always_inline)) {
            return range(view, first, broadcast(n[0]), broadcast(n[1]), broadcast(n[2]));
        };
        const auto row = [&](int row) __attribute__((always_inline)) {
            return view.shadows + static_cast<ptrdiff_t>(row) * view.padded + first;
        };
        for (int side = 0; side < 2; ++side) {
            const Range r = range_along(view.sides[side]);
            store(row(kLow + side), r.low);
            store(row(kHigh + side), r.high);
        }
        store(row(kTop), range_along(view.to_light).high);
    }
}

// Call visit(index) for all primitives of a set, in order.
template <typename Visit>
ZPRL_INLINE void for_each(const uint64_t* set, int words, const Visit& visit) {
    for (int w = 0; w < words; ++w) {
        for (uint64_t left = set[w]; left != 0; left &= left - 1) visit(w * 64 + __builtin_ctzll(left));
    }
}

// A part of the scene along both sides of the light's way, and where it begins along the way to the light.
struct Patch {
    float low[2], high[2], depth;
};

// Call visit(index) for all primitives that may stand between a part of the scene and the light.
template <typename Visit>
ZPRL_INLINE void for_each_before(const View& view, const Patch& patch, const Visit& visit) {
    for (int first = 0; first < view.padded; first += kLanes) {
        const auto row = [&](int row) __attribute__((always_inline)) {
            return load(view.shadows + static_cast<ptrdiff_t>(row) * view.padded + first);
        };
        const IntVec between = (row(kLow) <= patch.high[0]) & (row(kHigh) >= patch.low[0]) &
                               (row(kLow + 1) <= patch.high[1]) & (row(kHigh + 1) >= patch.low[1]) &
                               (row(kTop) >= patch.depth);
        uint32_t set = bits(between) & static_cast<uint32_t>(view.present[first / 64] >> (first % 64));
        for (; set != 0; set &= set - 1) visit(first + __builtin_ctz(set));
    }
}

}  // namespace
}  // namespace zprl::render
