// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Random policies of any shape, and the blobs that hold them.

#pragma once

#include <string>
#include <vector>

#include "core_support.h"
#include "core_unet.h"
#include "policy_blob.h"

namespace core_check {

using zprl::Dtype;

struct Shape {
    Dtype dtype = Dtype::kFloat32;
    int obs, action, horizon, embed, latent, hidden, blocks, solver, steps;
    UNetShape unet;  // instead of hidden and blocks
    std::vector<int> embed_hidden, vib_hidden;
    int32_t parts = zprl::kPartEncoder | zprl::kPartBottleneck | zprl::kPartFlow;  // besides an actor
    bool steered = false;
    int activation = 0;
    zprl::ActorOutput output = zprl::ActorOutput::kClamp;
    std::vector<int> actor_hidden;

    bool has(zprl::Part part) const { return (parts & part) != 0; }
    int chunk() const { return horizon * action; }
    bool is_unet() const { return !unet.channels.empty(); }
};

std::string describe(const Shape& shape);

// The methods of zprl/policies/flow/flow_matching.py, a second time.
struct Method {
    std::vector<double> nodes, weights;
    int rows_per_step;
};
inline const Method kMethods[] = {
    {{0.0}, {1.0}, 1},
    {{0.0, 0.5}, {0.0, 1.0}, 2},
    {{0.0, 1.0}, {0.5, 0.5}, 1},
    {{0.0, 0.5, 0.5, 1.0}, {1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0}, 2},
};

struct Layer {
    int in = 0, out = 0;
    std::vector<float> weight;  // [in][out]
    std::vector<float> bias;    // [out]
};

struct Model {
    Shape shape;
    std::vector<float> obs_mean, obs_std;
    std::vector<Layer> embedding, encoder, decoder;
    Layer modulation, input, output;
    int time_rows = 0;
    std::vector<float> time_table;  // [time_rows][3 blocks + 3][hidden], or [time_rows][scales and shifts]
    std::vector<Layer> blocks;
    UNetModel unet;
    std::vector<float> action_mean, action_std, action_low, action_high;
    std::vector<float> actor_mean, actor_divisor;
    float residual_scale = 0.0f;
    std::vector<Layer> actor;
};

constexpr double kMaxError = 1e-5;                               // of the root mean square; fp32 weights
constexpr double kMaxErrorBf16 = 3e-2, kMaxRmsErrorBf16 = 6e-3;  // against a reference with the same rounded weights

// To nearest, ties to even.
uint16_t to_bf16(float value);
float from_bf16(uint16_t value);

// Signals keep their size from layer to layer; shifts, scales and gates get a size that matters.
Model random_model(const Shape& shape, Random& random);

UNetModel random_unet(const Shape& shape, Random& random);

// `parts` parts of `width` columns each, every part padded to whole panels.
Layer with_padded_parts(const Layer& layer, int parts, int width);

// The blob, as policy_blob.h describes it.
std::vector<char> pack(const Model& model);

}  // namespace core_check
