// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Tiles that a single flat face fills, and those of them that nothing can shade: all of their samples have one colour.
//
// A face's edges and the inverse of its depth are linear in the image plane, so that the corners of a tile decide for
// all rays between them. Whatever is close to a decision is left to the rays: a picture is the same to the last bit.

#pragma once

#include "shading.h"

namespace zprl::render {
namespace {

// The lowest value of a linear form within the tiles of a row.
ZPRL_INLINE Vec lowest_of(const float form[3], Vec left, Vec right, float bottom, float top) {
    return form[0] * (form[0] > 0.0f ? left : right) + (form[1] * (form[1] > 0.0f ? bottom : top) + form[2]);
}

// Where tiles that a face fills lie in the light.
struct Patches {
    Vec low[2], high[2], depth;
};

ZPRL_INLINE Patches patches_of(const View& view, const Face& face, Vec left, Vec right, float bottom, float top) {
    const Vec infinite = broadcast(__builtin_inff());
    const Vec3 lift = {broadcast(kLift * face.outwards[0]), broadcast(kLift * face.outwards[1]),
                       broadcast(kLift * face.outwards[2])};
    Patches patches = {{infinite, infinite}, {-infinite, -infinite}, infinite};
    Vec size = {};
    for (int corner = 0; corner < 4; ++corner) {
        const Vec u = corner % 2 == 0 ? left : right, v = broadcast(corner < 2 ? bottom : top);
        const float* form = face.inverse_depth;
        const Vec depth = 1.0f / (form[0] * u + (form[1] * v + form[2]));
        const Vec3 at = {u * depth + lift.x, v * depth + lift.y, lift.z - depth};
        for (int side = 0; side < 2; ++side) {
            const Vec x = dot(at, view.sides[side]);
            patches.low[side] = min(patches.low[side], x);
            patches.high[side] = max(patches.high[side], x);
        }
        patches.depth = min(patches.depth, dot(at, view.to_light));
        size = max(size, abs(at.x) + abs(at.y) + abs(at.z));
    }
    const Vec margin = kSlack * size;
    for (int side = 0; side < 2; ++side) {
        patches.low[side] -= margin;
        patches.high[side] += margin;
    }
    patches.depth -= margin;
    return patches;
}

// Whether something of a set can be nearer than `depth`, other than one primitive.
ZPRL_INLINE bool hidden(const View& view, const uint64_t* set, int primitive, float depth) {
    for (int first = 0; first < view.padded; first += kLanes) {
        uint32_t near =
            bits(load(view.nearest + first) <= depth) & static_cast<uint32_t>(set[first / 64] >> (first % 64));
        if (primitive >= first && primitive < first + kLanes) near &= ~(uint32_t{1} << (primitive - first));
        if (near != 0) return true;
    }
    return false;
}

ZPRL_INLINE bool shaded(const View& view, int primitive, const Patch& patch) {
    bool found = false;
    for_each_before(view, patch, [&](int index) __attribute__((always_inline)) {
        found |= index != primitive || view.primitives[index].shades_itself;
    });
    return found;
}

// What the faces look like where nothing shades them.
ZPRL_INLINE void paint_faces(const View& view) {
    for (int i = 0; i < view.face_count; ++i) {
        Face& face = view.faces[i];
        const Primitive& p = view.primitives[face.primitive];
        const Vec3 n = broadcast(face.normal);
        const Vec light = max(dot(n, p.to_light), Vec{});
        const Color color = lit(view, color_of(p.albedo), light, dot(n, p.up));
        Color sum = {};
        for (int sample = 0; sample < view.samples * view.samples; ++sample) add(sum, color);
        face.rgb = packed(mean(view, sum))[0];
        face.casts = view.casts_shadows && light[0] > 0.0f;
    }
}

// Which faces fill tiles of a row.
ZPRL_INLINE void find_fills(const View& view, int row) {
    const float top = view.row_edges[row], bottom = view.row_edges[row + 1];
    for (int column = 0; column < view.tile_columns; ++column) view.fills[column] = {-1, false, false};
    for (int i = 0; i < view.face_count; ++i) {
        const Face& face = view.faces[i];
        if ((view.row_set[face.primitive / 64] >> (face.primitive % 64) & 1) == 0) continue;
        for (int first = 0; first < view.tile_columns; first += kLanes) {
            const Vec left = load(view.column_edges + first), right = load(view.column_edges + first + 1);
            const Vec inverse = lowest_of(face.inverse_depth, left, right, bottom, top);
            IntVec filled = inverse >= face.least_inverse_depth;
            for (const auto& form : face.limits) filled &= lowest_of(form, left, right, bottom, top) >= 0.0f;
            const int count = view.tile_columns - first;
            uint32_t set = bits(filled) & (count < kLanes ? (uint32_t{1} << count) - 1 : ~uint32_t{0});
            if (set == 0) continue;
            float depths[kLanes], low[2][kLanes], high[2][kLanes], along_light[kLanes];
            store(depths, (1.0f + kSlack) / inverse);
            if (face.casts) {
                const Patches patches = patches_of(view, face, left, right, bottom, top);
                for (int side = 0; side < 2; ++side) {
                    store(low[side], patches.low[side]);
                    store(high[side], patches.high[side]);
                }
                store(along_light, patches.depth);
            }
            for (; set != 0; set &= set - 1) {
                const int lane = __builtin_ctz(set), column = first + lane;
                find_tile(view, column);
                const bool alone = !hidden(view, view.tile_set, face.primitive, depths[lane]);
                if (!alone && view.fills[column].face >= 0) continue;
                bool even = true;
                if (face.casts) {
                    even = !shaded(view, face.primitive,
                                   {{low[0][lane], low[1][lane]}, {high[0][lane], high[1][lane]}, along_light[lane]});
                }
                view.fills[column] = {i, alone, even};
            }
        }
    }
}

}  // namespace
}  // namespace zprl::render
