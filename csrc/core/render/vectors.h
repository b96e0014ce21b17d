// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What rays need of the vectors in ../cpu/simd.h, for the instruction set of the including file. Only operations that
// IEEE 754 defines to the last bit: the compiler is told not to fuse them (CMakeLists.txt), so that every instruction
// set gives the same pictures.

#pragma once

#include "../cpu/simd.h"

namespace zprl::render {
namespace {

using zprl::broadcast;
using zprl::store;

ZPRL_INLINE Vec sqrt(Vec x) {
#if defined(__AVX512F__)
    return (Vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#elif defined(__AVX__)
    return (Vec)_mm256_sqrt_ps((__m256)x);
#else
    Vec roots;
    for (int i = 0; i < kLanes; ++i) roots[i] = __builtin_sqrtf(x[i]);
    return roots;
#endif
}

ZPRL_INLINE void store(int32_t* p, IntVec v) { store(reinterpret_cast<float*>(p), (Vec)v); }

ZPRL_INLINE Vec abs(Vec x) { return (Vec)((IntVec)x & INT32_MAX); }

// One bit for every lane of a mask, whose lanes are 0 or -1.
ZPRL_INLINE uint32_t bits(IntVec mask) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX__)
    return static_cast<uint32_t>(_mm256_movemask_ps((__m256)mask));
#else
    uint32_t set = 0;
    for (int i = 0; i < kLanes; ++i) set |= static_cast<uint32_t>(mask[i] & 1) << i;
    return set;
#endif
}

ZPRL_INLINE bool any(IntVec mask) { return bits(mask) != 0; }

// Over all lanes.
ZPRL_INLINE float lowest(Vec v) {
#if defined(__AVX512F__)
    return _mm512_reduce_min_ps((__m512)v);
#else
    float lanes[kLanes];
    store(lanes, v);
    for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] = lanes[i + half] < lanes[i] ? lanes[i + half] : lanes[i];
    }
    return lanes[0];
#endif
}
ZPRL_INLINE float highest(Vec v) { return -lowest(-v); }

struct Vec3 {
    Vec x, y, z;
};

ZPRL_INLINE Vec3 broadcast(const float v[3]) { return {broadcast(v[0]), broadcast(v[1]), broadcast(v[2])}; }
ZPRL_INLINE Vec dot(const Vec3& a, const Vec3& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
ZPRL_INLINE Vec dot(const Vec3& a, const float b[3]) { return a.x * b[0] + a.y * b[1] + a.z * b[2]; }
ZPRL_INLINE Vec3 along(const Vec3& start, Vec length, const Vec3& direction) {
    return {start.x + length * direction.x, start.y + length * direction.y, start.z + length * direction.z};
}

}  // namespace
}  // namespace zprl::render
