// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The kernels of a gradient step, for the instruction set of the including file.
//
// All three products of a layer (its outputs, the gradients of its inputs and those of its weights) run on one tile:
// kTileRows x kTileVectors vectors of sums stay in registers while the loop over what is summed loads the tile's
// columns of one matrix and broadcasts a number per row of the other. On an AMD EPYC (Zen 4) a thread makes 112 GFLOP/s
// of its 118 so, at 256 x 170 x 128 as at 512 x 256 x 128; MKL made 93 there, and its products know nothing of what
// comes next.
//
// Everything has internal linkage, for the reason that ../cpu/simd.h gives.

#pragma once

#include "activations.h"
#include "kernels.h"

namespace zprl::learner {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 4, kTileVectors = 4;
#elif defined(__AVX__)
constexpr int kTileRows = 6, kTileVectors = 2;
#else
constexpr int kTileRows = 4, kTileVectors = 2;
#endif

// A product of two matrices: sum over k < steps of a[k a_step + row a_row] b[k b_stride + column].
template <typename T>
struct Factors {
    const T* a;
    int a_step, a_row;
    const T* b;
    int b_stride;
    int steps;
};

// finish(row, column, vector of sums) for a tile.
template <typename T, int kRows, int kVectors, typename Finish>
ZPRL_INLINE void tile(const Factors<T>& f, int row, int column, const Finish& finish) {
    constexpr int kCount = Lanes<T>::kCount;
    const T* a = f.a + static_cast<ptrdiff_t>(row) * f.a_row;
    const T* b = f.b + column;
    VecOf<T> sums[kRows][kVectors] = {};
    for (int step = 0; step < f.steps; ++step, a += f.a_step, b += f.b_stride) {
        VecOf<T> columns[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) columns[v] = load(b + v * kCount);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const VecOf<T> x = broadcast(a[static_cast<ptrdiff_t>(r) * f.a_row]);
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) sums[r][v] += x * columns[v];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) finish(row + r, column + v * kCount, sums[r][v]);
    }
}

template <typename T, int kVectors, typename Finish>
ZPRL_INLINE void tile_column(const Factors<T>& f, int rows, int column, const Finish& finish) {
    int row = 0;
    for (; row + kTileRows <= rows; row += kTileRows) tile<T, kTileRows, kVectors>(f, row, column, finish);
    for (; row + 2 <= rows; row += 2) tile<T, 2, kVectors>(f, row, column, finish);
    for (; row < rows; ++row) tile<T, 1, kVectors>(f, row, column, finish);
}

// finish() for all rows and all vectors of padded columns.
template <typename T, typename Finish>
ZPRL_INLINE void product(const Factors<T>& f, int rows, int columns, const Finish& finish) {
    constexpr int kCount = Lanes<T>::kCount;
    int column = 0;
    for (; column + kTileVectors * kCount <= columns; column += kTileVectors * kCount) {
        tile_column<T, kTileVectors>(f, rows, column, finish);
    }
    if constexpr (kTileVectors > 2) {
        for (; column + 2 * kCount <= columns; column += 2 * kCount) tile_column<T, 2>(f, rows, column, finish);
    }
    for (; column < columns; column += kCount) tile_column<T, 1>(f, rows, column, finish);
}

template <typename T>
static void forward(const T* x, int x_stride, int rows, const T* w, const T* bias, int in, int columns, T* y) {
    product<T>({x, 1, x_stride, w, columns, in}, rows, columns,
               [&](int row, int column, VecOf<T> sum) __attribute__((always_inline)) {
                   store(y + static_cast<ptrdiff_t>(row) * columns + column, sum + load(bias + column));
               });
}

template <typename T>
static void backward(const T* delta, int delta_stride, int rows, const T* w, int w_stride, int out, int columns,
                     const T* slope, T* result, int stride) {
    const Factors<T> factors = {delta, 1, delta_stride, w, w_stride, out};
    if (slope == nullptr) {
        product<T>(factors, rows, columns, [&](int row, int column, VecOf<T> sum) __attribute__((always_inline)) {
            store(result + static_cast<ptrdiff_t>(row) * stride + column, sum);
        });
    } else {
        product<T>(factors, rows, columns, [&](int row, int column, VecOf<T> sum) __attribute__((always_inline)) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(row) * stride + column;
            store(result + at, sum * load(slope + at));
        });
    }
}

template <typename T>
ZPRL_INLINE T lane_sum(VecOf<T> v) {
    T lanes[Lanes<T>::kCount], total = 0;
    store(lanes, v);
    for (T lane : lanes) total += lane;
    return total;
}

