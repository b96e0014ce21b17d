// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The U-Net a second time: its weights as torch keeps them, and its velocity in double precision. See UNetVelocityField
// in zprl/policies/flow/unet.py.

#pragma once

#include <cstddef>
#include <vector>

namespace core_check {

struct UNetShape {
    std::vector<int> channels;  // of each level; none if the velocity field is another
    int kernel = 0, groups = 0;

    int levels() const { return static_cast<int>(channels.size()); }
    int padded_horizon(int horizon) const {
        const int multiple = 1 << (levels() - 1);
        return (horizon + multiple - 1) / multiple * multiple;
    }
    // Channels of each block with FiLM, in order.
    std::vector<int> block_channels() const;
    // Numbers of the scales and shifts of all blocks.
    int film() const;
};

struct ConvolutionLayer {
    int in = 0, out = 0, taps = 0;
    std::vector<float> weight;  // [out][in][taps]
    std::vector<float> bias;    // [out]
};

struct Normalisation {
    std::vector<float> scale, shift;
};

struct FilmLayers {
    ConvolutionLayer in, out, residual;  // no taps: the identity
    Normalisation norm_in, norm_out;
};

struct UNetModel {
    std::vector<FilmLayers> down, middle, up;
    std::vector<ConvolutionLayer> halve;    // of stride 2
    std::vector<ConvolutionLayer> doubled;  // transposed, of stride 2, with four taps
    ConvolutionLayer last, output;
    Normalisation norm_last;
};

// Velocity [horizon][action] of a state of the same shape, with scales and shifts of condition and time together.
std::vector<double> unet_velocity(const UNetShape& shape, const UNetModel& model, int horizon,
                                  const std::vector<double>& state, const std::vector<double>& film);

}  // namespace core_check
