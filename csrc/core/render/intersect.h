// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Where rays meet a primitive, and which way its surface faces there, in the primitive's frame.
//
// All primitives are convex, so that a ray enters and leaves once. Discriminants are taken from the distance between
// ray and centre (a cross product), not from that between camera and centre: a thin cylinder far away would cancel to
// noise.

#pragma once

#include "vectors.h"
#include "view.h"

namespace zprl::render {
namespace {

struct Rays {
    Vec3 origin, direction;  // of any length
    Vec square, inverse;     // of the direction's length squared
};

struct Hits {
    Vec length;    // along the ray, in units of its direction
    IntVec valid;  // where not, the length is anything
};

// The first of two lengths that is not before `near`.
ZPRL_INLINE Hits first(IntVec valid, Vec enter, Vec leave, Vec near) {
    const Vec length = enter >= near ? enter : leave;
    return {length, valid & (length >= near)};
}

ZPRL_INLINE Hits plane(const Primitive& p, const Rays& r, Vec near) {
    const Vec length = -r.origin.z / r.direction.z;  // parallel: infinite or NaN, and so is x or y
    const Vec x = abs(r.origin.x + length * r.direction.x), y = abs(r.origin.y + length * r.direction.y);
    return {length, (x <= p.size[0]) & (y <= p.size[1]) & (length >= near)};
}

// A ball around (0, 0, z).
struct Ball {
    Vec middle, reach;  // of the part of the ray inside of it
    IntVec valid;
};

ZPRL_INLINE Ball ball(const Primitive& p, const Rays& r, Vec z) {
    const Vec3 &o = r.origin, &d = r.direction;
    const Vec up = o.z - z;
    const Vec cx = o.y * d.z - up * d.y, cy = up * d.x - o.x * d.z, cz = o.x * d.y - o.y * d.x;
    const Vec left = p.square * r.square - (cx * cx + cy * cy + cz * cz);
    const Vec middle = -(o.x * d.x + o.y * d.y + up * d.z) * r.inverse;
    return {middle, sqrt(max(left, Vec{})) * r.inverse, left >= 0.0f};
}

ZPRL_INLINE Hits sphere(const Primitive& p, const Rays& r, Vec near) {
    const Ball b = ball(p, r, Vec{});
    return first(b.valid, b.middle - b.reach, b.middle + b.reach, near);
}

// Between two parallel planes. Of a ray in one of them, 0 / 0 makes NaN, which min() and max() of simd.h pass over.
ZPRL_INLINE void slab(float half, Vec origin, Vec direction, Vec& enter, Vec& leave) {
    const Vec inverse = 1.0f / direction;
    const Vec a = (-half - origin) * inverse, b = (half - origin) * inverse;
    enter = max(enter, min(a, b));
    leave = min(leave, max(a, b));
}

ZPRL_INLINE Hits box(const Primitive& p, const Rays& r, Vec near) {
    Vec enter = broadcast(-__builtin_inff()), leave = -enter;
    slab(p.size[0], r.origin.x, r.direction.x, enter, leave);
    slab(p.size[1], r.origin.y, r.direction.y, enter, leave);
    slab(p.size[2], r.origin.z, r.direction.z, enter, leave);
    return first(enter <= leave, enter, leave, near);
}

// A cylinder without ends. A ray along its axis, inside of it, enters and leaves far away.
struct Tube {
    Vec enter, leave;
    IntVec valid;
};

ZPRL_INLINE Tube tube(const Primitive& p, const Rays& r) {
    constexpr float kParallel = 1e-20f;  // the square root of 1 / kParallel still leaves room below infinity
    const Vec3 &o = r.origin, &d = r.direction;
    const Vec a = d.x * d.x + d.y * d.y, c = o.x * d.y - o.y * d.x;
    const IntVec parallel = a < kParallel;
    const Vec inverse = 1.0f / (parallel ? broadcast(kParallel) : a);
    const Vec middle = -(o.x * d.x + o.y * d.y) * inverse;
    const Vec left = parallel ? p.square - (o.x * o.x + o.y * o.y) : p.square * a - c * c;
    const Vec reach = sqrt(max(left, Vec{})) * inverse;
    return {middle - reach, middle + reach, left >= 0.0f};
}

ZPRL_INLINE Hits cylinder(const Primitive& p, const Rays& r, Vec near) {
    Tube t = tube(p, r);
    slab(p.size[1], r.origin.z, r.direction.z, t.enter, t.leave);
    return first(t.valid & (t.enter <= t.leave), t.enter, t.leave, near);
}

// Where the tube is entered beyond an end, the capsule can be entered through the half sphere there alone.
ZPRL_INLINE Hits capsule(const Primitive& p, const Rays& r, Vec near) {
    const float half = p.size[1];
    const Tube t = tube(p, r);
    const auto end = [&](Vec length, Vec z, bool enters, IntVec& valid) __attribute__((always_inline)) {
        const Ball b = ball(p, r, z > 0.0f ? broadcast(half) : broadcast(-half));
        const IntVec side = abs(z) <= half;
        valid &= side | b.valid;
        return side ? length : (enters ? b.middle - b.reach : b.middle + b.reach);
    };
    IntVec valid = t.valid;
    const Vec enter = end(t.enter, r.origin.z + t.enter * r.direction.z, true, valid);
    if (!any(valid & (enter < near))) return {enter, valid};
    const Vec leave = end(t.leave, r.origin.z + t.leave * r.direction.z, false, valid);
    return first(valid, enter, leave, near);
}

// Intersect `kCount` vectors of rays, ray(i), and call visit(i, hits) for each.
template <int kCount, typename Ray, typename Visit>
ZPRL_INLINE void intersect(const Primitive& p, const Ray& ray, Vec near, const Visit& visit) {
    switch (p.shape) {
        case Shape::kPlane:
            for (int i = 0; i < kCount; ++i) visit(i, plane(p, ray(i), near));
            break;
        case Shape::kSphere:
            for (int i = 0; i < kCount; ++i) visit(i, sphere(p, ray(i), near));
            break;
        case Shape::kBox:
            for (int i = 0; i < kCount; ++i) visit(i, box(p, ray(i), near));
            break;
        case Shape::kCapsule:
            for (int i = 0; i < kCount; ++i) visit(i, capsule(p, ray(i), near));
            break;
        default:
            for (int i = 0; i < kCount; ++i) visit(i, cylinder(p, ray(i), near));
    }
}

// Outwards, also where it is seen from inside; of a plane, along z.
ZPRL_INLINE Vec3 normal(const Primitive& p, const Vec3& at) {
    const Vec zero = {}, one = broadcast(1.0f);
    const auto sign = [&](Vec x) __attribute__((always_inline)) { return x < 0.0f ? -one : one; };
    switch (p.shape) {
        case Shape::kPlane:
            return {zero, zero, one};
        case Shape::kSphere:
            return {at.x * p.inverse, at.y * p.inverse, at.z * p.inverse};
        case Shape::kBox: {
            const Vec x = abs(at.x) - p.size[0], y = abs(at.y) - p.size[1], z = abs(at.z) - p.size[2];
            const IntVec is_x = (x >= y) & (x >= z), is_y = ~is_x & (y >= z);
            return {is_x ? sign(at.x) : zero, is_y ? sign(at.y) : zero, is_x | is_y ? zero : sign(at.z)};
        }
        case Shape::kCapsule: {
            const Vec half = broadcast(p.size[1]);
            return {at.x * p.inverse, at.y * p.inverse, (at.z - max(min(at.z, half), -half)) * p.inverse};
        }
        default: {
            const IntVec end = abs(at.z) - p.size[1] > sqrt(at.x * at.x + at.y * at.y) - p.size[0];
            return {end ? zero : at.x * p.inverse, end ? zero : at.y * p.inverse, end ? sign(at.z) : zero};
        }
    }
}

}  // namespace
}  // namespace zprl::render
