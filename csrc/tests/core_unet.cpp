// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "core_unet.h"

#include <cmath>

#include "core_support.h"

namespace core_check {

namespace {

// Numbers [channels][length].
struct Map {
    int channels = 0, length = 0;
    std::vector<double> values;

    Map(int channels, int length)
        : channels(channels), length(length), values(static_cast<size_t>(channels) * length, 0.0) {}
    double& at(int channel, int position) { return values[static_cast<size_t>(channel) * length + position]; }
    double at(int channel, int position) const { return values[static_cast<size_t>(channel) * length + position]; }
};

double mish(double x) { return x * std::tanh(std::log1p(std::exp(x))); }

Map with_bias(const ConvolutionLayer& layer, int length) {
    Map y(layer.out, length);
    for (int out = 0; out < layer.out; ++out) {
        for (int p = 0; p < length; ++p) y.at(out, p) = static_cast<double>(layer.bias[out]);
    }
    return y;
}

// Add to y [out][y_length] the products of x [in][x_length] and weights [out][in][taps], where tap t leads from
// position p of the shorter one of x and y to `stride * p + t + first` of the other one.
ZPRL_NOT_WATCHED void add_products(const float* weight, int in, int out, int taps, const double* x, int x_length,
                                   double* y, int y_length, int stride, int first) {
    const bool transposed = y_length > x_length;
    const int shorter = transposed ? x_length : y_length, longer = transposed ? y_length : x_length;
    for (int o = 0; o < out; ++o) {
        for (int i = 0; i < in; ++i) {
            const double* from = x + i * x_length;
            double* to = y + o * y_length;
            for (int tap = 0; tap < taps; ++tap, ++weight) {
                for (int p = 0; p < shorter; ++p) {
                    const int other = stride * p + tap + first;
                    if (other < 0 || other >= longer) continue;
                    to[transposed ? other : p] += static_cast<double>(*weight) * from[transposed ? p : other];
                }
            }
        }
    }
}

Map convolution(const ConvolutionLayer& layer, const Map& x, int stride = 1) {
    Map y = with_bias(layer, x.length / stride);
    add_products(layer.weight.data(), layer.in, layer.out, layer.taps, x.values.data(), x.length, y.values.data(),
                 y.length, stride, -(layer.taps / 2));
    return y;
}

// Four taps, stride 2, and one position cut off at each end: input p reaches outputs 2 p - 1 to 2 p + 2.
Map transposed(const ConvolutionLayer& layer, const Map& x) {
    Map y = with_bias(layer, 2 * x.length);
    add_products(layer.weight.data(), layer.in, layer.out, 4, x.values.data(), x.length, y.values.data(), y.length, 2,
                 -1);
    return y;
}

void normalise_and_activate(const Normalisation& norm, int groups, Map& x) {
    const int width = x.channels / groups;
    const double count = static_cast<double>(width) * x.length;
    for (int group = 0; group < groups; ++group) {
        double mean = 0.0, variance = 0.0;
        for (int c = group * width; c < (group + 1) * width; ++c) {
            for (int p = 0; p < x.length; ++p) mean += x.at(c, p) / count;
        }
        for (int c = group * width; c < (group + 1) * width; ++c) {
            for (int p = 0; p < x.length; ++p) variance += (x.at(c, p) - mean) * (x.at(c, p) - mean) / count;
        }
        for (int c = group * width; c < (group + 1) * width; ++c) {
            const double scale = static_cast<double>(norm.scale[c]), shift = static_cast<double>(norm.shift[c]);
            for (int p = 0; p < x.length; ++p) {
                x.at(c, p) = mish((x.at(c, p) - mean) / std::sqrt(variance + 1e-5) * scale + shift);
            }
        }
    }
}

// With `film` at the scales and shifts of the block, which it leaves behind.
Map film_block(const FilmLayers& block, int groups, const Map& x, const double*& film) {
    Map inner = convolution(block.in, x);
    normalise_and_activate(block.norm_in, groups, inner);
    for (int c = 0; c < inner.channels; ++c) {
        for (int p = 0; p < inner.length; ++p) inner.at(c, p) = inner.at(c, p) * film[c] + film[inner.channels + c];
    }
    film += 2 * inner.channels;
    Map y = convolution(block.out, inner);
    normalise_and_activate(block.norm_out, groups, y);
    const Map residual = block.residual.taps > 0 ? convolution(block.residual, x) : x;
    for (size_t i = 0; i < y.values.size(); ++i) y.values[i] += residual.values[i];
    return y;
}

}  // namespace

std::vector<int> UNetShape::block_channels() const {
    std::vector<int> widths;
    for (int count : channels) widths.insert(widths.end(), 2, count);
    widths.insert(widths.end(), 2, channels.back());
    for (int level = levels() - 1; level > 0; --level) widths.insert(widths.end(), 2, channels[level - 1]);
    return widths;
}

int UNetShape::film() const {
    int numbers = 0;
    for (int count : block_channels()) numbers += 2 * count;
    return numbers;
}

std::vector<double> unet_velocity(const UNetShape& shape, const UNetModel& model, int horizon,
                                  const std::vector<double>& state, const std::vector<double>& film) {
    const int actions = static_cast<int>(state.size()) / horizon;
    Map x(actions, shape.padded_horizon(horizon));
    for (int p = 0; p < horizon; ++p) {
        for (int a = 0; a < actions; ++a) x.at(a, p) = state[static_cast<size_t>(p) * actions + a];
    }
    const double* next_film = film.data();
    std::vector<Map> passed;
    for (int level = 0; level < shape.levels(); ++level) {
        for (int i = 0; i < 2; ++i) x = film_block(model.down[2 * level + i], shape.groups, x, next_film);
        passed.push_back(x);
        if (level + 1 < shape.levels()) x = convolution(model.halve[level], x, 2);
    }
    for (const FilmLayers& block : model.middle) x = film_block(block, shape.groups, x, next_film);
    for (int i = 0; i + 1 < shape.levels(); ++i) {
        const Map& beside = passed[shape.levels() - 1 - i];
        Map joined(x.channels + beside.channels, x.length);
        joined.values = x.values;
        joined.values.insert(joined.values.end(), beside.values.begin(), beside.values.end());
        x = film_block(model.up[2 * i], shape.groups, joined, next_film);
        x = film_block(model.up[2 * i + 1], shape.groups, x, next_film);
        x = transposed(model.doubled[i], x);
    }
    x = convolution(model.last, x);
    normalise_and_activate(model.norm_last, shape.groups, x);
    x = convolution(model.output, x);
    std::vector<double> velocity(state.size());
    for (int p = 0; p < horizon; ++p) {
        for (int a = 0; a < actions; ++a) velocity[static_cast<size_t>(p) * actions + a] = x.at(a, p);
    }
    return velocity;
}

}  // namespace core_check
