// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Vectors of floats, and the functions of them that a policy step needs, for the instruction set of the including file.
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

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t IntVec __attribute__((vector_size(kLanes * sizeof(int32_t))));
// As stored: memory is aligned to a float only, wherever the blob or a tensor begins. It may alias anything.
typedef float StoredVec __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

#define ZPRL_INLINE static inline __attribute__((always_inline))
#define ZPRL_INLINE_MEMBER inline __attribute__((always_inline))

ZPRL_INLINE Vec load(const float* p) { return *reinterpret_cast<const StoredVec*>(p); }
ZPRL_INLINE void store(float* p, Vec v) { *reinterpret_cast<StoredVec*>(p) = v; }
ZPRL_INLINE Vec broadcast(float x) { return x - Vec{}; }

ZPRL_INLINE Vec min(Vec a, Vec b) { return b < a ? b : a; }  // of NaN and b: NaN
ZPRL_INLINE Vec max(Vec a, Vec b) { return a < b ? b : a; }  // of NaN and b: NaN
ZPRL_INLINE Vec abs(Vec a) { return (Vec)((IntVec)a & 0x7fffffff); }

// The sum of all lanes, always in the same order: halves upon halves.
ZPRL_INLINE float sum(Vec v) {
    float lanes[kLanes];
    store(lanes, v);
    for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

// e^x to 2 ulp, for x in [-87, 88] and clamped to it; NaN stays NaN.
// x = (n + r) ln 2 with r in [-1/2, 1/2]; 2^r by a polynomial (minimax, relative error 2e-9), 2^n by its bits.
ZPRL_INLINE Vec exp(Vec x) {
    x = min(max(x, broadcast(-87.0f)), broadcast(88.0f));
    const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest whole number in the lowest bits
    const Vec shifted = x * 1.44269504f + round;
    const Vec n = shifted - round;
    // ln 2 in two parts, so that the product with n is exact.
    const Vec r = ((x - n * 0.693359375f) + n * 2.12194440e-4f) * 1.44269504f;
    Vec p = r * 1.53458101e-4f + 1.33999318e-3f;
    p = p * r + 9.61848897e-3f;
    p = p * r + 5.55032878e-2f;
    p = p * r + 2.40226469e-1f;
    p = p * r + 6.93147206e-1f;
    p = p * r + 1.0f;
    const IntVec exponent = ((IntVec)shifted - (IntVec)broadcast(round) + 127) << 23;
    return p * (Vec)exponent;
}

// 1 / x to 1 ulp, for 1 <= x.
ZPRL_INLINE Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    // The division would take most of an activation's time: an estimate to 14 bits, and one step of Newton's method.
    const Vec estimate = (Vec)_mm512_rcp14_ps((__m512)x);
    return estimate + estimate * (1.0f - x * estimate);
#else
    return 1.0f / x;
#endif
}

// x / (1 + e^-x).
ZPRL_INLINE Vec silu(Vec x) { return x * reciprocal(1.0f + exp(-x)); }

// x (1 + erf(x / sqrt 2)) / 2, to 1.3e-7 of |x|.
// For x^2 < 2 with a polynomial for erf (relative error 1.2e-9). Beyond, erfc(u) = P(t) e^(-u^2) with t = 1 / (1 +
// 0.325 u) for u >= 0, the form of Abramowitz and Stegun 7.1.26, with P of degree 8 fitted to a relative error of 3e-7:
// out there it is small beside 1.
ZPRL_INLINE Vec gelu(Vec x) {
    const Vec square = x * x;
    Vec q = square * 4.33868536e-7f - 8.85009649e-6f;
    q = q * square + 1.14646929e-4f;
    q = q * square - 1.18678203e-3f;
    q = q * square + 9.97337420e-3f;
    q = q * square - 6.64903596e-2f;
    q = q * square + 0.398942292f;
    const Vec near = x * (x * q + 0.5f);

    const Vec u = abs(x) * 0.70710678f;
    const Vec t = reciprocal(1.0f + 0.325f * u);
    Vec p = t * -0.141526967f + 0.512460709f;
    p = p * t - 0.423945189f;
    p = p * t + 0.462209791f;
    p = p * t + 0.0238604657f;
    p = p * t + 0.203817368f;
    p = p * t + 0.179562017f;
    p = p * t + 0.18356216f;
    const Vec tail = x * (0.5f * (p * t) * exp(-u * u));  // x times the smaller of the two sides' probabilities
    return square < 2.0f ? near : (x > 0.0f ? x - tail : tail);
}

// e^x - 1 below zero, to 2e-7.
ZPRL_INLINE Vec elu(Vec x) { return x > 0.0f ? x : exp(x) - 1.0f; }

ZPRL_INLINE Vec relu(Vec x) { return max(x, Vec{}); }

// To 2e-7: the larger of e^x and e^-x is not formed.
ZPRL_INLINE Vec tanh(Vec x) {
    const Vec e = exp(-2.0f * abs(x));
    const Vec positive = (1.0f - e) * reciprocal(1.0f + e);
    return x < 0.0f ? -positive : positive;
}

ZPRL_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }

}  // namespace
}  // namespace zprl
