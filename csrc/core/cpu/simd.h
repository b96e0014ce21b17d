// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Vectors of floats and of doubles, for the instruction set of the including file. The functions of them that a policy
// step needs are in activations.h.
//
// The vectors are the compiler's own (GCC, Clang), so the same source becomes NEON, AVX2 or AVX-512. Each instruction
// set is compiled in a file of its own, step_*.cpp. Everything here has internal linkage, and no header with inline
// functions of the standard library is included: otherwise the linker could keep the copy of a function that was
// compiled for the widest instruction set, and a lesser processor would stumble over it.

#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace zprl {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kDoubleLanes = kLanes / 2;

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t IntVec __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef double DoubleVec __attribute__((vector_size(kDoubleLanes * sizeof(double))));
typedef int64_t LongVec __attribute__((vector_size(kDoubleLanes * sizeof(int64_t))));
// As stored: memory is aligned to a number only, wherever the blob or a tensor begins. It may alias anything.
typedef float StoredVec __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef double StoredDoubleVec __attribute__((vector_size(kDoubleLanes * sizeof(double)), aligned(8), may_alias));
typedef float StoredHalfVec __attribute__((vector_size(kDoubleLanes * sizeof(float)), aligned(4), may_alias));

#define ZPRL_INLINE static inline __attribute__((always_inline))
#define ZPRL_INLINE_MEMBER inline __attribute__((always_inline))

ZPRL_INLINE Vec load(const float* p) { return *reinterpret_cast<const StoredVec*>(p); }
ZPRL_INLINE DoubleVec load(const double* p) { return *reinterpret_cast<const StoredDoubleVec*>(p); }
ZPRL_INLINE void store(float* p, Vec v) { *reinterpret_cast<StoredVec*>(p) = v; }
ZPRL_INLINE void store(double* p, DoubleVec v) { *reinterpret_cast<StoredDoubleVec*>(p) = v; }

// kDoubleLanes floats, and back to floats, rounded to nearest. (GCC 12 converts 512 bits in two halves by itself.)
ZPRL_INLINE DoubleVec load_widened(const float* p) {
#if defined(__AVX512F__)
    return (DoubleVec)_mm512_cvtps_pd(_mm256_loadu_ps(p));
#else
    return __builtin_convertvector(*reinterpret_cast<const StoredHalfVec*>(p), DoubleVec);
#endif
}
ZPRL_INLINE void store_rounded(float* p, DoubleVec v) {
#if defined(__AVX512F__)
    _mm256_storeu_ps(p, _mm512_cvtpd_ps((__m512d)v));
#else
    *reinterpret_cast<StoredHalfVec*>(p) = __builtin_convertvector(v, StoredHalfVec);
#endif
}

ZPRL_INLINE Vec broadcast(float x) { return x - Vec{}; }
ZPRL_INLINE DoubleVec broadcast(double x) { return x - DoubleVec{}; }

// Of NaN and a number: NaN, if it comes first.
ZPRL_INLINE Vec min(Vec a, Vec b) { return b < a ? b : a; }
ZPRL_INLINE Vec max(Vec a, Vec b) { return a < b ? b : a; }
ZPRL_INLINE DoubleVec min(DoubleVec a, DoubleVec b) { return b < a ? b : a; }
ZPRL_INLINE DoubleVec max(DoubleVec a, DoubleVec b) { return a < b ? b : a; }
ZPRL_INLINE DoubleVec abs(DoubleVec a) { return (DoubleVec)((LongVec)a & INT64_MAX); }

// The sum of all lanes, always in the same order: halves upon halves.
ZPRL_INLINE float sum(Vec v) {
    float lanes[kLanes];
    store(lanes, v);
    for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

ZPRL_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }

}  // namespace
}  // namespace zprl
