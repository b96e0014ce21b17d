// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What a kernel is told, and the order of layers that follows from it.

#pragma once

#include "device.cuh"
#include "layout.h"
#include "memory.h"

namespace zprl {
namespace cuda {

// Whole steps, or their end from a latent or a condition on; encoding alone; and the flow alone, in its own units.
enum class Operation : int32_t { kStep, kAct, kActFromCondition, kEncode, kIntegrate };

// What a call asks for; see policy_step.h. Pointers are the device's.
struct Call {
    Operation operation;
    const char* blob;
    const float *obs, *residual, *noise, *latent, *condition;
    const uint64_t* latent_seed;
    float *chunk, *mean, *logvar;
    char* workspace;
    int64_t rows;
};

struct KernelArguments {
    DevicePolicy policy;
    Memory memory;
    Call call;
};

// ---- The order of layers: what the weights' stream follows ---------------------------------------------------------

ZPRL_DEVICE int layers_to_moments(const DevicePolicy& p) { return p.num_embedding + p.num_encoder; }
ZPRL_DEVICE int layers_once(const DevicePolicy& p) { return layers_to_moments(p) + p.num_actor + p.num_decoder; }

// The first layer that an operation runs.
ZPRL_DEVICE int first_layer(const DevicePolicy& p, Operation operation) {
    switch (operation) {
        case Operation::kAct:
            return layers_to_moments(p) + p.num_actor;
        case Operation::kActFromCondition:
        case Operation::kIntegrate:
            return layers_once(p);
        default:
            return 0;
    }
}

ZPRL_DEVICE int layers_per_evaluation(const DevicePolicy& p) { return 2 * p.num_blocks + 2; }

// Layer `index` of the velocity field: input, two per block, output.
ZPRL_DEVICE DeviceLayer field_layer(const DevicePolicy& p, int index) {
    if (index == 0) return p.input;
    if (index == layers_per_evaluation(p) - 1) return p.output;
    DeviceLayer layer = p.first_block_layer;
    layer.weight += (index - 1) * p.block_layer_bytes;
    layer.bias += (index - 1) * p.block_layer_bytes;
    return layer;
}

}  // namespace cuda
}  // namespace zprl
