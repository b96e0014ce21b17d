// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// CPU reference of the policy step: the plain, readable version that faster ones are tested against.
//
// Memory plan: kBlockRows rows go through the whole step before the next ones, so all activations stay in the L2 cache
// (0.2 MB in the default configuration) and only weights are streamed: those of the velocity field (1.7 MB) once per
// block and evaluation, the others (1.9 MB) once per block. The last block is padded to a multiple of kTileRows rows,
// whose results are dropped.
//
// Cost per row: 2 operations per weight for embedding, bottleneck and modulation, and 2 per weight of the velocity
// field for each of its (solver stages * steps) evaluations: 6 MFLOP in the default configuration.

#include "policy_step.h"

#include <algorithm>
#include <cmath>

#include "linear.h"

namespace zprl {
namespace {

constexpr int kBlockRows = 16;
static_assert(kBlockRows % kTileRows == 0, "blocks hold whole tiles");

// Same as in zprl/policy/vib.py.
constexpr float kLogvarMin = -20.0f, kLogvarMax = 10.0f;

// Same as the default of torch.nn.functional.layer_norm.
constexpr float kLayerNormEpsilon = 1e-5f;

// Unlike std::min and std::max this passes NaN on, as torch.clamp does.
float clamp(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }

float silu(float x) { return x / (1.0f + std::exp(-x)); }

float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f)); }

int max_width(const Mlp& mlp) {
    int width = 0;
    for (int i = 0; i < mlp.count; ++i) width = std::max(width, mlp.layers[i].out);
    return width;
}

// Pieces of the workspace, for one block of rows.
struct Scratch {
    float* mlp[2];                   // hidden layers, in turns
    float *obs, *embedding;          // [obs_dim], [embed_dim]; the embedding's place later holds the condition
    float *moments, *latent;         // [2 latent_dim], [latent_dim]
    float* modulation;               // [4 hidden_dim]
    float *x, *stage, *slope, *end;  // [chunk_dim]
    float *stream, *branch, *inner;  // [hidden_dim]
    size_t floats = 0;               // in total

    Scratch(const Policy& p, float* workspace) {
        const int widest = std::max({max_width(p.embedding), max_width(p.encoder), max_width(p.decoder)});
        auto take = [&](int width) {
            float* piece = workspace == nullptr ? nullptr : workspace + floats;
            floats += static_cast<size_t>(kBlockRows) * width;
            return piece;
        };
        for (float*& buffer : mlp) buffer = take(widest);
        obs = take(p.obs_dim);
        embedding = take(p.embed_dim);
        moments = take(2 * p.latent_dim);
        latent = take(p.latent_dim);
        modulation = take(4 * p.hidden_dim);
        for (float** state : {&x, &stage, &slope, &end}) *state = take(p.chunk_dim());
        for (float** hidden : {&stream, &branch, &inner}) *hidden = take(p.hidden_dim);
    }
};

// Linear layers with GELU between them.
void run_mlp(const Mlp& mlp, const float* x, int rows, float* y, const Scratch& scratch) {
    for (int i = 0; i < mlp.count; ++i) {
        const Linear& layer = mlp.layers[i];
        const bool last = i + 1 == mlp.count;
        float* result = last ? y : scratch.mlp[i % 2];
        linear(layer, x, rows, result);
        if (!last) {
            for (int j = 0; j < rows * layer.out; ++j) result[j] = gelu(result[j]);
        }
        x = result;
    }
}

// LayerNorm without affine parameters, then * (1 + scale + time_scale) + shift + time_shift.
void modulated_layer_norm(const float* h, const float* shift, const float* scale, const float* time_shift,
                          const float* time_scale, int width, float* u) {
    float mean = 0.0f, variance = 0.0f;
    for (int i = 0; i < width; ++i) mean += h[i];
    mean /= static_cast<float>(width);
    for (int i = 0; i < width; ++i) variance += (h[i] - mean) * (h[i] - mean);
    variance /= static_cast<float>(width);
    const float inverse_std = 1.0f / std::sqrt(variance + kLayerNormEpsilon);
    for (int i = 0; i < width; ++i) {
        u[i] = (h[i] - mean) * inverse_std * (1.0f + scale[i] + time_scale[i]) + shift[i] + time_shift[i];
    }
}

// slope = v(x, time | condition), for one block. See ResidualMLPVelocityField in zprl/policy/velocity_field.py.
void velocity(const Policy& p, const float* x, const float* time_row, int rows, float* slope, const Scratch& s) {
    const int width = p.hidden_dim;
    // Parts of a row's modulation: 0 input bias, 1 shift, 2 scale, 3 gate.
    auto modulation = [&](int row, int part) { return s.modulation + (static_cast<size_t>(row) * 4 + part) * width; };

    linear(p.input, x, rows, s.stream);
    for (int row = 0; row < rows; ++row) {
        const float* bias = modulation(row, 0);
        float* h = s.stream + static_cast<size_t>(row) * width;
        for (int i = 0; i < width; ++i) h[i] += bias[i] + time_row[i];
    }

    const float* time = time_row + width;
    for (int block = 0; block < p.num_blocks; ++block, time += 3 * width) {
        for (int row = 0; row < rows; ++row) {
            const size_t start = static_cast<size_t>(row) * width;
            modulated_layer_norm(s.stream + start, modulation(row, 1), modulation(row, 2), time, time + width, width,
                                 s.branch + start);
        }
        linear(p.block_layer(block, 0), s.branch, rows, s.inner);
        for (int i = 0; i < rows * width; ++i) s.inner[i] = silu(s.inner[i]);
        linear(p.block_layer(block, 1), s.inner, rows, s.branch);
        for (int row = 0; row < rows; ++row) {
            const float *gate = modulation(row, 3), *time_gate = time + 2 * width;
            const float* branch = s.branch + static_cast<size_t>(row) * width;
            float* h = s.stream + static_cast<size_t>(row) * width;
            for (int i = 0; i < width; ++i) h[i] += (gate[i] + time_gate[i]) * branch[i];
        }
    }

    for (int row = 0; row < rows; ++row) {
        const size_t start = static_cast<size_t>(row) * width;
        modulated_layer_norm(s.stream + start, modulation(row, 1), modulation(row, 2), time, time + width, width,
                             s.branch + start);
    }
    linear(p.output, s.branch, rows, slope);
}

