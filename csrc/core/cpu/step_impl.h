// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step, for the instruction set of the including file.
//
// Memory plan: Policy::block_rows rows go through the whole step before the next ones, so that all activations stay in
// the level-2 cache (see plan.h) and only weights are streamed: those of the velocity field once per block and
// evaluation (0.85 million numbers in the default configuration: 3.4 MB in fp32), the others once per block. Rows are
// padded to whole panels (zeros), so no loop has an odd end but the layer norm's. A matrix product reads its input in
// the weights' type and hands its sums to what comes next (bias, activation, gate, residual) while they are in
// registers. The residual stream, the state of the integration, and all of embedding, encoder and decoder are fp32 in
// every case: the latter run once per chunk, and rounding them to bf16 costs more accuracy than all the rest together.
//
// Roofline: 2 operations per weight and evaluation: 6 MFLOP per row in the default configuration. From about 12 rows on
// the step is bound by the multiply-adds; with one row by reading the velocity field's weights once per evaluation.
//
// Nothing here allocates, locks or throws.

#pragma once

#include "../latent_noise.h"
#include "matmul.h"
#include "matmul_amx.h"
#include "step.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace zprl {
namespace {

// Same as in zprl/policy/vib.py.
constexpr float kLogvarMin = -20.0f, kLogvarMax = 10.0f;

// Same as the default of torch.nn.functional.layer_norm.
constexpr float kLayerNormEpsilon = 1e-5f;

// Denormal numbers, which slow some processors down a hundredfold, count as zero while this exists.
class FlushDenormals {
 public:
#if defined(__SSE2__)
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
    unsigned saved_;
#endif
};

// Unlike the library's functions this passes NaN on, as torch.clamp does.
ZPRL_INLINE float clamp(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }

ZPRL_INLINE int larger(int a, int b) { return a > b ? a : b; }

ZPRL_INLINE int widest(const Mlp& mlp) {
    int width = 0;
    for (int i = 0; i < mlp.count; ++i) width = larger(width, larger(mlp.layers[i].in, mlp.layers[i].out));
    return width;
}

// The workspace, for one block of rows; strides are the padded widths.
template <typename W>
struct Scratch {
    typedef typename W::Input Input;

    int mlp_stride, embed_stride, moments_stride, latent_stride, hidden_stride, chunk_stride;
    float* mlp[2];                   // inputs of the layers of an MLP, in turns; the first one's input in mlp[0]
    float *embedding, *latent;       // [embed_dim], [latent_dim]
    float* residual;                 // [latent_dim], the actor's; none without an actor
    float* moments;                  // [2 latent_dim]
    float* modulation[4];            // input bias, shift, scale, gate: [hidden_dim] each
    Input* condition;                // [embed_dim], after its SiLU
    float *x, *stage, *slope, *end;  // [chunk_dim]
    Input* state;                    // [chunk_dim], what the velocity field reads
    float* stream;                   // [hidden_dim]
    Input *branch, *inner;           // [hidden_dim]
    size_t floats = 0;               // in total

    // For at most `capacity` rows.
    ZPRL_ALWAYS_INLINE Scratch(const Policy& p, float* workspace, int capacity) {
        mlp_stride = padded(larger(larger(widest(p.embedding), widest(p.encoder)),  //
                                   larger(widest(p.decoder), widest(p.actor))));
        embed_stride = padded(p.embed_dim);
        moments_stride = padded(2 * p.latent_dim);
        latent_stride = padded(p.latent_dim);
        hidden_stride = padded(p.hidden_dim);
        chunk_stride = padded(p.chunk_dim());
        // To a multiple of 64 bytes, so that vectors do not straddle cache lines; workspace_floats() leaves room.
        char* next = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(workspace) + 63) / 64 * 64);
        const auto take = [&](size_t bytes) __attribute__((always_inline)) {
            char* piece = next;
            next += bytes;  // a multiple of 64, since strides are multiples of 64 elements
            floats += bytes / sizeof(float);
            return piece;
        };
        const size_t rows = capacity;
        const auto inputs = [&](int stride) __attribute__((always_inline)) {
            return reinterpret_cast<Input*>(take(rows * stride * sizeof(Input)));
        };
        const auto numbers = [&](int stride) __attribute__((always_inline)) {
            return reinterpret_cast<float*>(take(rows * stride * sizeof(float)));
        };
        mlp[0] = numbers(mlp_stride);
        mlp[1] = numbers(mlp_stride);
        embedding = numbers(embed_stride);
        latent = numbers(latent_stride);
        residual = p.steered ? numbers(latent_stride) : nullptr;
        condition = inputs(embed_stride);
        moments = numbers(moments_stride);
        for (float*& part : modulation) part = numbers(hidden_stride);
        x = numbers(chunk_stride);
        stage = numbers(chunk_stride);
        slope = numbers(chunk_stride);
        end = numbers(chunk_stride);
        state = inputs(chunk_stride);
        stream = numbers(hidden_stride);
        branch = inputs(hidden_stride);
        inner = inputs(hidden_stride);
    }
};

