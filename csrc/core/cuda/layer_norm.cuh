// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Layer norms without affine parameters, which time and a row's condition modulate: x * (1 + scale + time_scale) +
// shift
// + time_shift. What those of tiles (tile_norm.cuh) and of clusters (cluster_norm.cuh) have in common.

#pragma once

#include "device.cuh"
#include "memory.h"
#include "unit.cuh"

namespace zprl {
namespace cuda {

constexpr float kLayerNormEpsilon = 1e-5f;  // as on the CPU (cpu/step_impl.h)
constexpr int kLaneColumns = 64;            // a pair of each lane of a warp

template <typename Kept>
struct NormOperands {
    const float* stream;  // [rows][stride]
    int stream_stride;
    const Kept *shift, *scale;  // [rows][stride]
    int modulation_stride;
    const float *time_shift, *time_scale;
    char* branch;  // result: an operand
    int width;
};

// Sums over the lanes of a warp, several at once: one alone would be five times the latency of a shuffle.
template <int kSums>
ZPRL_DEVICE void sum_over_warp(float (&x)[kSums]) {
    ZPRL_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) {
        ZPRL_UNROLL
        for (int i = 0; i < kSums; ++i) x[i] += device::shuffle_xor(x[i], mask);
    }
}

}  // namespace cuda
}  // namespace zprl
