// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Drawing a world, for the instruction set of the including file: which primitives may be in which tile, the nearest of
// them along each ray, and its light.
//
// A vector holds rays of neighbouring pixels, one each. Everything has internal linkage, for the reason that
// ../cpu/simd.h gives.

#pragma once

#include "intersect.h"

namespace zprl::render {
namespace {

constexpr float kLift = 1e-4f;  // of a shadow's ray above the surface that it starts from [m]

// ---- Sets of primitives, a bit each
// ----------------------------------------------------------------------------------

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
ZPRL_INLINE void for_each(const uint64_t* a, const uint64_t* b, int words, const Visit& visit) {
    for (int w = 0; w < words; ++w) {
        for (uint64_t set = a[w] & b[w]; set != 0; set &= set - 1) visit(w * 64 + __builtin_ctzll(set));
    }
}

// ---- Rays
// ------------------------------------------------------------------------------------------------------------

struct Pixels {
    Vec u, v, square, inverse;  // the last of u^2 + v^2 + 1
};

ZPRL_INLINE Pixels pixels(const View& view, int column, int row, int at, int sample_u, int sample_v) {
    const Vec u = load(view.u[sample_u] + static_cast<ptrdiff_t>(column) * kTilePixels + at);
    const Vec v = load(view.v[sample_v] + static_cast<ptrdiff_t>(row) * kTilePixels + at);
    const Vec square = u * u + v * v + 1.0f;
    return {u, v, square, 1.0f / square};
}

ZPRL_INLINE Vec3 to_local(const Primitive& p, const Pixels& s) {
    const auto along = [&](const float axis[3])
                           __attribute__((always_inline)) { return axis[0] * s.u + axis[1] * s.v - axis[2]; };
    return {along(p.axes[0]), along(p.axes[1]), along(p.axes[2])};
}

ZPRL_INLINE Vec3 to_local(const Primitive& p, const Vec3& v) {
    return {dot(v, p.axes[0]), dot(v, p.axes[1]), dot(v, p.axes[2])};
}

struct Seen {
    Vec depth;
    IntVec primitive;  // -1: none
};

ZPRL_INLINE Seen trace(const View& view, const Pixels& s, const uint64_t* column_set) {
    Seen seen = {broadcast(view.far), IntVec{} - 1};
    const Vec near = broadcast(view.near);
    for_each(column_set, view.row_set, view.words, [&](int index) __attribute__((always_inline)) {
        const Primitive& p = view.primitives[index];
        const Hits h = intersect(p, {broadcast(p.origin), to_local(p, s), s.square, s.inverse}, near);
        const IntVec closer = h.valid & (h.length < seen.depth);
        seen.depth = closer ? h.length : seen.depth;
        seen.primitive = closer ? IntVec{} + index : seen.primitive;
    });
    return seen;
}

// Call visit(primitive, its pixels) for all primitives that are seen.
template <typename Visit>
ZPRL_INLINE void for_each_seen(const View& view, IntVec primitive, const Visit& visit) {
    for (uint32_t left = bits(primitive >= 0); left != 0;) {
        const int index = primitive[__builtin_ctz(left)];
        const IntVec here = primitive == index;
        visit(view.primitives[index], here);
        left &= ~bits(here);
    }
}

// Which of the points that face the light, all in the camera's frame, something stands before.
ZPRL_INLINE IntVec in_shadow(const View& view, const Vec3& at, IntVec facing) {
    const float kInfinite = __builtin_inff();
    Vec low[2], high[2];
    for (int side = 0; side < 2; ++side) {
        const Vec x = dot(at, view.sides[side]);
        low[side] = broadcast(lowest(facing ? x : broadcast(kInfinite)));
        high[side] = broadcast(highest(facing ? x : broadcast(-kInfinite)));
    }
    const Vec depth = broadcast(lowest(facing ? dot(at, view.to_light) : broadcast(kInfinite)));
    const Vec one = broadcast(1.0f);
    IntVec shadow = {};
    for (int first = 0; first < view.padded; first += kLanes) {
        const auto row = [&](int row) __attribute__((always_inline)) {
            return load(view.shadows + static_cast<ptrdiff_t>(row) * view.padded + first);
        };
        const IntVec between = (row(kLow) <= high[0]) & (row(kHigh) >= low[0]) & (row(kLow + 1) <= high[1]) &
                               (row(kHigh + 1) >= low[1]) & (row(kTop) >= depth);
        uint32_t set = bits(between) & static_cast<uint32_t>(view.present[first / 64] >> (first % 64));
        for (; set != 0; set &= set - 1) {
            const Primitive& p = view.primitives[first + __builtin_ctz(set)];
            Vec3 origin = to_local(p, at);
            origin = {origin.x + p.origin[0], origin.y + p.origin[1], origin.z + p.origin[2]};
            shadow |= intersect(p, {origin, broadcast(p.to_light), one, one}, Vec{}).valid;
        }
    }
    return shadow & facing;
}

// ---- Light and colour
// ------------------------------------------------------------------------------------------------

struct Color {
    Vec channels[3];  // linear
};

ZPRL_INLINE Color shade(const View& view, const Pixels& s, const Seen& seen) {
    const Vec zero = {};
    Vec light = zero, up = zero;
    Color color;
    for (int i = 0; i < 3; ++i) color.channels[i] = broadcast(view.background[i]);
    Vec3 outwards = {zero, zero, zero};
    for_each_seen(view, seen.primitive, [&](const Primitive& p, IntVec here) __attribute__((always_inline)) {
        const Vec3 n = normal(p, along(broadcast(p.origin), seen.depth, to_local(p, s)));
        light = here ? dot(n, p.to_light) : light;
        up = here ? dot(n, p.up) : up;
        for (int i = 0; i < 3; ++i) color.channels[i] = here ? broadcast(p.albedo[i]) : color.channels[i];
        if (view.casts_shadows) {
            outwards.x = here ? n.x * p.axes[0][0] + n.y * p.axes[1][0] + n.z * p.axes[2][0] : outwards.x;
            outwards.y = here ? n.x * p.axes[0][1] + n.y * p.axes[1][1] + n.z * p.axes[2][1] : outwards.y;
            outwards.z = here ? n.x * p.axes[0][2] + n.y * p.axes[1][2] + n.z * p.axes[2][2] : outwards.z;
        }
    });
    const IntVec surface = seen.primitive >= 0;
    light = max(light, zero);
    if (view.casts_shadows) {
        const IntVec facing = surface & (light > 0.0f);
        if (any(facing)) {
            const Vec3 at = {s.u * seen.depth, s.v * seen.depth, -seen.depth};
            const IntVec shadow = in_shadow(view, along(at, broadcast(kLift), outwards), facing);
            light = shadow ? view.shadow_light * light : light;
        }
    }
    const Vec share = (up + 1.0f) * 0.5f;
    for (int i = 0; i < 3; ++i) {
        const Vec all = view.ambient_from_below[i] + view.ambient_gain[i] * share + light;
        color.channels[i] = surface ? color.channels[i] * all : color.channels[i];
    }
    return color;
}

// Linear light to the levels of sRGB, 0 to 255, rounded down. Above the part that is linear, 1.055 x^(1 / 2.4) - 0.055
// is a polynomial of the fourth root, off by 2e-6.
ZPRL_INLINE IntVec encode(Vec x) {
    x = min(max(x, Vec{}), broadcast(1.0f));
    const Vec s = sqrt(sqrt(x));
    Vec p = s * 0.06487332f - 0.30603698f;
    p = p * s + 0.63876945f;
    p = p * s - 0.83896536f;
    p = p * s + 1.3602256f;
    p = p * s + 0.14077678f;
    p = p * s - 0.05964175f;
    const Vec level = 255.0f * (x <= 0.0031308f ? 12.92f * x : p);
    return __builtin_convertvector(min(max(level, Vec{}), broadcast(255.0f)), IntVec);
}

// ---- Tiles
// -----------------------------------------------------------------------------------------------------------

struct Tile {
    int32_t rgb[kTilePixels];  // the lower three bytes, red first
    float depth[kTilePixels];
    int32_t segmentation[kTilePixels];
};

// A row of a tile, of which the last of the image may stand out beyond it.
ZPRL_INLINE void write_row(const View& view, ptrdiff_t to, const Tile& tile, int from, int columns) {
    const size_t bytes = sizeof(float) * columns;
    if (view.depth != nullptr) __builtin_memcpy(view.depth + to, tile.depth + from, bytes);
    if (view.segmentation != nullptr) __builtin_memcpy(view.segmentation + to, tile.segmentation + from, bytes);
    if (view.rgb == nullptr) return;
    uint8_t* rgb = view.rgb + 3 * to;
    const auto pixel = [&](int i) { return static_cast<uint64_t>(tile.rgb[from + i]); };
    if (columns == kTile) {
        const uint64_t low = pixel(0) | pixel(1) << 24 | pixel(2) << 48;
        const uint32_t high = static_cast<uint32_t>(pixel(2) >> 16 | pixel(3) << 8);
        __builtin_memcpy(rgb, &low, 8);
        __builtin_memcpy(rgb + 8, &high, 4);
        return;
    }
    for (int i = 0; i < 3 * columns; ++i) rgb[i] = static_cast<uint8_t>(pixel(i / 3) >> (8 * (i % 3)));
}

ZPRL_INLINE void write(const View& view, int column, int row, const Tile& tile) {
    const int x = column * kTile, y = row * kTile;
    const int columns = view.width - x, rows = view.height - y < kTile ? view.height - y : kTile;
    for (int i = 0; i < rows; ++i) {
        const ptrdiff_t to = static_cast<ptrdiff_t>(y + i) * view.width + x;
        if (columns >= kTile) {
            write_row(view, to, tile, i * kTile, kTile);
        } else {
            write_row(view, to, tile, i * kTile, columns);
        }
    }
}

ZPRL_INLINE IntVec packed(const Color& color) {
    return encode(color.channels[0]) | encode(color.channels[1]) << 8 | encode(color.channels[2]) << 16;
}

// Samples in this order: the pixels' centres, which depth and segmentation show, and the four around them.
ZPRL_INLINE void draw_tile(const View& view, int column, int row, Tile& tile) {
    const uint64_t* set = view.column_sets + static_cast<ptrdiff_t>(column) * view.words;
    const bool fine = view.samples == 2, centers = view.depth != nullptr || view.segmentation != nullptr || !fine;
    const int end = fine && view.rgb != nullptr ? 5 : 1;
    for (int at = 0; at < kTilePixels; at += kLanes) {
        Color sum = {};
        for (int sample = centers ? 0 : 1; sample < end; ++sample) {
            const int across = sample == 0 ? 0 : 1 + (sample - 1) % 2, down = sample == 0 ? 0 : 1 + (sample - 1) / 2;
            const Pixels s = pixels(view, column, row, at, across, down);
            const Seen seen = trace(view, s, set);
            if (sample == 0) {
                store(tile.depth + at, seen.primitive >= 0 ? seen.depth : broadcast(view.background_depth));
                IntVec ids = IntVec{} + view.background_id;
                for_each_seen(view, seen.primitive,
                              [&](const Primitive& p, IntVec here)
                                  __attribute__((always_inline)) { ids = here ? IntVec{} + p.id : ids; });
                store(tile.segmentation + at, ids);
            }
            if (view.rgb != nullptr && fine == (sample > 0)) {
                const Color color = shade(view, s, seen);
                for (int i = 0; i < 3; ++i) sum.channels[i] += color.channels[i];
            }
        }
        if (view.rgb != nullptr) {
            for (Vec& channel : sum.channels) channel *= fine ? 0.25f : 1.0f;
            store(tile.rgb + at, packed(sum));
        }
    }
}

ZPRL_INLINE void draw_background(const View& view, Tile& tile) {
    Color color;
    for (int i = 0; i < 3; ++i) color.channels[i] = broadcast(view.background[i]);
    for (int at = 0; at < kTilePixels; at += kLanes) {
        store(tile.depth + at, broadcast(view.background_depth));
        store(tile.segmentation + at, IntVec{} + view.background_id);
        store(tile.rgb + at, packed(color));
    }
}

static void draw(const View& view, int first, int end) {
    find_columns(view);
    if (view.casts_shadows) find_shadows(view);
    Tile background, tile;
    draw_background(view, background);
    for (int row = first; row < end; ++row) {
        find_row(view, row);
        for (int column = 0; column < view.tile_columns; ++column) {
            const uint64_t* set = view.column_sets + static_cast<ptrdiff_t>(column) * view.words;
            uint64_t seen = 0;
            for (int w = 0; w < view.words; ++w) seen |= set[w] & view.row_set[w];
            if (seen != 0) draw_tile(view, column, row, tile);
            write(view, column, row, seen != 0 ? tile : background);
        }
    }
}

}  // namespace
}  // namespace zprl::render
