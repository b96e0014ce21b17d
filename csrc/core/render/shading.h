// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What rays meet first, and its light and colour.
//
// A vector holds rays of neighbouring pixels, one each. Several vectors, the samples of the same pixels, are drawn
// together: what depends on a primitive alone is computed once for all of them.

#pragma once

#include "candidates.h"
#include "intersect.h"

namespace zprl::render {
namespace {

constexpr float kLift = 1e-4f;  // of a shadow's ray above the surface that it starts from [m]

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

// What `kCount` vectors of rays of a tile meet first. Where surfaces coincide, it is the first primitive.
template <int kCount>
ZPRL_INLINE void trace(const View& view, const Pixels (&s)[kCount], Seen (&seen)[kCount]) {
    const Vec near = broadcast(view.near);
    for (Seen& each : seen) each = {broadcast(view.far), IntVec{} - 1};
    for_each(view.tile_set, view.words, [&](int index) __attribute__((always_inline)) {
        const Primitive& p = view.primitives[index];
        const Vec3 origin = broadcast(p.origin);
        const auto ray = [&](int i) __attribute__((always_inline)) {
            return Rays{origin, to_local(p, s[i]), s[i].square, s[i].inverse};
        };
        intersect<kCount>(p, ray, near, [&](int i, const Hits& h) __attribute__((always_inline)) {
            const IntVec closer = h.valid & (h.length < seen[i].depth);
            seen[i].depth = closer ? h.length : seen[i].depth;
            seen[i].primitive = closer ? IntVec{} + index : seen[i].primitive;
        });
    });
}

// Call visit(primitive, i, its lanes in the vector i) for all primitives that are seen.
template <int kCount, typename Visit>
ZPRL_INLINE void for_each_seen(const View& view, const Seen (&seen)[kCount], const Visit& visit) {
    uint32_t left[kCount];
    for (int i = 0; i < kCount; ++i) left[i] = bits(seen[i].primitive >= 0);
    for (int first = 0; first < kCount;) {
        if (left[first] == 0) {
            ++first;
            continue;
        }
        const int index = seen[first].primitive[__builtin_ctz(left[first])];
        const Primitive& p = view.primitives[index];
        for (int i = first; i < kCount; ++i) {
            const IntVec here = seen[i].primitive == index;
            if (!any(here)) continue;
            visit(p, i, here);
            left[i] &= ~bits(here);
        }
    }
}

// Points in the camera's frame, those of them that face the light, and what they lie on.
struct Points {
    Vec3 at;
    IntVec facing, primitive;
};

// Which of those that face the light something stands before.
template <int kCount>
ZPRL_INLINE void find_shadow(const View& view, const Points (&points)[kCount], IntVec (&shadow)[kCount]) {
    const Vec infinite = broadcast(__builtin_inff()), one = broadcast(1.0f);
    Vec sides[2][kCount], depths[kCount];  // where they lie in the light
    Vec low[2] = {infinite, infinite}, high[2] = {-infinite, -infinite}, lowest_depth = infinite;
    for (int i = 0; i < kCount; ++i) {
        const Points& p = points[i];
        for (int side = 0; side < 2; ++side) {
            const Vec x = sides[side][i] = dot(p.at, view.sides[side]);
            low[side] = min(low[side], p.facing ? x : infinite);
            high[side] = max(high[side], p.facing ? x : -infinite);
        }
        depths[i] = dot(p.at, view.to_light);
        lowest_depth = min(lowest_depth, p.facing ? depths[i] : infinite);
        shadow[i] = IntVec{};
    }
    const Patch patch = {{lowest(low[0]), lowest(low[1])}, {highest(high[0]), highest(high[1])}, lowest(lowest_depth)};
    for_each_before(view, patch, [&](int index) __attribute__((always_inline)) {
        const Primitive& p = view.primitives[index];
        const auto bound = [&](int row) __attribute__((always_inline)) {
            return view.shadows[static_cast<ptrdiff_t>(row) * view.padded + index];
        };
        IntVec reached[kCount], any_reached = {};
        for (int i = 0; i < kCount; ++i) {
            const IntVec itself = p.shades_itself ? IntVec{} : points[i].primitive == index;
            reached[i] = points[i].facing & ~itself & (sides[0][i] >= bound(kLow)) & (sides[0][i] <= bound(kHigh)) &
                         (sides[1][i] >= bound(kLow + 1)) & (sides[1][i] <= bound(kHigh + 1)) &
                         (depths[i] <= bound(kTop)) & (dot(points[i].at, p.lit_side) <= p.beyond);
            any_reached |= reached[i];
        }
        if (!any(any_reached)) return;
        const Vec3 direction = broadcast(p.to_light);
        const auto ray = [&](int i) __attribute__((always_inline)) {
            const Vec3 origin = to_local(p, points[i].at);
            return Rays{{origin.x + p.origin[0], origin.y + p.origin[1], origin.z + p.origin[2]}, direction, one, one};
        };
        intersect<kCount>(p, ray, Vec{}, [&](int i, const Hits& h) __attribute__((always_inline)) {
            shadow[i] |= reached[i] & h.valid;
        });
    });
}

// ---- Light and colour
// ------------------------------------------------------------------------------------------------

struct Color {
    Vec channels[3];  // linear
};

ZPRL_INLINE Color color_of(const float channels[3]) {
    return {{broadcast(channels[0]), broadcast(channels[1]), broadcast(channels[2])}};
}

ZPRL_INLINE void add(Color& sum, const Color& color) {
    for (int i = 0; i < 3; ++i) sum.channels[i] += color.channels[i];
}

// Of a pixel's samples, given their sum.
ZPRL_INLINE Color mean(const View& view, const Color& sum) {
    const float share = view.samples == 2 ? 0.25f : 1.0f;
    return {{share * sum.channels[0], share * sum.channels[1], share * sum.channels[2]}};
}

// What a surface looks like, given the light that falls on it and how far it looks up, -1 to 1.
ZPRL_INLINE Color lit(const View& view, const Color& albedo, Vec light, Vec up) {
    const Vec share = (up + 1.0f) * 0.5f;
    Color color;
    for (int i = 0; i < 3; ++i) {
        color.channels[i] = albedo.channels[i] * (view.ambient_from_below[i] + view.ambient_gain[i] * share + light);
    }
    return color;
}

// A direction of the primitive's frame in the camera's.
ZPRL_INLINE Vec3 to_camera(const Primitive& p, const Vec3& n) {
    const auto along = [&](int i) __attribute__((always_inline)) {
        return n.x * p.axes[0][i] + n.y * p.axes[1][i] + n.z * p.axes[2][i];
    };
    return {along(0), along(1), along(2)};
}

template <int kCount>
ZPRL_INLINE void shade(const View& view, const Pixels (&s)[kCount], const Seen (&seen)[kCount],
                       Color (&colors)[kCount]) {
    const Vec zero = {};
    Vec light[kCount], up[kCount];
    Vec3 outwards[kCount];
    for (int i = 0; i < kCount; ++i) {
        light[i] = up[i] = zero;
        outwards[i] = {zero, zero, zero};
        colors[i] = color_of(view.background);
    }
    for_each_seen(view, seen, [&](const Primitive& p, int i, IntVec here) __attribute__((always_inline)) {
        const Vec3 n = normal(p, along(broadcast(p.origin), seen[i].depth, to_local(p, s[i])));
        light[i] = here ? dot(n, p.to_light) : light[i];
        up[i] = here ? dot(n, p.up) : up[i];
        for (int j = 0; j < 3; ++j) {
            colors[i].channels[j] = here ? broadcast(p.albedo[j]) : colors[i].channels[j];
        }
        if (view.casts_shadows) {
            const Vec3 turned = to_camera(p, n);
            outwards[i] = {here ? turned.x : outwards[i].x, here ? turned.y : outwards[i].y,
                           here ? turned.z : outwards[i].z};
        }
    });
    Points points[kCount];
    IntVec facing = {};
    for (int i = 0; i < kCount; ++i) {
        light[i] = max(light[i], zero);
        const Vec3 at = {s[i].u * seen[i].depth, s[i].v * seen[i].depth, -seen[i].depth};
        points[i] = {along(at, broadcast(kLift), outwards[i]), (seen[i].primitive >= 0) & (light[i] > 0.0f),
                     seen[i].primitive};
        facing |= points[i].facing;
    }
    if (view.casts_shadows && any(facing)) {
        IntVec shadow[kCount];
        find_shadow(view, points, shadow);
        for (int i = 0; i < kCount; ++i) light[i] = shadow[i] ? view.shadow_light * light[i] : light[i];
    }
    for (int i = 0; i < kCount; ++i) {
        const Color color = lit(view, colors[i], light[i], up[i]);
        for (int j = 0; j < 3; ++j) {
            colors[i].channels[j] = seen[i].primitive >= 0 ? color.channels[j] : colors[i].channels[j];
        }
    }
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

ZPRL_INLINE IntVec packed(const Color& color) {
    return encode(color.channels[0]) | encode(color.channels[1]) << 8 | encode(color.channels[2]) << 16;
}

}  // namespace
}  // namespace zprl::render
