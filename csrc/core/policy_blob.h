// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy blob: everything a policy step needs, in one contiguous piece of memory.
//
// A blob is a tensor, a NumPy array or a file mapped into memory. parse_policy() checks its header against its length
// and returns pointers into it: nothing is copied, and the blob must outlive the Policy. Cost: a few hundred integer
// operations, no allocation.
//
// Layout, little-endian:
//
//   int32[64]  header: see HeaderField; unused fields are zero
//   float32[]  payload, in this order, with every weight stored as [in][out] and followed by its bias [out]:
//                obs mean, obs std                      [D] each
//                embedding layers                       D -> ... -> C
//                encoder layers                         C -> ... -> 2 Z   (means, then log-variances)
//                decoder layers                         Z -> ... -> C
//                modulation                             C -> 4 W          (input bias, shift, scale, gate)
//                input                                  H A -> W
//                time table                             [rows][(3 L + 3) W]
//                                                       (input | shift, scale, gate per block | final shift, scale)
//                blocks, two layers each                W -> W, W -> W
//                output                                 W -> H A
//                action mean, std, low, high            [A] each
//
// with D observation, C embedding, Z latent, W hidden and A action width, H horizon, L blocks.
// The writer is zprl/policy/native.py. Change kVersion with any change of the layout, in both places.

#pragma once

#include <cstddef>
#include <cstdint>

namespace zprl {

constexpr int32_t kMagic = 0x4C52505A;  // "ZPRL"
constexpr int32_t kVersion = 1;
constexpr int kHeaderInts = 64;
constexpr int kMaxHiddenLayers = 8;

enum HeaderField : int {
    kFieldMagic = 0,
    kFieldVersion,
    kFieldPayloadFloats,
    kFieldObsDim,
    kFieldActionDim,
    kFieldHorizon,
    kFieldEmbedDim,
    kFieldLatentDim,
    kFieldNumSteps,
    kFieldSolver,
    kFieldHiddenDim,
    kFieldNumBlocks,
    kFieldNumEmbedHidden,
    kFieldNumVibHidden,
    kFieldEmbedHidden = 16,                                  // kMaxHiddenLayers widths
    kFieldVibHidden = kFieldEmbedHidden + kMaxHiddenLayers,  // kMaxHiddenLayers widths of the encoder
    kFieldFirstUnused = kFieldVibHidden + kMaxHiddenLayers,
};

// y = x * weight + bias, for row vectors x.
struct Linear {
    const float* weight = nullptr;  // [in][out]
    const float* bias = nullptr;    // [out]
    int in = 0;
    int out = 0;
};

// Linear layers with GELU between them.
struct Mlp {
    Linear layers[kMaxHiddenLayers + 1];
    int count = 0;
};

// Explicit Runge-Kutta method; see Solver in zprl/policy/flow_matching.py, which this mirrors.
struct Solver {
    int stages;
    int rows_per_step;  // of the time table
    float nodes[4];
    float weights[4];
};

struct Policy {
    int obs_dim, action_dim, horizon, embed_dim, latent_dim;
    int num_steps, hidden_dim, num_blocks, time_rows;
    Solver solver;

    const float *obs_mean, *obs_std;
    Mlp embedding, encoder, decoder;
    Linear modulation, input, output;
    const float* time_table;
    const float* blocks;  // 2 * num_blocks layers; use block_layer()
    const float *action_mean, *action_std, *action_low, *action_high;

    const float* payload;
    int64_t payload_floats;

    int chunk_dim() const { return horizon * action_dim; }
    int time_row_size() const { return (3 * num_blocks + 3) * hidden_dim; }

    // Layer `which` (0 or 1) of a residual block.
    Linear block_layer(int block, int which) const {
        const size_t weight = static_cast<size_t>(hidden_dim) * hidden_dim;
        const float* start = blocks + (2 * static_cast<size_t>(block) + which) * (weight + hidden_dim);
        return {start, start + weight, hidden_dim, hidden_dim};
    }
};

// Check a blob and point into it. Throws std::invalid_argument with one sentence if it is not a whole, valid blob.
Policy parse_policy(const void* blob, size_t bytes);

// Throw std::invalid_argument if a weight is NaN or infinite. Reads the whole payload.
void require_finite_weights(const Policy& policy);

}  // namespace zprl
