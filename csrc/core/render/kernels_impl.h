// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Drawing a world tile by tile, for the instruction set of the including file. Everything has internal linkage, for the
// reason that ../cpu/simd.h gives.

#pragma once

#include "faces.h"

namespace zprl::render {
namespace {

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

// Depth and segmentation are those of the pixels' centres.
ZPRL_INLINE void show(const View& view, const Seen (&seen)[1], int at, Tile& tile) {
    store(tile.depth + at, seen[0].primitive >= 0 ? seen[0].depth : broadcast(view.background_depth));
    IntVec ids = IntVec{} + view.background_id;
    for_each_seen(view, seen, [&](const Primitive& p, int, IntVec here) __attribute__((always_inline)) {
        ids = here ? IntVec{} + p.id : ids;
    });
    store(tile.segmentation + at, ids);
}

// Whether a primitive is all that is seen.
template <int kCount>
ZPRL_INLINE bool only(int primitive, const Seen (&seen)[kCount]) {
    IntVec others = {};
    for (const Seen& each : seen) others |= each.primitive != primitive;
    return !any(others);
}

// One sample per pixel, at its centre, or the four around it. What centres and colours show is drawn on demand; `even`
// stands for all colours where only its primitive is seen.
template <int kCount>
ZPRL_INLINE void draw_samples(const View& view, int column, int row, bool centers, bool colors, const Face* even,
                              Tile& tile) {
    for (int at = 0; at < kTilePixels; at += kLanes) {
        Pixels s[kCount];
        for (int i = 0; i < kCount; ++i) {
            const int across = kCount == 1 ? 0 : 1 + i % 2, down = kCount == 1 ? 0 : 1 + i / 2;
            s[i] = pixels(view, column, row, at, across, down);
        }
        Seen seen[kCount];
        trace(view, s, seen);
        if constexpr (kCount == 1) {
            if (centers) show(view, seen, at, tile);
        }
        if (!colors) continue;
        if (even != nullptr && only(even->primitive, seen)) {
            store(tile.rgb + at, IntVec{} + even->rgb);
            continue;
        }
        Color color[kCount], sum = {};
        shade(view, s, seen, color);
        for (const Color& each : color) add(sum, each);
        store(tile.rgb + at, packed(mean(view, sum)));
    }
}

// Return whether there is something to see.
ZPRL_INLINE bool draw_tile(const View& view, int column, int row, Tile& tile) {
    const Fill fill = view.fills[column];
    const Face* even = fill.even ? &view.faces[fill.face] : nullptr;
    if (!fill.alone) {
        if (!find_tile(view, column)) return false;
    } else {
        const int primitive = view.faces[fill.face].primitive;
        for (int w = 0; w < view.words; ++w) view.tile_set[w] = 0;
        view.tile_set[primitive / 64] = uint64_t{1} << (primitive % 64);
    }
    const bool single = view.samples == 1, centers = view.depth != nullptr || view.segmentation != nullptr;
    const bool known = fill.alone && fill.even, colors = view.rgb != nullptr && !known;
    if (known) {
        for (int32_t& pixel : tile.rgb) pixel = even->rgb;
    }
    if (centers || (colors && single)) draw_samples<1>(view, column, row, centers, colors && single, even, tile);
    if (colors && !single) draw_samples<4>(view, column, row, false, true, even, tile);
    return true;
}

ZPRL_INLINE void draw_background(const View& view, Tile& tile) {
    for (int at = 0; at < kTilePixels; at += kLanes) {
        store(tile.depth + at, broadcast(view.background_depth));
        store(tile.segmentation + at, IntVec{} + view.background_id);
        store(tile.rgb + at, packed(color_of(view.background)));
    }
}

static void draw(const View& view, int first, int end) {
    find_columns(view);
    if (view.casts_shadows) find_shadows(view);
    paint_faces(view);
    Tile background, tile;
    draw_background(view, background);
    for (int row = first; row < end; ++row) {
        find_row(view, row);
        find_fills(view, row);
        for (int column = 0; column < view.tile_columns; ++column) {
            const bool something = draw_tile(view, column, row, tile);
            write(view, column, row, something ? tile : background);
        }
    }
}

}  // namespace
}  // namespace zprl::render