// s.x from t = 1 to t = 0. See integrate() in zprl/policy/flow_matching.py.
void integrate(const Policy& p, int rows, const Scratch& s) {
    const int count = rows * p.chunk_dim();
    const float step = 1.0f / static_cast<float>(p.num_steps);
    for (int k = 0; k < p.num_steps; ++k) {
        std::copy(s.x, s.x + count, s.end);
        for (int i = 0; i < p.solver.stages; ++i) {
            const float node = p.solver.nodes[i], weight = p.solver.weights[i];
            const int time_index =
                static_cast<int>(static_cast<float>(p.solver.rows_per_step) * (static_cast<float>(k) + node));
            const float* time_row = p.time_table + static_cast<size_t>(time_index) * p.time_row_size();
            const float* state = s.x;
            if (i > 0) {
                for (int j = 0; j < count; ++j) s.stage[j] = s.x[j] - step * node * s.slope[j];
                state = s.stage;
            }
            velocity(p, state, time_row, rows, s.slope, s);
            for (int j = 0; j < count; ++j) s.end[j] -= step * weight * s.slope[j];
        }
        std::copy(s.end, s.end + count, s.x);
    }
}

// Copy `valid` rows and fill up to `rows` rows with zeros; all zeros if `from` is null.
void load_rows(const float* from, int valid, int rows, int width, float* to) {
    const int count = from == nullptr ? 0 : valid * width;
    if (count > 0) std::copy(from, from + count, to);
    std::fill(to + count, to + static_cast<size_t>(rows) * width, 0.0f);
}

// s.moments of one block of raw observations.
void encode_block(const Policy& p, const float* obs, int valid, int rows, const Scratch& s) {
    load_rows(obs, valid, rows, p.obs_dim, s.obs);
    for (int row = 0; row < rows; ++row) {
        float* values = s.obs + static_cast<size_t>(row) * p.obs_dim;
        for (int i = 0; i < p.obs_dim; ++i) values[i] = (values[i] - p.obs_mean[i]) / p.obs_std[i];
    }
    run_mlp(p.embedding, s.obs, rows, s.embedding, s);
    run_mlp(p.encoder, s.embedding, rows, s.moments, s);
}

// Call block(first row, valid rows, padded rows) for consecutive blocks.
template <typename Block>
void for_each_block(int64_t rows, const Block& block) {
    for (int64_t first = 0; first < rows; first += kBlockRows) {
        const int valid = static_cast<int>(std::min<int64_t>(kBlockRows, rows - first));
        block(first, valid, (valid + kTileRows - 1) / kTileRows * kTileRows);
    }
}

}  // namespace

size_t workspace_floats(const Policy& policy) { return Scratch(policy, nullptr).floats; }

void policy_step(const Policy& p, const float* obs, const float* residual, const float* noise, int64_t rows,
                 float* chunk, float* workspace) noexcept {
    const Scratch s(p, workspace);
    const int latent = p.latent_dim, chunk_dim = p.chunk_dim();
    for_each_block(rows, [&](int64_t first, int valid, int padded) {
        encode_block(p, obs + first * p.obs_dim, valid, padded, s);

        load_rows(residual == nullptr ? nullptr : residual + first * latent, valid, padded, latent, s.latent);
        for (int row = 0; row < padded; ++row) {
            for (int i = 0; i < latent; ++i) s.latent[row * latent + i] += s.moments[row * 2 * latent + i];
        }
        float* condition = s.embedding;
        run_mlp(p.decoder, s.latent, padded, condition, s);
        for (int i = 0; i < padded * p.embed_dim; ++i) condition[i] = silu(condition[i]);
        linear(p.modulation, condition, padded, s.modulation);

        load_rows(noise == nullptr ? nullptr : noise + first * chunk_dim, valid, padded, chunk_dim, s.x);
        integrate(p, padded, s);

        float* result = chunk + first * chunk_dim;
        for (int i = 0; i < valid * chunk_dim; ++i) {
            const int a = i % p.action_dim;
            result[i] = clamp(s.x[i] * p.action_std[a] + p.action_mean[a], p.action_low[a], p.action_high[a]);
        }
    });
}

void encode(const Policy& p, const float* obs, int64_t rows, float* mean, float* logvar, float* workspace) noexcept {
    const Scratch s(p, workspace);
    const int latent = p.latent_dim;
    for_each_block(rows, [&](int64_t first, int valid, int padded) {
        encode_block(p, obs + first * p.obs_dim, valid, padded, s);
        for (int row = 0; row < valid; ++row) {
            const float* moments = s.moments + static_cast<size_t>(row) * 2 * latent;
            for (int i = 0; i < latent; ++i) {
                mean[(first + row) * latent + i] = moments[i];
                logvar[(first + row) * latent + i] = clamp(moments[latent + i], kLogvarMin, kLogvarMax);
            }
        }
    });
}

void check_result(const Policy& policy, const float* result, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        if (std::isnan(result[i])) return require_finite_weights(policy);
    }
}

}  // namespace zprl