// The first `count` of a vector's numbers, others zero.
template <typename T>
ZPRL_INLINE VecOf<T> first_lanes(VecOf<T> v, int count) {
    constexpr int kCount = Lanes<T>::kCount;
    if (count >= kCount) return v;
    T lanes[kCount];
    store(lanes, v);
    for (int i = count; i < kCount; ++i) lanes[i] = 0;
    return load(lanes);
}
template <typename T>
ZPRL_INLINE VecOf<T> load_first(const T* p, int count) {
    constexpr int kCount = Lanes<T>::kCount;
    if (count >= kCount) return load(p);
    T lanes[kCount] = {};
    for (int i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
}
template <typename T>
ZPRL_INLINE void store_first(T* p, VecOf<T> v, int count) {
    constexpr int kCount = Lanes<T>::kCount;
    if (count >= kCount) return store(p, v);
    T lanes[kCount];
    store(lanes, v);
    for (int i = 0; i < count; ++i) p[i] = lanes[i];
}

template <typename T>
static double weight_gradient(const T* a, int a_stride, int count, const T* b, int b_stride, int columns, int rows,
                              T* gradient) {
    double squares = 0.0;
    product<T>({a, a_stride, 1, b, b_stride, rows}, count, padded_to_vectors(columns),
               [&](int row, int column, VecOf<T> sum) __attribute__((always_inline)) {
                   const int there = columns - column;
                   if (there <= 0) return;
                   const VecOf<T> kept = first_lanes<T>(sum, there);
                   store_first<T>(gradient + static_cast<ptrdiff_t>(row) * columns + column, kept, there);
                   squares += lane_sum<T>(kept * kept);
               });
    return squares;
}

template <typename T>
static double bias_gradient(const T* delta, int stride, int columns, int rows, T* gradient) {
    for (int j = 0; j < columns; ++j) gradient[j] = delta[j];
    for (int row = 1; row < rows; ++row) {
        const T* from = delta + static_cast<ptrdiff_t>(row) * stride;
        for (int j = 0; j < columns; ++j) gradient[j] += from[j];
    }
    double squares = 0.0;
    for (int j = 0; j < columns; ++j) squares += static_cast<double>(gradient[j]) * gradient[j];
    return squares;
}

template <typename T, Activation f>
ZPRL_INLINE void activate_all(size_t count, T* value, T* slope) {
    for (size_t i = 0; i < count; i += Lanes<T>::kCount) {
        const ValueAndSlope<T> y = activated<T, f>(load(value + i));
        store(value + i, y.value);
        if (slope != nullptr) store(slope + i, y.slope);
    }
}

template <typename T>
static void activate(Activation f, size_t count, T* value, T* slope) {
    switch (f) {
        case Activation::kElu:
            return activate_all<T, Activation::kElu>(count, value, slope);
        case Activation::kRelu:
            return activate_all<T, Activation::kRelu>(count, value, slope);
        case Activation::kTanh:
            return activate_all<T, Activation::kTanh>(count, value, slope);
        case Activation::kSilu:
            return activate_all<T, Activation::kSilu>(count, value, slope);
        default:
            return activate_all<T, Activation::kGelu>(count, value, slope);
    }
}

ZPRL_INLINE float root(float x) { return __builtin_sqrtf(x); }
ZPRL_INLINE double root(double x) { return __builtin_sqrt(x); }

template <typename T>
static void adam(const AdamStep<T>& step, size_t count, T* __restrict parameters, T* __restrict average,
                 T* __restrict square, const T* __restrict gradient) {
    const AdamStep<T> s = step;
    for (size_t i = 0; i < count; ++i) {
        const T g = gradient[i] * s.gradient_scale;
        average[i] += (T(1) - s.beta1) * (g - average[i]);
        square[i] = s.beta2 * square[i] + (T(1) - s.beta2) * g * g;
        parameters[i] -= s.step_size * average[i] / (root(square[i]) / s.root_correction + s.epsilon);
    }
}

template <typename T>
static void follow(T rate, size_t count, const T* __restrict parameters, T* __restrict target) {
    if (rate < T(0.5)) {
        for (size_t i = 0; i < count; ++i) target[i] += rate * (parameters[i] - target[i]);
    } else {
        for (size_t i = 0; i < count; ++i) target[i] = parameters[i] - (parameters[i] - target[i]) * (T(1) - rate);
    }
}

template <typename T>
static double squashed_sample(const SquashedRow<T>& row) {
    constexpr int kCount = Lanes<T>::kCount;
    const T half = T(0.5) * (row.high - row.low);
    VecOf<T> log_prob = {};
    for (int i = 0; i < row.count; i += kCount) {
        const int there = row.count - i;
        const VecOf<T> noise = load_first<T>(row.noise + i, there);
        VecOf<T> e;
        const VecOf<T> squashed = tanh_of<T>(load_first<T>(row.output + row.count + i, there), e);
        const VecOf<T> log_std = row.low + half * (squashed + T(1));
        const VecOf<T> deviation = exp(log_std) * noise;
        const VecOf<T> x = load_first<T>(row.output + i, there) + deviation;
        store_first<T>(row.sample + i, tanh_of<T>(x, e), there);
        if (row.deviation != nullptr) {
            store_first<T>(row.deviation + i, deviation, there);
            store_first<T>(row.log_std_slope + i, half * (T(1) - squashed * squashed), there);
        }
        // log(1 - tanh(x)^2) = 2 (log 2 - |x| - log(1 + e^(-2 |x|))), which does not cancel for large x.
        const VecOf<T> log_slope = T(2) * (T(0.69314718055994531) - magnitude<T>(x) - log1p_of<T>(e));
        const VecOf<T> terms = T(-0.5) * noise * noise - log_std - T(0.91893853320467274) - log_slope;
        log_prob += first_lanes<T>(terms, there);
    }
    return lane_sum<T>(log_prob);
}

template <typename T>
static void squashed_gradient(const SquashedRow<T>& row, const T* __restrict sample_gradient, T density,
                              T* __restrict delta) {
    const SquashedRow<T> r = row;
    for (int i = 0; i < r.count; ++i) {
        const T u = r.sample[i];
        const T dx = density * (T(2) * u) + sample_gradient[i] * (T(1) - u * u);
        delta[i] = dx;
        delta[r.count + i] = (dx * r.deviation[i] - density) * r.log_std_slope[i];
    }
}

template <typename T>
constexpr Kernels<T> kernels_of() {
    return {&forward<T>, &activate<T>, &backward<T>,        &weight_gradient<T>,  &bias_gradient<T>,
            &adam<T>,    &follow<T>,   &squashed_sample<T>, &squashed_gradient<T>};
}

}  // namespace
}  // namespace zprl::learner
