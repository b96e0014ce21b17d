// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Fully connected networks that learn, alone or as an ensemble: forward, backward and Adam, in pieces for several
// threads. The parameters stay where and as torch has them; products read two padded copies of the weights, one to
// go forward and one to go backward, which are renewed block by block with the parameters.

#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "kernels.h"

namespace zprl::learner {

// Numbers in memory, zero to begin with, at a multiple of 64 bytes and with kPad more of them behind, which vectors
// that begin anywhere may read.
template <typename T>
class Numbers {
 public:
    explicit Numbers(size_t count = 0)
        : data_(static_cast<T*>(::operator new[]((count + kPad) * sizeof(T), std::align_val_t(64)))) {
        for (size_t i = 0; i < count + kPad; ++i) data_.get()[i] = 0;
    }
    T* get() const { return data_.get(); }

 private:
    struct Delete {
        void operator()(T* data) const { ::operator delete[](data, std::align_val_t(64)); }
    };
    std::unique_ptr<T, Delete> data_;
};

// Shape of a network, or of an ensemble of them.
struct MlpShape {
    // How the flat parameters are laid out, layer by layer, weights [members][..][..] before biases [members][out].
    enum class Weights {
        kInOut,  // zprl.rl.critic.EnsembleLinear
        kOutIn   // torch.nn.Linear
    };

    int members;
    Weights weights;
    Activation activation;    // between the layers
    std::vector<int> widths;  // of the input, the hidden layers and the output

    size_t num_parameters() const;
};

// A network's flat parameters and what Adam keeps of them, all of num_parameters().
template <typename T>
struct MlpMemory {
    T *parameters, *average, *square;
};

// What a pass over rows leaves behind for the way back.
template <typename T>
class Tape {
 public:
    // For so many rows of so many members at once.
    Tape(const MlpShape& shape, int members, int rows);

    int input_stride() const { return padded_to_vectors(widths_.front()); }
    int stride(int layer) const { return padded_to_vectors(widths_[layer + 1]); }

    T* input(int row) const { return input_.get() + static_cast<size_t>(row) * input_stride(); }
    // Of a layer's output, or of what comes before its activation: value, slope of the activation, and gradient.
    T* value(int layer, int member, int row) const { return at(values_, layer, member, row); }
    T* slope(int layer, int member, int row) const { return at(slopes_, layer, member, row); }
    T* delta(int layer, int member, int row) const { return at(deltas_, layer, member, row); }
    T* output(int member, int row) const { return value(num_layers() - 1, member, row); }
    T* output_delta(int member, int row) const { return delta(num_layers() - 1, member, row); }

 private:
    int num_layers() const { return static_cast<int>(widths_.size()) - 1; }
    T* at(const std::vector<Numbers<T>>& layers, int layer, int member, int row) const {
        return layers[layer].get() + (static_cast<size_t>(member) * rows_ + row) * stride(layer);
    }

    std::vector<int> widths_;
    int rows_;
    Numbers<T> input_;
    std::vector<Numbers<T>> values_, slopes_, deltas_;
};

template <typename T>
class Mlp {
 public:
    Mlp(const MlpShape& shape, const MlpMemory<T>& memory);

    const MlpShape& shape() const { return shape_; }
    int inputs() const { return shape_.widths.front(); }
    int outputs() const { return shape_.widths.back(); }

    // From tape.input to tape.output, rows [first, first + rows) of the tape; with `slopes`, what backward() needs.
    void forward(int member, const Tape<T>& tape, int tape_member, int first, int rows, bool slopes) const;

    // From tape.output_delta to the deltas of all layers, after a forward() with slopes.
    void backward(int member, const Tape<T>& tape, int first, int rows) const;

    // After backward(): gradient [rows][stride] of the inputs [column, column + columns), padded columns of it.
    void input_gradient(int member, const Tape<T>& tape, int first, int rows, int column, int columns, T* gradient,
                        int stride) const;

    // The parameters in blocks, which may be worked on at the same time.
    int num_blocks() const { return static_cast<int>(blocks_.size()); }

    // Gradient of a block's parameters over the first `rows` rows of the tape.
    void compute_gradient(int block, const Tape<T>& tape, int rows);

    // The squared norm of the gradients of all blocks, always summed in the same order.
    double squared_norm() const;

    // Take a step of Adam with a block's gradient, and renew its copies.
    void take_step(int block, const AdamStep<T>& step);

    // Let a block follow that of another network of the same shape, and renew its copies.
    void follow(int block, const Mlp& leader, T rate);

    // Renew a block's copies.
    void copy(int block);

 private:
    struct Layer {
        int in, out;
        int lines, line;              // weights as they are stored: [lines][line]
        size_t weights, biases;       // of the first member, in the flat parameters
        Numbers<T> straight, turned;  // [members][lines][padded line], [members][line][padded lines]
        Numbers<T> padded_biases;     // [members][padded out]
    };
    // Lines of a member's weights in a layer; with the first ones go the biases.
    struct Block {
        int member, layer, first, count;
    };

    size_t weights_at(const Block& b) const;
    size_t biases_at(const Block& b) const;
    const T* forward_weights(const Layer& layer, int member) const;
    const T* backward_weights(const Layer& layer, int member) const;
    bool in_out() const { return shape_.weights == MlpShape::Weights::kInOut; }

    MlpShape shape_;
    MlpMemory<T> memory_;
    const Kernels<T>& kernels_;
    std::vector<Layer> layers_;
    std::vector<Block> blocks_;
    Numbers<T> gradient_;          // as the parameters
    std::vector<double> squares_;  // of each block's gradient
};

// The step of Adam, with torch.optim.Adam's default betas and epsilon, that follows `steps` others.
template <typename T>
AdamStep<T> adam_step(double learning_rate, int64_t steps, double gradient_scale);

// The factor that makes a gradient's norm at most `max_norm`, as torch.nn.utils.clip_grad_norm_ has it.
double clip_scale(double squared_norm, double max_norm);

// Rows that a thread takes at once: some, so that a block of weights serves them all, and not more than leave work for
// every thread. No result depends on it.
int rows_at_once(int rows, int threads);

}  // namespace zprl::learner
