// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What leads to the condition of the flow: normaliser, embedding, encoder, sampling, actor and decoder.
//
// All of it is double precision over weights in single precision, and the condition is rounded once. A trained flow
// enlarges errors of its condition up to a hundredfold, where it chooses between two ways to act; it runs once per
// chunk and is a small part of the arithmetic.

#pragma once

#include "../latent_noise.h"
#include "activations.h"
#include "scratch.h"
#include "step.h"

namespace zprl {
namespace {

// Same as in zprl/policies/flow/bottleneck.py.
constexpr double kLogvarMin = -20.0, kLogvarMax = 10.0;

// Unlike the library's functions this passes NaN on, as torch.clamp does.
template <typename Number>
ZPRL_INLINE Number clamp(Number x, Number low, Number high) {
    return x < low ? low : (x > high ? high : x);
}

// to[i] = (x[i] - mean[i]) / divisor[i].
template <typename Number>
ZPRL_INLINE void normalise(const Number* x, const float* mean, const float* divisor, int count, double* to) {
    for (int i = 0; i < count; ++i) {
        to[i] = (static_cast<double>(x[i]) - static_cast<double>(mean[i])) / static_cast<double>(divisor[i]);
    }
}

// Linear layers with an activation between them; the last one's sums go to `finish`.
template <typename W, typename Activate, typename Finish>
static void run_mlp(const Mlp& mlp, const double* x, int stride, int rows, const Scratch<W>& s,
                    const Activate& activate, const Finish& finish) {
    for (int i = 0; i + 1 < mlp.count; ++i) {
        double* y = s.mlp[(i + 1) % 2];
        linear<Fp64>(mlp.layers[i], x, stride, rows,
                     [&](int row, int column, DoubleVec v) __attribute__((always_inline)) {
                         store(y + static_cast<size_t>(row) * s.mlp_stride + column, activate(v));
                     });
        x = y;
        stride = s.mlp_stride;
    }
    linear<Fp64>(mlp.layers[mlp.count - 1], x, stride, rows, finish);
}

constexpr auto kGelu = [](DoubleVec v) __attribute__((always_inline)) { return gelu(v); };

// s.moments of one block of raw observations.
template <typename W>
static void encode_block(const Policy& p, const float* obs, int rows, const Scratch<W>& s) {
    for (int row = 0; row < rows; ++row) {
        normalise(obs + static_cast<size_t>(row) * p.obs_dim, p.obs_mean, p.obs_std, p.obs_dim,
                  s.mlp[0] + static_cast<size_t>(row) * s.mlp_stride);
    }
    run_mlp<W>(p.embedding, s.mlp[0], s.mlp_stride, rows, s, kGelu,
               [&](int row, int column, DoubleVec v) __attribute__((always_inline)) {
                   store(s.embedding + static_cast<size_t>(row) * s.embed_stride + column, v);
               });
    run_mlp<W>(p.encoder, s.embedding, s.embed_stride, rows, s, kGelu,
               [&](int row, int column, DoubleVec v) __attribute__((always_inline)) {
                   store(s.moments + static_cast<size_t>(row) * s.moments_stride + column, v);
               });
}

// s.residual: lambda * u, with u the actor's bounded output, of one block of raw observations and of s.moments.
template <typename W>
static void steer_block(const Policy& p, const float* obs, int rows, const Scratch<W>& s) {
    for (int row = 0; row < rows; ++row) {
        double* to = s.mlp[0] + static_cast<size_t>(row) * s.mlp_stride;
        normalise(obs + static_cast<size_t>(row) * p.obs_dim, p.actor_mean, p.actor_divisor, p.obs_dim, to);
        normalise(s.moments + static_cast<size_t>(row) * s.moments_stride, p.actor_mean + p.obs_dim,
                  p.actor_divisor + p.obs_dim, p.latent_dim, to + p.obs_dim);
    }
    const double scale = p.residual_scale[0];
    const bool squashed = p.actor_output == ActorOutput::kTanh;
    const auto finish = [&](int row, int column, DoubleVec v) __attribute__((always_inline)) {
        // After a tanh as well: it is right to 1e-11 only, on either side of the bound.
        const DoubleVec u = squashed ? tanh(v) : v, bounded = min(max(u, broadcast(-1.0)), broadcast(1.0));
        store(s.residual + static_cast<size_t>(row) * s.latent_stride + column, scale * bounded);
    };
    const auto run = [&](const auto& activate) __attribute__((always_inline)) {
        run_mlp<W>(p.actor, s.mlp[0], s.mlp_stride, rows, s, activate, finish);
    };
    switch (p.actor_activation) {
        case Activation::kElu:
            return run([](DoubleVec v) __attribute__((always_inline)) { return elu(v); });
        case Activation::kRelu:
            return run([](DoubleVec v) __attribute__((always_inline)) { return relu(v); });
        case Activation::kTanh:
            return run([](DoubleVec v) __attribute__((always_inline)) { return tanh(v); });
        case Activation::kSilu:
            return run([](DoubleVec v) __attribute__((always_inline)) { return silu(v); });
        case Activation::kGelu:
        case Activation::kCount:  // refused by parse_policy()
            return run(kGelu);
    }
}

// s.latent of rows [first, first + rows) of a batch: the mean or a sample, and what is added to it.
template <typename W>
static void latent_block(const Policy& p, const StepArguments& a, int64_t first, int rows, const Scratch<W>& s) {
    const int latent = p.latent_dim;
    for (int row = 0; row < rows; ++row) {
        const double* moments = s.moments + static_cast<size_t>(row) * s.moments_stride;
        double* latents = s.latent + static_cast<size_t>(row) * s.latent_stride;
        const int64_t at = (first + row) * latent;
        for (int i = 0; i < latent; ++i) {
            double z = moments[i];
            if (a.latent_seed != nullptr) {
                const double logvar = clamp(moments[latent + i], kLogvarMin, kLogvarMax);
                const double std = exp(broadcast(0.5 * logvar))[0];
                z += std * standard_normal(a.latent_seed[first + row], static_cast<uint32_t>(i));
            }
            if (p.steered) z += s.residual[static_cast<size_t>(row) * s.latent_stride + i];
            if (a.residual != nullptr) z += a.residual[at + i];
            latents[i] = z;
            if (a.latent_mean != nullptr) a.latent_mean[at + i] = static_cast<float>(moments[i]);
            if (a.decoded_latent != nullptr) a.decoded_latent[at + i] = static_cast<float>(z);
        }
    }
}

// s.latent of given ones, [rows][latent_dim].
template <typename W, typename Number>
static void load_latent(const Policy& p, const Number* latent, int rows, const Scratch<W>& s) {
    for (int row = 0; row < rows; ++row) {
        double* to = s.latent + static_cast<size_t>(row) * s.latent_stride;
        for (int i = 0; i < p.latent_dim; ++i) to[i] = static_cast<double>(latent[row * p.latent_dim + i]);
    }
}

// What the velocity field's modulation reads of a condition.
ZPRL_INLINE DoubleVec activated(const Policy& p, DoubleVec condition) {
    return p.network == Network::kUNet ? mish(condition) : silu(condition);
}

// s.condition of s.latent.
template <typename W>
static void decode_block(const Policy& p, int rows, const Scratch<W>& s) {
    run_mlp<W>(p.decoder, s.latent, s.latent_stride, rows, s, kGelu,
               [&](int row, int column, DoubleVec v) __attribute__((always_inline)) {
                   W::store_input(s.condition + static_cast<size_t>(row) * s.embed_stride + column, activated(p, v));
               });
}

// s.condition of given ones, [rows][embed_dim].
template <typename W>
static void load_condition(const Policy& p, const float* condition, int rows, const Scratch<W>& s) {
    for (int row = 0; row < rows; ++row) {
        const float* raw = condition + static_cast<size_t>(row) * p.embed_dim;
        typename W::Input* to = s.condition + static_cast<size_t>(row) * s.embed_stride;
        for (int i = 0; i < s.embed_stride; i += kDoubleLanes) {
            DoubleVec v = {};
            for (int j = 0; j < kDoubleLanes && i + j < p.embed_dim; ++j) v[j] = raw[i + j];
            W::store_input(to + i, activated(p, v));
        }
    }
}

}  // namespace
}  // namespace zprl
