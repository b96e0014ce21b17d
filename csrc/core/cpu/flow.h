// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The flow of a policy step, from the condition to the normalised chunk, in single precision or, its products, in bf16.
//
// The residual stream and the state of the integration are fp32 in every case.

#pragma once

#include "activations.h"
#include "scratch.h"
#include "step.h"
#include "unet.h"

namespace zprl {
namespace {

// Same as the default of torch.nn.functional.layer_norm.
constexpr float kLayerNormEpsilon = 1e-5f;

template <typename W>
static void modulate_block(const Policy& p, int rows, const Scratch<W>& s) {
    if (p.network == Network::kUNet) {
        linear<W>(p.modulation, s.condition, s.embed_stride, rows,
                  [&](int row, int column, Vec v) __attribute__((always_inline)) {
                      store(s.film + static_cast<size_t>(row) * p.unet.film_width + column, v);
                  });
        for (int i = 0; i < p.unet.widest_input(p.action_dim); i += kLanes) W::store_input(s.zeros + i, Vec{});
        return;
    }
    const int stride = s.hidden_stride;
    linear<W>(p.modulation, s.condition, s.embed_stride, rows,
              [&](int row, int column, Vec v) __attribute__((always_inline)) {
                  float* part = s.modulation[column / stride];
                  store(part + static_cast<size_t>(row) * stride + column % stride, v);
              });
}

// s.x from raw numbers [rows][chunk_dim], or zero.
template <typename W>
static void load_noise(const Policy& p, const float* noise, int rows, const Scratch<W>& s) {
    const int width = p.chunk_dim();
    for (int row = 0; row < rows; ++row) {
        float* x = s.x + static_cast<size_t>(row) * s.chunk_stride;
        const bool given = noise != nullptr;
        for (int i = 0; i < s.chunk_stride; ++i) x[i] = given && i < width ? noise[row * width + i] : 0.0f;
    }
}

// LayerNorm without affine parameters, then * (1 + scale + time_scale) + shift + time_shift, of kRows rows from `row`
// on: several at once, so that the sums of one do not wait for each other.
template <typename W, int kRows>
ZPRL_INLINE void modulated_layer_norm(const float* time_shift, const float* time_scale, int width, int row,
                                      const Scratch<W>& s) {
    const size_t stride = s.hidden_stride, begin = row * stride;
    const float* h = s.stream + begin;
    const int whole = width / kLanes * kLanes;
    const float inverse_width = 1.0f / static_cast<float>(width);

    Vec total[kRows] = {};
    for (int i = 0; i < whole; i += kLanes) {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) total[r] += load(h + r * stride + i);
    }
    float mean[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
        mean[r] = sum(total[r]);
        for (int i = whole; i < width; ++i) mean[r] += h[r * stride + i];
        mean[r] *= inverse_width;
    }

    Vec squares[kRows] = {};
    for (int i = 0; i < whole; i += kLanes) {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const Vec deviation = load(h + r * stride + i) - mean[r];
            squares[r] += deviation * deviation;
        }
    }
    float inverse_std[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
        float variance = sum(squares[r]);
        for (int i = whole; i < width; ++i) {
            variance += (h[r * stride + i] - mean[r]) * (h[r * stride + i] - mean[r]);
        }
        inverse_std[r] = 1.0f / sqrt(variance * inverse_width + kLayerNormEpsilon);
    }

    const float *shift = s.modulation[1] + begin, *scale = s.modulation[2] + begin;
    typename W::Input* u = s.branch + begin;
    for (int i = 0; i < width; i += kLanes) {
        const Vec shift_of_time = load(time_shift + i), scale_of_time = 1.0f + load(time_scale + i);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const size_t at = r * stride + i;
            Vec v = (load(h + at) - mean[r]) * inverse_std[r];
            v = v * (load(scale + at) + scale_of_time) + (load(shift + at) + shift_of_time);
            if (i >= whole) {
                for (int j = width - i; j < kLanes; ++j) v[j] = 0.0f;
            }
            W::store_input(u + at, v);
        }
    }
    if constexpr (W::kOnTiles) {
        for (int i = (width + kLanes - 1) / kLanes * kLanes; i < padded(width); i += kLanes) {
            for (int r = 0; r < kRows; ++r) W::store_input(u + r * stride + i, Vec{});
        }
    }
}

template <typename W>
static void layer_norm_rows(const Policy& p, const float* time, int rows, const Scratch<W>& s) {
    const float* time_scale = time + s.hidden_stride;
    int row = 0;
    for (; row + 4 <= rows; row += 4) modulated_layer_norm<W, 4>(time, time_scale, p.hidden_dim, row, s);
    for (; row < rows; ++row) modulated_layer_norm<W, 1>(time, time_scale, p.hidden_dim, row, s);
}