// Linear layers with an activation between them; the last one's sums go to `finish`. They are as precise as fp32
// allows, since the flow that follows enlarges their errors: a trained one up to a hundredfold, between two ways to
// act.
template <typename W, typename Activate, typename Finish>
static void run_mlp(const Mlp& mlp, const float* x, int stride, int rows, const Scratch<W>& s, const Activate& activate,
                    const Finish& finish) {
    for (int i = 0; i + 1 < mlp.count; ++i) {
        float* y = s.mlp[(i + 1) % 2];
        linear<PreciseFp32>(mlp.layers[i], x, stride, rows,
                            [&](int row, int column, Vec v) __attribute__((always_inline)) {
                                store(y + static_cast<size_t>(row) * s.mlp_stride + column, activate(v));
                            });
        x = y;
        stride = s.mlp_stride;
    }
    linear<PreciseFp32>(mlp.layers[mlp.count - 1], x, stride, rows, finish);
}

constexpr auto kGelu = [](Vec v) __attribute__((always_inline)) { return gelu(v); };

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

// s.slope = v(state, time | condition). See ResidualMLPVelocityField in zprl/policy/velocity_field.py.
template <typename W>
static void velocity(const Policy& p, const float* state, const float* time_row, int rows, const Scratch<W>& s) {
    const int stride = s.hidden_stride;
    for (int i = 0; i < rows * s.chunk_stride; i += kLanes) W::store_input(s.state + i, load(state + i));
    input_layer<W>(p, time_row, rows, s);
    const float* time = time_row + stride;
    for (int block = 0; block < p.num_blocks; ++block, time += 3 * stride) {
        layer_norm_rows<W>(p, time, rows, s);
        block_in<W>(p.block_layer(block, 0), rows, s);
        block_out<W>(p.block_layer(block, 1), time + 2 * stride, rows, s);
    }
    layer_norm_rows<W>(p, time, rows, s);
    output_layer<W>(p, rows, s);
}

// to = from - factor * slope.
template <typename W>
static void advance(const float* from, float factor, int rows, float* to, const Scratch<W>& s) {
    for (int i = 0; i < rows * s.chunk_stride; i += kLanes) {
        store(to + i, load(from + i) - factor * load(s.slope + i));
    }
}

// s.x from t = 1 to t = 0. See integrate() in zprl/policy/flow_matching.py.
template <typename W>
static void integrate_block(const Policy& p, int rows, Scratch<W>& s) {
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
                advance<W>(s.x, step * node, rows, s.stage, s);
                state = s.stage;
            }
            velocity<W>(p, state, time_row, rows, s);
            if (weight != 0.0f) {
                advance<W>(end, step * weight, rows, s.end, s);
                end = s.end;
            }
        }
        float* x = s.x;
        s.x = s.end;
        s.end = x;
    }
}

// Number `column` of a row, or zero if there are none.
ZPRL_INLINE float number(const float* values, int64_t row, int width, int column) {
    return values == nullptr ? 0.0f : values[row * width + column];
}

