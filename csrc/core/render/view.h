// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// One world as its camera sees it: what ray_caster.cpp prepares and kernels_*.cpp draw. Plain data, without functions,
// for the reason that ../cpu/simd.h gives. All coordinates are in the camera's frame, in which the ray through the
// point (u, v) of the image plane has the direction (u, v, -1), so that the length along a ray is the depth.

#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ray_caster.h"

namespace zprl::render {

constexpr int kTile = 4;  // pixels along each side of a tile, which is drawn against the primitives that may be in it
constexpr int kTilePixels = kTile * kTile;  // a multiple of every instruction set's vectors

struct Primitive {
    Shape shape;
    int32_t id;
    float axes[3][3];   // its own, one a row
    float origin[3];    // the camera in its frame
    float size[3];      // as in Scene
    float square;       // of its radius
    float inverse;      // of its radius
    float to_light[3];  // in its frame
    float up[3];        // in its frame
    float albedo[3];    // linear
};

// Rows of View::bounds. A primitive reaches, from its centre along a direction n,
//     sum over i of |reach_i n| + radius sqrt(n^2 - (flat n)^2).
enum Bound { kCenter = 0, kReach = 3, kFlat = 12, kRadius = 15, kBounds = 16 };

// Rows of View::shadows: what lies between a primitive and the light is within [low, high] along both sides, and begins
// at `top` along the way to the light.
enum Shadow { kLow = 0, kHigh = 2, kTop = 4, kShadows = 5 };

struct View {
    const Primitive* primitives;  // [count]
    int count;
    int padded;               // `count`, rounded up to whole vectors
    int words;                // of a set of primitives, a bit each
    const uint64_t* present;  // [words]
    const float* bounds;      // [kBounds][padded]

    // The image, and what lies between the columns and rows of tiles: [tile_columns + 1] and [tile_rows + 1].
    int width, height, tile_columns, tile_rows;
    const float *column_edges, *row_edges;
    // Where the rays of a tile's pixels go, by sample: at its centre, and a quarter before and after it.
    const float* u[3];  // [tile_columns][kTilePixels]
    const float* v[3];  // [tile_rows][kTilePixels]
    float near, far;

    int samples;
    bool casts_shadows;
    float shadow_light;
    float to_light[3], sides[2][3];                // an orthonormal frame
    float ambient_from_below[3], ambient_gain[3];  // the second is added to what looks up
    float background[3];                           // linear
    float background_depth;
    int32_t background_id;

    uint8_t* rgb;
    float* depth;
    int32_t* segmentation;

    // Scratch.
    uint64_t* column_sets;  // [tile_columns + 1][words]
    uint64_t* row_set;      // [3][words]
    float* shadows;         // [kShadows][padded]
};

// Draw rows of tiles, first <= row < end.
struct Kernels {
    void (*draw)(const View& view, int first, int end);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512Kernels;
#endif

}  // namespace zprl::render
