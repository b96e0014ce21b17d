// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The functions of a gradient step, with their derivatives, for vectors of floats and of doubles of the including
// file's instruction set. They are off by 2e-7 at most in single precision and by 1e-10 in double, of x or of 1.

#pragma once

#include "../cpu/activations.h"
#include "../policy_blob.h"

namespace zprl::learner {
namespace {

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
    typedef Vec Vector;
    typedef IntVec Bits;
    static constexpr int kCount = kLanes;
    static constexpr int32_t kNoSign = INT32_MAX;
};
template <>
struct Lanes<double> {
    typedef DoubleVec Vector;
    typedef LongVec Bits;
    static constexpr int kCount = kDoubleLanes;
    static constexpr int64_t kNoSign = INT64_MAX;
};
template <typename T>
using VecOf = typename Lanes<T>::Vector;

template <typename T>
ZPRL_INLINE VecOf<T> magnitude(VecOf<T> x) {
    return (VecOf<T>)((typename Lanes<T>::Bits)x & Lanes<T>::kNoSign);
}

template <typename T>
struct ValueAndSlope {
    VecOf<T> value, slope;
};

// tanh, and e^(-2 |x|), which others need beside it.
template <typename T>
ZPRL_INLINE VecOf<T> tanh_of(VecOf<T> x, VecOf<T>& e) {
    e = exp(T(-2) * magnitude<T>(x));
    const VecOf<T> positive = (T(1) - e) * reciprocal(T(1) + e);
    return x < T(0) ? -positive : positive;
}

// log(1 + e) for e in [0, 1]: 2 atanh(e / (2 + e)) by its series, whose argument is a third at most.
template <typename T>
ZPRL_INLINE VecOf<T> log1p_of(VecOf<T> e) {
    constexpr int kTerms = sizeof(T) == sizeof(float) ? 8 : 13;
    const VecOf<T> s = e * reciprocal(T(2) + e), square = s * s;
    VecOf<T> p = broadcast(T(1) / T(2 * kTerms - 1));
#pragma GCC unroll 16
    for (int k = kTerms - 2; k >= 0; --k) p = p * square + T(1) / T(2 * k + 1);
    return T(2) * s * p;
}

// Probability that a standard normal number is below x, given e^(-x^2 / 2); the fits are those of ../cpu/activations.h.
template <typename T>
ZPRL_INLINE VecOf<T> normal_below(VecOf<T> x, VecOf<T> gaussian) {
    const VecOf<T> square = x * x;
    VecOf<T> q = square * T(-2.6737863030848463e-8) + T(6.2261559189201991e-7);
    q = q * square + T(-9.3743705972887012e-6);
    q = q * square + T(1.1537054579874233e-4);
    q = q * square + T(-1.1872961828515914e-3);
    q = q * square + T(9.9735491226116844e-3);
    q = q * square + T(-6.6490379325567201e-2);
    q = q * square + T(3.9894228038999448e-1);
    const VecOf<T> near = x * q + T(0.5);

    const VecOf<T> t = reciprocal(T(1) + magnitude<T>(x) * T(0.35355339059327376));
    VecOf<T> p = t * T(5.5801725826368357e-2) + T(-2.1985995763631253e-1);
    p = p * t + T(2.5435710065341537e-1);
    p = p * t + T(-2.5681197699824212e-2);
    p = p * t + T(1.5896890691399493e-1);
    p = p * t + T(1.3493719719588073e-1);
    p = p * t + T(1.4149640366718682e-1);
    const VecOf<T> tail = p * t * gaussian;
    return square < T(2) ? near : (x > T(0) ? T(1) - tail : tail);
}

template <typename T, Activation f>
ZPRL_INLINE ValueAndSlope<T> activated(VecOf<T> x) {
    if constexpr (f == Activation::kElu) {
        const VecOf<T> e = exp(min(x, VecOf<T>{}));
        return {x > T(0) ? x : e - T(1), x > T(0) ? broadcast(T(1)) : e};
    } else if constexpr (f == Activation::kRelu) {
        return {max(x, VecOf<T>{}), x > T(0) ? broadcast(T(1)) : VecOf<T>{}};
    } else if constexpr (f == Activation::kTanh) {
        VecOf<T> e;
        const VecOf<T> y = tanh_of<T>(x, e);
        return {y, T(1) - y * y};
    } else if constexpr (f == Activation::kSilu) {
        const VecOf<T> s = reciprocal(T(1) + exp(-x));
        return {x * s, s * (T(1) + x * (T(1) - s))};
    } else {
        static_assert(f == Activation::kGelu);
        const VecOf<T> gaussian = exp(x * x * T(-0.5));
        const VecOf<T> below = normal_below<T>(x, gaussian);
        return {x * below, below + x * gaussian * T(0.39894228040143268)};
    }
}

}  // namespace
}  // namespace zprl::learner