// s.moments of one block of normalised observations, which are in s.mlp[0].
template <typename W>
static void encode_normalised(const Policy& p, int rows, const Scratch<W>& s) {
    run_mlp<W>(p.embedding, s.mlp[0], s.mlp_stride, rows, s, kGelu,
               [&](int row, int column, Vec v) __attribute__((always_inline)) {
                   store(s.embedding + static_cast<size_t>(row) * s.embed_stride + column, v);
               });
    run_mlp<W>(p.encoder, s.embedding, s.embed_stride, rows, s, kGelu,
               [&](int row, int column, Vec v) __attribute__((always_inline)) {
                   store(s.moments + static_cast<size_t>(row) * s.moments_stride + column, v);
               });
}

// s.moments of one block of raw observations.
template <typename W>
static void encode_block(const Policy& p, const float* obs, int rows, const Scratch<W>& s) {
    for (int row = 0; row < rows; ++row) {
        const float* raw = obs + static_cast<size_t>(row) * p.obs_dim;
        float* to = s.mlp[0] + static_cast<size_t>(row) * s.mlp_stride;
        for (int i = 0; i < padded(p.obs_dim); i += kLanes) {
            Vec v = {};
            for (int j = 0; j < kLanes && i + j < p.obs_dim; ++j) {
                v[j] = (raw[i + j] - p.obs_mean[i + j]) / p.obs_std[i + j];
            }
            store(to + i, v);
        }
    }
    encode_normalised<W>(p, rows, s);
}

// s.residual: lambda * clamp(actor([obs, mean]), -1, 1), of one block of raw observations and of s.moments.
template <typename W>
static void steer_block(const Policy& p, const float* obs, int rows, const Scratch<W>& s) {
    for (int row = 0; row < rows; ++row) {
        const float* raw = obs + static_cast<size_t>(row) * p.obs_dim;
        const float* mean = s.moments + static_cast<size_t>(row) * s.moments_stride;
        float* to = s.mlp[0] + static_cast<size_t>(row) * s.mlp_stride;
        for (int i = 0; i < p.actor_dim(); ++i) {
            const float x = i < p.obs_dim ? raw[i] : mean[i - p.obs_dim];
            to[i] = (x - p.actor_mean[i]) / p.actor_divisor[i];
        }
    }
    const float scale = p.residual_scale[0];
    const auto finish = [&](int row, int column, Vec u) __attribute__((always_inline)) {
        const Vec bounded = min(max(u, broadcast(-1.0f)), broadcast(1.0f));
        store(s.residual + static_cast<size_t>(row) * s.latent_stride + column, scale * bounded);
    };
    const auto run = [&](const auto& activate) __attribute__((always_inline)) {
        run_mlp<W>(p.actor, s.mlp[0], s.mlp_stride, rows, s, activate, finish);
    };
    switch (p.actor_activation) {
        case Activation::kElu:
            return run([](Vec v) __attribute__((always_inline)) { return elu(v); });
        case Activation::kRelu:
            return run([](Vec v) __attribute__((always_inline)) { return relu(v); });
        case Activation::kTanh:
            return run([](Vec v) __attribute__((always_inline)) { return tanh(v); });
        case Activation::kSilu:
            return run([](Vec v) __attribute__((always_inline)) { return silu(v); });
        case Activation::kGelu:
        case Activation::kCount:  // refused by parse_policy()
            return run(kGelu);
    }
}

// s.condition of one block of latents, after its SiLU.
template <typename W>
static void condition_block(const Policy& p, int rows, const Scratch<W>& s) {
    run_mlp<W>(p.decoder, s.latent, s.latent_stride, rows, s, kGelu,
               [&](int row, int column, Vec v) __attribute__((always_inline)) {
                   W::store_input(s.condition + static_cast<size_t>(row) * s.embed_stride + column, silu(v));
               });
}

template <typename W>
static void modulate_block(const Policy& p, int rows, const Scratch<W>& s) {
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
        for (int i = 0; i < s.chunk_stride; ++i) x[i] = i < width ? number(noise, row, width, i) : 0.0f;
    }
}

// Rows of a batch that go through the whole step together.
ZPRL_INLINE int rows_at_once(const Policy& p, int64_t rows) {
    return rows < p.block_rows ? static_cast<int>(rows) : p.block_rows;
}

