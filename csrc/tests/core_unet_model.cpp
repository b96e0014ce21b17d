// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Random U-Nets, and how the blob holds them.

#include "core_writer.h"

namespace core_check {

namespace {

ConvolutionLayer random_convolution(Random& random, int in, int out, int taps, Dtype dtype) {
    ConvolutionLayer layer{in, out, taps,
                           random.normals(static_cast<size_t>(in) * out * taps, 1.0 / std::sqrt(in * taps)),
                           random.normals(out, 0.1)};
    if (dtype == Dtype::kBfloat16) {
        for (float& weight : layer.weight) weight = from_bf16(to_bf16(weight));
    }
    return layer;
}

Normalisation random_norm(Random& random, int channels) {
    Normalisation norm{random.normals(channels, 0.2), random.normals(channels, 0.2)};
    for (float& scale : norm.scale) scale += 1.0f;
    return norm;
}

// Some taps of a convolution as a layer. With `joins`, its inputs are two halves, of which the first is padded.
Layer as_layer(const ConvolutionLayer& c, const std::vector<int>& taps, Dtype dtype, bool joins = false) {
    const int half = c.in / 2, before_second = joins ? zprl::padded(half) : half;
    const int inputs = before_second + c.in - half;
    const int of_tap = dtype == Dtype::kBfloat16 ? (inputs + 1) / 2 * 2 : inputs;
    const int count = static_cast<int>(taps.size());
    Layer layer{count * of_tap, c.out, std::vector<float>(static_cast<size_t>(count) * of_tap * c.out), c.bias};
    for (int i = 0; i < count; ++i) {
        for (int in = 0; in < c.in; ++in) {
            const size_t to = static_cast<size_t>(i) * of_tap + (in < half ? in : before_second + in - half);
            for (int out = 0; out < c.out; ++out) {
                layer.weight[to * c.out + out] = c.weight[(static_cast<size_t>(out) * c.in + in) * c.taps + taps[i]];
            }
        }
    }
    return layer;
}

std::vector<int> all_taps(const ConvolutionLayer& c) {
    std::vector<int> taps(c.taps);
    for (int i = 0; i < c.taps; ++i) taps[i] = i;
    return taps;
}

ConvolutionLayer identity(int channels) {
    ConvolutionLayer layer{channels, channels, 1, std::vector<float>(static_cast<size_t>(channels) * channels),
                           std::vector<float>(channels)};
    for (int i = 0; i < channels; ++i) layer.weight[static_cast<size_t>(i) * (channels + 1)] = 1.0f;
    return layer;
}

}  // namespace

UNetModel random_unet(const Shape& s, Random& random) {
    const UNetShape& u = s.unet;
    const auto block = [&](int in, int out) {
        FilmLayers layers;
        layers.in = random_convolution(random, in, out, u.kernel, s.dtype);
        layers.norm_in = random_norm(random, out);
        layers.out = random_convolution(random, out, out, u.kernel, s.dtype);
        layers.norm_out = random_norm(random, out);
        if (in != out) layers.residual = random_convolution(random, in, out, 1, s.dtype);
        return layers;
    };
    UNetModel m;
    for (int level = 0; level < u.levels(); ++level) {
        const int channels = u.channels[level];
        m.down.push_back(block(level == 0 ? s.action : u.channels[level - 1], channels));
        m.down.push_back(block(channels, channels));
        if (level + 1 < u.levels()) m.halve.push_back(random_convolution(random, channels, channels, 3, s.dtype));
    }
    for (int i = 0; i < 2; ++i) m.middle.push_back(block(u.channels.back(), u.channels.back()));
    for (int level = u.levels() - 1; level > 0; --level) {
        const int channels = u.channels[level - 1];
        m.up.push_back(block(2 * u.channels[level], channels));
        m.up.push_back(block(channels, channels));
        m.doubled.push_back(random_convolution(random, channels, channels, 4, s.dtype));
    }
    m.last = random_convolution(random, u.channels[0], u.channels[0], u.kernel, s.dtype);
    m.norm_last = random_norm(random, u.channels[0]);
    m.output = random_convolution(random, u.channels[0], s.action, 1, s.dtype);
    return m;
}

void write_unet(const Shape& s, const UNetModel& m, Writer& writer) {
    const auto convolution = [&](const ConvolutionLayer& c, bool joins = false) {
        writer.layer(as_layer(c, all_taps(c), s.dtype, joins), s.dtype);
    };
    const auto norm = [&](const Normalisation& n) {
        for (const std::vector<float>* values : {&n.scale, &n.shift}) {
            std::vector<float> padded = *values;
            padded.resize(zprl::padded(static_cast<int>(padded.size())), 0.0f);
            writer.numbers(padded);
        }
    };
    const auto block = [&](const FilmLayers& b, bool first, bool joins) {
        convolution(b.in, joins);
        norm(b.norm_in);
        convolution(b.out);
        norm(b.norm_out);
        if (first) convolution(b.residual.taps > 0 ? b.residual : identity(b.in.in), joins);
    };
    for (size_t i = 0; i < m.down.size(); ++i) {
        block(m.down[i], i % 2 == 0, false);
        if (i % 2 == 1 && i / 2 < m.halve.size()) convolution(m.halve[i / 2]);
    }
    for (const FilmLayers& b : m.middle) block(b, false, false);
    for (size_t i = 0; i < m.up.size(); ++i) {
        block(m.up[i], i % 2 == 0, i % 2 == 0);
        if (i % 2 == 1) {
            // Even positions read the input before and their own, odd ones their own and the next.
            writer.layer(as_layer(m.doubled[i / 2], {3, 1}, s.dtype), s.dtype);
            writer.layer(as_layer(m.doubled[i / 2], {2, 0}, s.dtype), s.dtype);
        }
    }
    convolution(m.last);
    norm(m.norm_last);
    convolution(m.output);
}

}  // namespace core_check
