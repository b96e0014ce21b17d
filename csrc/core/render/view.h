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
    float axes[3][3];    // its own, one a row
    float origin[3];     // the camera in its frame
    float size[3];       // as in Scene
    float square;        // of its radius
    float inverse;       // of its radius
    float to_light[3];   // in its frame
    float up[3];         // in its frame
    float half[3];       // of the box around it, in its frame
    float lit_side[3];   // outwards of a side of that box, in the camera's frame
    float beyond;        // along lit_side: rays from there to the light go away from it
    float albedo[3];     // linear
    bool shades_itself;  // whether a point of it that faces the light can be found in its shadow, by roundings
};

// Up to this distance single precision is much finer than the lift of a shadow's ray.
constexpr float kExact = 8.0f;  // [m]
// What roundings on a face stay below up to there, of a length; in a Face's numbers it is allowed for.
constexpr float kSlack = 2e-4f;

// A side of a box, or a plane, that the camera looks at. A form f stands for f[0] u + f[1] v + f[2].
struct Face {
    int primitive;
    float normal[3];            // in the primitive's frame
    float outwards[3];          // the same in the camera's
    float inverse_depth[3];     // form, of the ray through (u, v)
    float least_inverse_depth;  // below it, the face is too far or seen too flat
    float limits[5][3];         // forms, not negative within each of its edges, and where it is not too near
    // Written by the kernels.
    int32_t rgb;  // where nothing shades it, packed
    bool casts;   // whether something can
};

// A tile whose rays all meet a face.
struct Fill {
    int face;    // -1: none
    bool alone;  // whether nothing is before it
    bool even;   // whether nothing shades it
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

    // The image, and what lies between the columns and rows of tiles: [tile_columns + 1], padded to whole vectors and
    // one, and [tile_rows + 1].
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

    Face* faces;  // [face_count]
    int face_count;

    // Scratch.
    uint64_t* column_sets;  // [tile_columns + 1][words]
    uint64_t* row_set;      // [3][words]
    uint64_t* tile_set;     // [words]
    float* nearest;         // [padded], depth at which a primitive begins
    float* shadows;         // [kShadows][padded]
    Fill* fills;            // [tile_columns], of a row
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