template <typename W>
static size_t workspace_floats_of(const Policy& p, int64_t rows) {
    return Scratch<W>(p, nullptr, rows_at_once(p, rows)).floats + kAlignment / sizeof(float);
}

template <typename W>
static void policy_step_of(const Policy& p, const StepArguments& a, float* workspace) {
    const FlushDenormals flush;
    const int latent = p.latent_dim, chunk_dim = p.chunk_dim();
    for (int64_t first = 0; first < a.rows; first += p.block_rows) {
        Scratch<W> s(p, workspace, rows_at_once(p, a.rows));
        const int rows = rows_at_once(p, a.rows - first);
        const typename W::Unit unit(rows);
        encode_block<W>(p, a.obs + first * p.obs_dim, rows, s);
        if (p.steered) steer_block<W>(p, a.obs + first * p.obs_dim, rows, s);
        for (int row = 0; row < rows; ++row) {
            const float* moments = s.moments + static_cast<size_t>(row) * s.moments_stride;
            float* latents = s.latent + static_cast<size_t>(row) * s.latent_stride;
            for (int i = 0; i < latent; ++i) {
                float z = moments[i];
                if (a.latent_seed != nullptr) {
                    const float logvar = clamp(moments[latent + i], kLogvarMin, kLogvarMax);
                    const float std = exp(broadcast(0.5f * logvar))[0];
                    z += std * standard_normal(a.latent_seed[first + row], static_cast<uint32_t>(i));
                }
                if (p.steered) z += s.residual[static_cast<size_t>(row) * s.latent_stride + i];
                latents[i] = z + number(a.residual, first + row, latent, i);
            }
            const int64_t at = (first + row) * latent;
            for (int i = 0; i < latent && a.latent_mean != nullptr; ++i) a.latent_mean[at + i] = moments[i];
            for (int i = 0; i < latent && a.decoded_latent != nullptr; ++i) a.decoded_latent[at + i] = latents[i];
        }
        condition_block<W>(p, rows, s);
        modulate_block<W>(p, rows, s);
        load_noise<W>(p, a.noise == nullptr ? nullptr : a.noise + first * chunk_dim, rows, s);
        integrate_block<W>(p, rows, s);

        for (int row = 0; row < rows; ++row) {
            const float* x = s.x + static_cast<size_t>(row) * s.chunk_stride;
            float* chunk = a.chunk + (first + row) * chunk_dim;
            for (int step = 0; step < p.horizon; ++step) {
                for (int i = 0; i < p.action_dim; ++i) {
                    const int at = step * p.action_dim + i;
                    chunk[at] = clamp(x[at] * p.action_std[i] + p.action_mean[i], p.action_low[i], p.action_high[i]);
                }
            }
        }
    }
}

template <typename W>
static void encode_of(const Policy& p, const float* obs, int64_t rows, float* mean, float* logvar, float* workspace) {
    const FlushDenormals flush;
    const Scratch<W> s(p, workspace, rows_at_once(p, rows));
    const int latent = p.latent_dim;
    for (int64_t first = 0; first < rows; first += p.block_rows) {
        const int block = rows_at_once(p, rows - first);
        encode_block<W>(p, obs + first * p.obs_dim, block, s);
        for (int row = 0; row < block; ++row) {
            const float* moments = s.moments + static_cast<size_t>(row) * s.moments_stride;
            for (int i = 0; i < latent; ++i) {
                mean[(first + row) * latent + i] = moments[i];
                logvar[(first + row) * latent + i] = clamp(moments[latent + i], kLogvarMin, kLogvarMax);
            }
        }
    }
}

