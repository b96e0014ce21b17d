// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "mlp.h"

#include <algorithm>
#include <cmath>

namespace zprl::learner {
namespace {

constexpr int kBlockLines = 32;
constexpr int kMostRowsAtOnce = 32, kFewestRowsAtOnce = 8;

}  // namespace

size_t MlpShape::num_parameters() const {
    size_t count = 0;
    for (size_t i = 0; i + 1 < widths.size(); ++i) {
        count += static_cast<size_t>(members) * (static_cast<size_t>(widths[i]) + 1) * widths[i + 1];
    }
    return count;
}

template <typename T>
Tape<T>::Tape(const MlpShape& shape, int members, int rows)
    : widths_(shape.widths), rows_(rows), input_(static_cast<size_t>(rows) * padded_to_vectors(shape.widths.front())) {
    for (int layer = 0; layer < num_layers(); ++layer) {
        const size_t count = static_cast<size_t>(members) * rows * stride(layer);
        values_.emplace_back(count);
        slopes_.emplace_back(layer + 1 < num_layers() ? count : 0);
        deltas_.emplace_back(count);
    }
}

template <typename T>
Mlp<T>::Mlp(const MlpShape& shape, const MlpMemory<T>& memory)
    : shape_(shape), memory_(memory), kernels_(chosen_kernels<T>()), gradient_(shape.num_parameters()) {
    size_t at = 0;
    for (size_t i = 0; i + 1 < shape.widths.size(); ++i) {
        Layer layer;
        layer.in = shape.widths[i];
        layer.out = shape.widths[i + 1];
        layer.lines = in_out() ? layer.in : layer.out;
        layer.line = in_out() ? layer.out : layer.in;
        layer.weights = at;
        at += static_cast<size_t>(shape.members) * layer.in * layer.out;
        layer.biases = at;
        at += static_cast<size_t>(shape.members) * layer.out;
        const size_t members = shape.members;
        layer.straight = Numbers<T>(members * layer.lines * padded_to_vectors(layer.line));
        layer.turned = Numbers<T>(members * layer.line * padded_to_vectors(layer.lines));
        layer.padded_biases = Numbers<T>(members * padded_to_vectors(layer.out));
        layers_.push_back(std::move(layer));
        for (int member = 0; member < shape.members; ++member) {
            for (int first = 0; first < layers_.back().lines; first += kBlockLines) {
                const int count = std::min(kBlockLines, layers_.back().lines - first);
                blocks_.push_back({member, static_cast<int>(i), first, count});
            }
        }
    }
    squares_.resize(blocks_.size());
}

template <typename T>
size_t Mlp<T>::weights_at(const Block& b) const {
    const Layer& layer = layers_[b.layer];
    return layer.weights + (static_cast<size_t>(b.member) * layer.lines + b.first) * layer.line;
}

template <typename T>
size_t Mlp<T>::biases_at(const Block& b) const {
    return layers_[b.layer].biases + static_cast<size_t>(b.member) * layers_[b.layer].out;
}

template <typename T>
const T* Mlp<T>::forward_weights(const Layer& layer, int member) const {
    return (in_out() ? layer.straight : layer.turned).get() +
           static_cast<size_t>(member) * layer.in * padded_to_vectors(layer.out);
}

template <typename T>
const T* Mlp<T>::backward_weights(const Layer& layer, int member) const {
    return (in_out() ? layer.turned : layer.straight).get() +
           static_cast<size_t>(member) * layer.out * padded_to_vectors(layer.in);
}

template <typename T>
void Mlp<T>::forward(int member, const Tape<T>& tape, int tape_member, int first, int rows, bool slopes) const {
    const T* x = tape.input(first);
    int stride = tape.input_stride();
    const int last = static_cast<int>(layers_.size()) - 1;
    for (int i = 0; i <= last; ++i) {
        const Layer& layer = layers_[i];
        const int columns = padded_to_vectors(layer.out);
        T* y = tape.value(i, tape_member, first);
        kernels_.forward(x, stride, rows, forward_weights(layer, member),
                         layer.padded_biases.get() + static_cast<size_t>(member) * columns, layer.in, columns, y);
        if (i < last) {
            T* slope = slopes ? tape.slope(i, tape_member, first) : nullptr;
            kernels_.activate(shape_.activation, static_cast<size_t>(rows) * columns, y, slope);
        }
        x = y;
        stride = columns;
    }
}

template <typename T>
void Mlp<T>::backward(int member, const Tape<T>& tape, int first, int rows) const {
    for (int i = static_cast<int>(layers_.size()) - 1; i > 0; --i) {
        const Layer& layer = layers_[i];
        const int columns = padded_to_vectors(layer.in);
        kernels_.backward(tape.delta(i, member, first), tape.stride(i), rows, backward_weights(layer, member), columns,
                          layer.out, columns, tape.slope(i - 1, member, first), tape.delta(i - 1, member, first),
                          columns);
    }
}

template <typename T>
void Mlp<T>::input_gradient(int member, const Tape<T>& tape, int first, int rows, int column, int columns, T* gradient,
                            int stride) const {
    const Layer& layer = layers_.front();
    kernels_.backward(tape.delta(0, member, first), tape.stride(0), rows, backward_weights(layer, member) + column,
                      padded_to_vectors(layer.in), layer.out, padded_to_vectors(columns), nullptr, gradient, stride);
}

template <typename T>
void Mlp<T>::compute_gradient(int block, const Tape<T>& tape, int rows) {
    const Block& b = blocks_[block];
    const Layer& layer = layers_[b.layer];
    const T* input = b.layer == 0 ? tape.input(0) : tape.value(b.layer - 1, b.member, 0);
    const int input_stride = b.layer == 0 ? tape.input_stride() : tape.stride(b.layer - 1);
    const T* delta = tape.delta(b.layer, b.member, 0);
    const int delta_stride = tape.stride(b.layer);
    T* gradient = gradient_.get() + weights_at(b);
    double squares = 0.0;
    if (in_out()) {
        squares = kernels_.weight_gradient(input + b.first, input_stride, b.count, delta, delta_stride, layer.line,
                                           rows, gradient);
    } else {
        squares = kernels_.weight_gradient(delta + b.first, delta_stride, b.count, input, input_stride, layer.line,
                                           rows, gradient);
    }
    if (b.first == 0) {
        squares += kernels_.bias_gradient(delta, delta_stride, layer.out, rows, gradient_.get() + biases_at(b));
    }
    squares_[block] = squares;
}

template <typename T>
double Mlp<T>::squared_norm() const {
    double total = 0.0;
    for (double squares : squares_) total += squares;
    return total;
}

template <typename T>
void Mlp<T>::take_step(int block, const AdamStep<T>& step) {
    const Block& b = blocks_[block];
    const auto update = [&](size_t at, size_t count) {
        kernels_.adam(step, count, memory_.parameters + at, memory_.average + at, memory_.square + at,
                      gradient_.get() + at);
    };
    update(weights_at(b), static_cast<size_t>(b.count) * layers_[b.layer].line);
    if (b.first == 0) update(biases_at(b), layers_[b.layer].out);
    copy(block);
}

template <typename T>
void Mlp<T>::follow(int block, const Mlp& leader, T rate) {
    const Block& b = blocks_[block];
    const auto update = [&](size_t at, size_t count) {
        kernels_.follow(rate, count, leader.memory_.parameters + at, memory_.parameters + at);
    };
    update(weights_at(b), static_cast<size_t>(b.count) * layers_[b.layer].line);
    if (b.first == 0) update(biases_at(b), layers_[b.layer].out);
    copy(block);
}

template <typename T>
void Mlp<T>::copy(int block) {
    const Block& b = blocks_[block];
    const Layer& layer = layers_[b.layer];
    const T* weights = memory_.parameters + weights_at(b);
    const int line_stride = padded_to_vectors(layer.line), turned_stride = padded_to_vectors(layer.lines);
    T* straight = layer.straight.get() + (static_cast<size_t>(b.member) * layer.lines + b.first) * line_stride;
    T* turned = layer.turned.get() + static_cast<size_t>(b.member) * layer.line * turned_stride + b.first;
    for (int i = 0; i < b.count; ++i) {
        std::copy_n(weights + static_cast<size_t>(i) * layer.line, layer.line,
                    straight + static_cast<size_t>(i) * line_stride);
    }
    // In squares that stay in the level-1 cache.
    for (int corner = 0; corner < layer.line; corner += kPad) {
        const int end = std::min(corner + kPad, layer.line);
        for (int j = corner; j < end; ++j) {
            for (int i = 0; i < b.count; ++i) {
                turned[static_cast<size_t>(j) * turned_stride + i] = weights[static_cast<size_t>(i) * layer.line + j];
            }
        }
    }
    if (b.first == 0) {
        std::copy_n(memory_.parameters + biases_at(b), layer.out,
                    layer.padded_biases.get() + static_cast<size_t>(b.member) * padded_to_vectors(layer.out));
    }
}

template <typename T>
AdamStep<T> adam_step(double learning_rate, int64_t steps, double gradient_scale) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    const double t = static_cast<double>(steps + 1);
    return {static_cast<T>(gradient_scale),
            static_cast<T>(kBeta1),
            static_cast<T>(kBeta2),
            static_cast<T>(kEpsilon),
            static_cast<T>(learning_rate / (1.0 - std::pow(kBeta1, t))),
            static_cast<T>(std::sqrt(1.0 - std::pow(kBeta2, t)))};
}

double clip_scale(double squared_norm, double max_norm) {
    // NaN stays NaN, as in torch.
    const double scale = max_norm / (std::sqrt(squared_norm) + 1e-6);
    return scale > 1.0 ? 1.0 : scale;
}

int rows_at_once(int rows, int threads) {
    const int share = (rows + threads - 1) / threads;
    return std::clamp((share + kFewestRowsAtOnce - 1) / kFewestRowsAtOnce * kFewestRowsAtOnce, kFewestRowsAtOnce,
                      kMostRowsAtOnce);
}

template class Tape<float>;
template class Tape<double>;
template class Mlp<float>;
template class Mlp<double>;
template AdamStep<float> adam_step(double, int64_t, double);
template AdamStep<double> adam_step(double, int64_t, double);

}  // namespace zprl::learner
