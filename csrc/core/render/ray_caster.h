// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Pictures of many small scenes at once: rays against boxes, spheres, capsules, cylinders and planes, on CPUs.
//
// All worlds show the same primitives, each at its own poses, through the same camera at its own pose. A pose is seven
// floats: position [m] and quaternion (x, y, z, w), which is normalised. A primitive whose pose is not finite, or whose
// quaternion is zero, is not there; a camera with such a pose sees nothing.
//
// A pixel of a world is the same bit for bit with any instruction set, with any number of threads, and beside any other
// worlds.

#pragma once

#include <cstdint>
#include <memory>

namespace zprl::render {

enum class Shape : int32_t {
    kPlane,    // z = 0, |x| <= size[0], |y| <= size[1], which may be infinite; seen from both sides
    kSphere,   // radius size[0]
    kBox,      // half sizes
    kCapsule,  // along z: radius size[0], half height size[1] of the part between the half spheres
    kCylinder  // along z: radius size[0], half height size[1]
};

// What all worlds show; read while the constructor runs. Where surfaces coincide, the first primitive is seen.
struct Scene {
    int count;
    const int32_t* shapes;  // [count], numbers of Shape
    const float* sizes;     // [count][3], m
    const float* colors;    // [count][3], sRGB, clamped to 0..1
    const int32_t* ids;     // [count], for the segmentation
};

// Looks along -z, with +y up. Pixel (column, row) is at (column + 0.5, row + 0.5); what is nearer than `near` along the
// optical axis is cut away, and so is what is not nearer than `far`.
struct Camera {
    int width, height;
    double fx, fy, cx, cy;  // px
    double near, far;       // m; far may be infinite
};

struct Style {
    int samples;          // per pixel and axis: 1 or 2, whose mean is taken in linear light
    bool shadows;         // whether the light is cast
    float shadow_light;   // share of the light that reaches what is in shadow
    float ambient;        // share of the light from all around, which is brighter from above
    float background[3];  // sRGB, 0..1
    float background_depth;
    int32_t background_id;
    // Whether every ray is held against every primitive. The picture is the same, and the tests say so.
    bool exhaustive = false;
};

// One call. Null where optional and not given, and for pictures that are not asked for.
struct Frame {
    int64_t worlds;
    const float* poses;         // [worlds][count][7]
    const float* camera_poses;  // [worlds][7]
    const float* lights;        // [worlds][3], the direction in which the light travels; not finite or zero: none
    const float* colors;        // [worlds][count][3], in place of the scene's; optional
    uint8_t* rgb;               // [worlds][height][width][3]; optional
    float* depth;               // [worlds][height][width], along the optical axis; optional
    int32_t* segmentation;      // [worlds][height][width]; optional
};

class RayCaster {
 public:
    // Throws std::invalid_argument if the arguments make no sense, or ZPRL_CPU does not.
    RayCaster(const Scene& scene, const Camera& camera, const Style& style, int threads);
    ~RayCaster();
    RayCaster(const RayCaster&) = delete;
    RayCaster& operator=(const RayCaster&) = delete;

    // Depth and segmentation are those of the pixels' centres. Allocates nothing but what starting threads takes; one
    // call at a time.
    void render(const Frame& frame);

    int count() const;
    int width() const;
    int height() const;

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace zprl::render