template <typename W>
static void integrate_of(const Policy& p, const float* condition, const float* noise, int64_t rows, float* chunk,
                         float* workspace) {
    const FlushDenormals flush;
    const int chunk_dim = p.chunk_dim();
    for (int64_t first = 0; first < rows; first += p.block_rows) {
        Scratch<W> s(p, workspace, rows_at_once(p, rows));
        const int block = rows_at_once(p, rows - first);
        const typename W::Unit unit(block);
        for (int row = 0; row < block; ++row) {
            const float* raw = condition + (first + row) * p.embed_dim;
            typename W::Input* to = s.condition + static_cast<size_t>(row) * s.embed_stride;
            for (int i = 0; i < s.embed_stride; i += kLanes) {
                Vec v = {};
                for (int j = 0; j < kLanes && i + j < p.embed_dim; ++j) v[j] = raw[i + j];
                W::store_input(to + i, silu(v));
            }
        }
        modulate_block<W>(p, block, s);
        load_noise<W>(p, noise == nullptr ? nullptr : noise + first * chunk_dim, block, s);
        integrate_block<W>(p, block, s);
        for (int row = 0; row < block; ++row) {
            const float* x = s.x + static_cast<size_t>(row) * s.chunk_stride;
            for (int i = 0; i < chunk_dim; ++i) chunk[(first + row) * chunk_dim + i] = x[i];
        }
    }
}

// One part of a step over a block of rows, on whatever numbers the workspace holds.
template <typename W>
static void run_stage_of(const Policy& p, Stage stage, int rows, float* workspace) {
    const FlushDenormals flush;
    const typename W::Unit unit(rows);
    const Scratch<W> s(p, workspace, rows);
    const float* time = p.time_table + s.hidden_stride;
    switch (stage) {
        case Stage::kEncode:
            encode_normalised<W>(p, rows, s);
            break;
        case Stage::kCondition:
            condition_block<W>(p, rows, s);
            modulate_block<W>(p, rows, s);
            break;
        case Stage::kInput:
            input_layer<W>(p, p.time_table, rows, s);
            break;
        case Stage::kLayerNorm:
            layer_norm_rows<W>(p, time, rows, s);
            break;
        case Stage::kBlockIn:
            block_in<W>(p.block_layer(0, 0), rows, s);
            break;
        case Stage::kBlockOut:
            block_out<W>(p.block_layer(0, 1), time + 2 * s.hidden_stride, rows, s);
            break;
        case Stage::kOutput:
            output_layer<W>(p, rows, s);
            break;
        case Stage::kSolver:
            advance<W>(s.x, 0.5f, rows, s.end, s);
            break;
        case Stage::kCount:
            break;
    }
}

// Keeps the compiler from moving a value's computation out of a loop.
#if defined(__AVX512F__)
#define ZPRL_OPAQUE(value) asm volatile("" : "+v"(value))
#elif defined(__x86_64__)
#define ZPRL_OPAQUE(value) asm volatile("" : "+x"(value))
#else
#define ZPRL_OPAQUE(value) asm volatile("" : "+w"(value))
#endif

template <typename W>
static double peak_of(int repeats, float* result) {
#if defined(__AMX_BF16__)
    if constexpr (W::kOnTiles) return peak_of_tiles(repeats);
#endif
    constexpr int kSums = kTileRows * kTileVectors;
    Vec sums[kSums] = {}, x = broadcast(result[0]), w = broadcast(result[1]);
#pragma GCC unroll 32
    for (int j = 0; j < kSums; ++j) ZPRL_OPAQUE(sums[j]);  // or they would be one and the same
    for (int i = 0; i < repeats; ++i) {
        ZPRL_OPAQUE(x);
#pragma GCC unroll 32
        for (int j = 0; j < kSums; ++j) sums[j] = W::add_product(sums[j], x, w);
    }
    for (int j = 0; j < kSums; ++j) result[j % 2] += sum(sums[j]);
    return 2.0 * repeats * kSums * kLanes * W::kInputsPerStep;
}

static void stream_of(const float* data, size_t floats, float* result) {
    constexpr int kSums = 8;
    Vec sums[kSums] = {};
    for (size_t i = 0; i + kSums * kLanes <= floats; i += kSums * kLanes) {
#pragma GCC unroll 16
        for (int j = 0; j < kSums; ++j) sums[j] += load(data + i + j * kLanes);
    }
    for (int j = 0; j < kSums; ++j) result[j % 2] += sum(sums[j]);
}

template <typename W>
constexpr StepFunctions::OfDtype functions_of() {
    return {&workspace_floats_of<W>, &policy_step_of<W>, &encode_of<W>,
            &integrate_of<W>,        &run_stage_of<W>,   &peak_of<W>};
}

}  // namespace
}  // namespace zprl
