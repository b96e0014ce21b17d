// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Activations of the policy's layers.

#pragma once

#include <type_traits>

#include "device.cuh"
#include "policy_step.h"

namespace zprl {
namespace cuda {

ZPRL_DEVICE float silu(float x) { return x * device::reciprocal(1.0f + device::exp(-x)); }
// The same by two instructions of the special function unit, to a few millionths; and by one, to 2^-11 of x: less than
// bf16 rounds it by.
ZPRL_DEVICE float silu_of_tf32(float x) {
    return x * device::reciprocal(1.0f + device::exp2_approximate(-1.44269504f * x));
}
ZPRL_DEVICE float silu_of_bfloat16(float x) {
    const float half = 0.5f * x;
    return half * device::tanh_approximate(half) + half;
}
ZPRL_DEVICE float gelu(float x) { return 0.5f * x * (1.0f + device::erf(x * 0.707106781f)); }

template <Activation kActivation>
ZPRL_DEVICE float activated(float x) {
    if constexpr (kActivation == Activation::kElu) return x > 0.0f ? x : device::expm1(x);
    if constexpr (kActivation == Activation::kRelu) return x < 0.0f ? 0.0f : x;
    if constexpr (kActivation == Activation::kTanh) return device::tanh(x);
    if constexpr (kActivation == Activation::kSilu) return silu(x);
    return gelu(x);
}

// Calls function(constant) for the activation, so that loops have it as a template parameter.
template <typename Function>
ZPRL_DEVICE void with_activation(Activation activation, const Function& function) {
    switch (activation) {
        case Activation::kElu:
            return function(std::integral_constant<Activation, Activation::kElu>{});
        case Activation::kRelu:
            return function(std::integral_constant<Activation, Activation::kRelu>{});
        case Activation::kTanh:
            return function(std::integral_constant<Activation, Activation::kTanh>{});
        case Activation::kSilu:
            return function(std::integral_constant<Activation, Activation::kSilu>{});
        default:
            return function(std::integral_constant<Activation, Activation::kGelu>{});
    }
}

}  // namespace cuda
}  // namespace zprl
