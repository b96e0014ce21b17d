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

// Where things are: as the plan says, or as the kernel was compiled for, so that loads and stores know their memory.
struct PlacedByPlan {
    static ZPRL_DEVICE Placement of(const Memory& memory) { return memory.placement; }
};
template <Placement kPlacement>
struct PlacedAs {
    static ZPRL_DEVICE Placement of(const Memory&) { return kPlacement; }
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

// Outputs that a slab of the tile kernels has, of a layer from which so many are left: the most of 256, 128 and 64, so
// that the products need no other sizes.
ZPRL_DEVICE int outputs_of_slab(int left, int tile_outputs) {
    ZPRL_NO_UNROLL
    while (tile_outputs > left) tile_outputs >>= 1;
    return tile_outputs;
}

// Runs through the layers of an operation in their order. The velocity field's come again for each evaluation.
class LayerCursor {
 public:
    ZPRL_DEVICE LayerCursor(const DevicePolicy& policy, Operation operation)
        : p_(policy),
          index_(first_layer(policy, operation)),
          end_(operation == Operation::kEncode ? layers_to_moments(policy)
                                               : layers_once(policy) + 1 + layers_per_evaluation(policy)),
          evaluations_(operation == Operation::kEncode ? 1 : policy.num_steps * policy.solver.stages) {}

    ZPRL_DEVICE bool done() const { return index_ >= end_; }
    ZPRL_DEVICE bool runs_once() const { return index_ < layers_once(p_); }
    // Of the velocity field; negative in the layers before it.
    ZPRL_DEVICE int field_index() const { return index_ - layers_once(p_) - 1; }
    ZPRL_DEVICE DeviceLayer layer() const {
        return runs_once() ? p_.once[index_] : field_index() < 0 ? p_.modulation : field_layer(p_, field_index());
    }
    ZPRL_DEVICE void advance() {
        if (++index_ == end_ && --evaluations_ > 0) index_ = layers_once(p_) + 1;
    }

 private:
    const DevicePolicy& p_;
    int index_;
    const int end_;
    int evaluations_;  // that are left, with this one
};

// Of a power of two: shifts instead of divisions by numbers that are known only at run time.
ZPRL_DEVICE int log2_of(int power) {
    int result = 0;
    ZPRL_NO_UNROLL
    while (1 << result < power) ++result;
    return result;
}

// Rows of the batch among the `rows` that a block or cluster takes from `first` on.
ZPRL_DEVICE int live_rows(const Call& call, int64_t first, int rows) {
    const int64_t left = call.rows - first;
    return left < 0 ? 0 : left < rows ? static_cast<int>(left) : rows;
}

}  // namespace cuda
}  // namespace zprl
