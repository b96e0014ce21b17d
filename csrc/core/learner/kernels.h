// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The arithmetic of a gradient step for one instruction set: what kernels_*.cpp compile, and kernels.cpp chooses from.
//
// Matrices are row-major with a stride, in numbers. Widths that are called padded are multiples of kPad, and what lies
// between a width and its padded one is zero or is not looked at. Every sum over inputs or rows is taken in their
// order, whatever the tile: a row's result does not depend on the rows beside it, nor any result on the threads.
//
// Nothing here allocates, locks or throws.

#pragma once

#include <cstddef>
#include <cstdint>

#include "../policy_blob.h"

namespace zprl::learner {

constexpr int kPad = 16;  // a multiple of every instruction set's vectors

constexpr ZPRL_ALWAYS_INLINE int padded_to_vectors(int width) { return (width + kPad - 1) / kPad * kPad; }

// Settings of one step of Adam (arXiv 1412.6980), as torch.optim.Adam takes it.
template <typename T>
struct AdamStep {
    T gradient_scale;  // of clipping by the norm
    T beta1, beta2, epsilon;
    T step_size;        // learning rate / (1 - beta1^t)
    T root_correction;  // sqrt(1 - beta2^t)
};

// One output tanh(x) of a network that gives mean and squashed deviation of x; see zprl.rl.distribution.
template <typename T>
struct SquashedRow {
    const T* output;  // [2 count], means, then what becomes the logarithm of the deviation
    const T* noise;   // [count]
    int count;
    T low, high;  // range of that logarithm
    // Written: the sample, and, unless null, what squashed_gradient() needs, [count] each.
    T* sample;
    T* deviation;      // std * noise
    T* log_std_slope;  // derivative of the deviation's logarithm
};

template <typename T>
struct Kernels {
    // y [rows][columns] = x [rows][in] w + bias, with w [in][columns], columns padded and the stride of w and y.
    void (*forward)(const T* x, int x_stride, int rows, const T* w, const T* bias, int in, int columns, T* y);

    // value = f(value), and, unless null, slope = f'(value as it was); count is a multiple of kPad.
    void (*activate)(Activation f, size_t count, T* value, T* slope);

    // result [rows][columns] = delta [rows][out] w, times slope unless null; w [out][w_stride], columns padded, slope
    // with the stride of the result.
    void (*backward)(const T* delta, int delta_stride, int rows, const T* w, int w_stride, int out, int columns,
                     const T* slope, T* result, int stride);

    // gradient [count][columns] = sum over rows of a[row][i] b[row][j]. Returns the sum of its squares.
    double (*weight_gradient)(const T* a, int a_stride, int count, const T* b, int b_stride, int columns, int rows,
                              T* gradient);

    // gradient [columns] = sum over rows of delta[row][j]. Returns the sum of its squares.
    double (*bias_gradient)(const T* delta, int stride, int columns, int rows, T* gradient);

    // One step of Adam: parameters, running averages of gradient and squared gradient, and the gradient.
    void (*adam)(const AdamStep<T>& step, size_t count, T* parameters, T* average, T* square, const T* gradient);

    // target += rate (parameters - target), as torch's lerp rounds it.
    void (*follow)(T rate, size_t count, const T* parameters, T* target);

    // Sample; returns the logarithm of its density.
    double (*squashed_sample)(const SquashedRow<T>& row);

    // delta [2 count] of the network's output: from the gradient of the sample [count], and from `density` times that
    // of the density's logarithm.
    void (*squashed_gradient)(const SquashedRow<T>& row, const T* sample_gradient, T density, T* delta);
};

// One instruction set's kernels.
struct KernelSet {
    Kernels<float> of_float;
    Kernels<double> of_double;
};

extern const KernelSet kPortableKernels;
#if defined(__x86_64__)
extern const KernelSet kAvx2Kernels, kAvx512Kernels;
#endif

// Those of the instruction set in use; see cpu_level(), whose exception it throws.
template <typename T>
const Kernels<T>& chosen_kernels();

}  // namespace zprl::learner