template <typename W>
static void input_layer(const Policy& p, const float* time, int rows, const Scratch<W>& s) {
    const int stride = s.hidden_stride;
    linear<W>(p.input, s.state, s.chunk_stride, rows, [&](int row, int column, Vec v) __attribute__((always_inline)) {
        const size_t at = static_cast<size_t>(row) * stride + column;
        store(s.stream + at, v + (load(s.modulation[0] + at) + load(time + column)));
    });
}

template <typename W>
static void block_in(const Linear& layer, int rows, const Scratch<W>& s) {
    linear<W>(layer, s.branch, s.hidden_stride, rows, [&](int row, int column, Vec v) __attribute__((always_inline)) {
        W::store_input(s.inner + static_cast<size_t>(row) * s.hidden_stride + column, silu(v));
    });
}

template <typename W>
static void block_out(const Linear& layer, const float* time_gate, int rows, const Scratch<W>& s) {
    const int stride = s.hidden_stride;
    linear<W>(layer, s.inner, stride, rows, [&](int row, int column, Vec v) __attribute__((always_inline)) {
        const size_t at = static_cast<size_t>(row) * stride + column;
        const Vec gate = load(s.modulation[3] + at) + load(time_gate + column);
        store(s.stream + at, load(s.stream + at) + gate * v);
    });
}

template <typename W>
static void output_layer(const Policy& p, int rows, const Scratch<W>& s) {
    linear<W>(p.output, s.branch, s.hidden_stride, rows,
              [&](int row, int column, Vec v) __attribute__((always_inline)) {
                  store(s.slope + static_cast<size_t>(row) * s.chunk_stride + column, v);
              });
}

// s.slope = v(state, time | condition). See ResidualMLPVelocityField in zprl/policies/flow/velocity_field.py.
template <typename W>
static void velocity(const Policy& p, const float* state, const float* time_row, int rows, const Scratch<W>& s,
                     StageClock* clock) {
    const int stride = s.hidden_stride;
    for (int i = 0; i < rows * s.chunk_stride; i += kLanes) W::store_input(s.state + i, load(state + i));
    input_layer<W>(p, time_row, rows, s);
    end_stage(clock, Stage::kInput);
    const float* time = time_row + stride;
    for (int block = 0; block < p.num_blocks; ++block, time += 3 * stride) {
        layer_norm_rows<W>(p, time, rows, s);
        end_stage(clock, Stage::kLayerNorm);
        block_in<W>(p.block_layer(block, 0), rows, s);
        end_stage(clock, Stage::kBlockIn);
        block_out<W>(p.block_layer(block, 1), time + 2 * stride, rows, s);
        end_stage(clock, Stage::kBlockOut);
    }
    layer_norm_rows<W>(p, time, rows, s);
    end_stage(clock, Stage::kLayerNorm);
    output_layer<W>(p, rows, s);
    end_stage(clock, Stage::kOutput);
}

// to = from - factor * slope.
template <typename W>
static void advance(const float* from, float factor, int rows, float* to, const Scratch<W>& s) {
    for (int i = 0; i < rows * s.chunk_stride; i += kLanes) {
        store(to + i, load(from + i) - factor * load(s.slope + i));
    }
}

// s.x from t = 1 to t = 0. See integrate() in zprl/policies/flow/flow_matching.py.
template <typename W>
static void integrate_block(const Policy& p, int rows, Scratch<W>& s, const StepTeam* team, StageClock* clock) {
    const float step = 1.0f / static_cast<float>(p.num_steps);
    for (int k = 0; k < p.num_steps; ++k) {
        const float* end = s.x;  // until a stage has a weight
        for (int i = 0; i < p.solver.stages; ++i) {
            const float node = p.solver.nodes[i], weight = p.solver.weights[i];
            const int row_of_time =
                static_cast<int>(static_cast<float>(p.solver.rows_per_step) * (static_cast<float>(k) + node));
            const float* time_row = p.time_table + static_cast<size_t>(row_of_time) * p.time_row_size();
            const float* state = s.x;
            if (i > 0) {
                alone(team, [&] { advance<W>(s.x, step * node, rows, s.stage, s); });
                state = s.stage;
            }
            end_stage(clock, Stage::kSolver);
            if (p.network == Network::kUNet) {
                UNetPass<W>{p, s, time_row, rows, team}.run(state, clock);
            } else {
                velocity<W>(p, state, time_row, rows, s, clock);
            }
            if (weight != 0.0f) {
                alone(team, [&] { advance<W>(end, step * weight, rows, s.end, s); });
                end = s.end;
            }
            end_stage(clock, Stage::kSolver);
        }
        float* x = s.x;
        s.x = s.end;
        s.end = x;
    }
}

}  // namespace
}  // namespace zprl
