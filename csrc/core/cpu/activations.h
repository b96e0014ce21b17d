// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The functions between a policy step's layers: SiLU and mish in single precision for the velocity field, and in double
// precision those of the MLPs before it.
//
// Those in double precision are not exact to the last bit, since nobody would see it: the condition that comes out of
// them is rounded to single precision, to 6e-8. All are off by 1e-10 at most, of x or of 1. Their polynomials are
// minimax (Remez' algorithm); the errors given with them are those of the fit.

#pragma once

#include "simd.h"

namespace zprl {
namespace {

// ---- Single precision -----------------------------------------------------------------------------------------------

// e^x to 2 ulp, for x in [-87, 88] and clamped to it; NaN stays NaN.
// x = (n + r) ln 2 with r in [-1/2, 1/2]; 2^r by a polynomial (relative error 2e-9), 2^n by its bits.
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

// x tanh(ln(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2); from 20 on, x.
ZPRL_INLINE Vec mish(Vec x) {
    const Vec e = exp(min(x, broadcast(20.0f)));
    const Vec n = e * (e + 2.0f);
    return x * (n * reciprocal(n + 2.0f));
}

// ---- Double precision -----------------------------------------------------------------------------------------------

// e^x to 1e-11 of itself, for x in [-700, 700] and clamped to it; NaN stays NaN. As above, with a relative error of the
// polynomial of 2e-12.
ZPRL_INLINE DoubleVec exp(DoubleVec x) {
    x = min(max(x, broadcast(-700.0)), broadcast(700.0));
    const double round = 6755399441055744.0;  // 1.5 * 2^52
    const DoubleVec shifted = x * 1.4426950408889634 + round;
    // Not in two parts as above: the product is off by 2e-13 at most.
    const DoubleVec r = x * 1.4426950408889634 - (shifted - round);
    DoubleVec p = r * 1.3259647044549603e-6 + 1.530370208829533e-5;
    p = p * r + 1.5403436505394145e-4;
    p = p * r + 1.3333478468564648e-3;
    p = p * r + 9.6181291835865558e-3;
    p = p * r + 5.5504109063306812e-2;
    p = p * r + 2.4022650695737413e-1;
    p = p * r + 6.9314718055683172e-1;
    p = p * r + 1.0;
    const LongVec exponent = ((LongVec)shifted - (LongVec)broadcast(round) + 1023) << 52;
    return p * (DoubleVec)exponent;
}

// 1 / x to 1e-12 of itself, for 1 <= x.
ZPRL_INLINE DoubleVec reciprocal(DoubleVec x) {
#if defined(__AVX512F__)
    // From an estimate to 14 bits, with the first three terms of 1 / (1 - error): to 42 bits.
    const DoubleVec estimate = (DoubleVec)_mm512_rcp14_pd((__m512d)x);
    const DoubleVec error = 1.0 - x * estimate;
    return estimate + estimate * (error + error * error);
#else
    return 1.0 / x;
#endif
}

ZPRL_INLINE DoubleVec silu(DoubleVec x) { return x * reciprocal(1.0 + exp(-x)); }

// As in single precision.
ZPRL_INLINE DoubleVec mish(DoubleVec x) {
    const DoubleVec e = exp(min(x, broadcast(20.0)));
    const DoubleVec n = e * (e + 2.0);
    return x * (n * reciprocal(n + 2.0));
}

// x (1 + erf(x / sqrt 2)) / 2, to 1e-10 of |x|.
// For x^2 < 2 with a polynomial for erf(x / sqrt 2) / 2x (error 1.2e-11). Beyond, with u = |x| / sqrt 2 >= 1, erfc(u) /
// 2 = t P(t) e^(-u^2) for t = 1 / (1 + u / 2), the form of Abramowitz and Stegun 7.1.26, with P fitted for the least
// error of the whole (6e-13) for u up to 5: where e^(-u^2) is small, P need not be good, and beyond it is nothing.
ZPRL_INLINE DoubleVec gelu(DoubleVec x) {
    const DoubleVec square = x * x;
    DoubleVec q = square * -2.6737863030848463e-8 + 6.2261559189201991e-7;
    q = q * square - 9.3743705972887012e-6;
    q = q * square + 1.1537054579874233e-4;
    q = q * square - 1.1872961828515914e-3;
    q = q * square + 9.9735491226116844e-3;
    q = q * square - 6.6490379325567201e-2;
    q = q * square + 3.9894228038999448e-1;
    const DoubleVec near = x * (x * q + 0.5);

    const DoubleVec t = reciprocal(1.0 + abs(x) * 0.35355339059327376);
    DoubleVec p = t * 5.5801725826368357e-2 - 2.1985995763631253e-1;
    p = p * t + 2.5435710065341537e-1;
    p = p * t - 2.5681197699824212e-2;
    p = p * t + 1.5896890691399493e-1;
    p = p * t + 1.3493719719588073e-1;
    p = p * t + 1.4149640366718682e-1;
    const DoubleVec tail = x * ((p * t) * exp(square * -0.5));  // x times the smaller of the two sides' probabilities
    return square < 2.0 ? near : (x > 0.0 ? x - tail : tail);
}

// e^x - 1 below zero, to 1e-11.
ZPRL_INLINE DoubleVec elu(DoubleVec x) { return x > 0.0 ? x : exp(x) - 1.0; }

ZPRL_INLINE DoubleVec relu(DoubleVec x) { return max(x, DoubleVec{}); }

// To 1e-11: the larger of e^x and e^-x is not formed.
ZPRL_INLINE DoubleVec tanh(DoubleVec x) {
    const DoubleVec e = exp(-2.0 * abs(x));
    const DoubleVec positive = (1.0 - e) * reciprocal(1.0 + e);
    return x < 0.0 ? -positive : positive;
}

}  // namespace
}  // namespace zprl
