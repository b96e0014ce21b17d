// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step in double precision, one row at a time, written a second time.

#pragma once

#include <iterator>
#include <vector>

#include "core_model.h"

namespace core_check {

using Numbers = std::vector<double>;

inline double silu(double x) { return x / (1.0 + std::exp(-x)); }
inline double mish(double x) { return x * std::tanh(std::log1p(std::exp(x))); }
inline double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x * std::sqrt(0.5))); }

ZPRL_NOT_WATCHED inline void add_products(const float* weight, const double* x, int in, int out, double* y) {
    for (int i = 0; i < in; ++i, weight += out) {
        for (int j = 0; j < out; ++j) y[j] += x[i] * static_cast<double>(weight[j]);
    }
}

inline Numbers output_of(const Layer& layer, const Numbers& x) {
    Numbers y(layer.bias.begin(), layer.bias.end());
    add_products(layer.weight.data(), x.data(), layer.in, layer.out, y.data());
    return y;
}

inline double elu(double x) { return x > 0.0 ? x : std::expm1(x); }
inline double relu(double x) { return std::max(x, 0.0); }
inline double hyperbolic_tangent(double x) { return std::tanh(x); }

// Order as in zprl::Activation.
inline double (*const kActivations[])(double) = {elu, relu, hyperbolic_tangent, silu, gelu};
static_assert(std::size(kActivations) == static_cast<size_t>(zprl::Activation::kCount), "each has its reference");

inline Numbers output_of(const std::vector<Layer>& layers, Numbers x, double (*activation)(double) = gelu) {
    for (size_t i = 0; i < layers.size(); ++i) {
        x = output_of(layers[i], x);
        if (i + 1 < layers.size()) std::transform(x.begin(), x.end(), x.begin(), activation);
    }
    return x;
}

class Reference {
 public:
    explicit Reference(const Model& model) : m_(model), s_(model.shape) {}

    // Mean and bounded log-variance of the latent, one after the other.
    Numbers encode(const float* obs) const {
        Numbers x(s_.obs);
        for (int i = 0; i < s_.obs; ++i) {
            x[i] = (static_cast<double>(obs[i]) - static_cast<double>(m_.obs_mean[i])) /
                   static_cast<double>(m_.obs_std[i]);
        }
        Numbers moments = output_of(m_.encoder, output_of(m_.embedding, x));
        for (int i = s_.latent; i < 2 * s_.latent; ++i) moments[i] = std::clamp(moments[i], -20.0, 10.0);
        return moments;
    }

    Numbers integrate(const Numbers& condition, const float* noise) const {
        Numbers active = condition;
        std::transform(active.begin(), active.end(), active.begin(), s_.is_unet() ? mish : silu);
        const Numbers modulation = output_of(m_.modulation, active);
        const Method& method = kMethods[s_.solver];
        const double step = 1.0 / s_.steps;
        Numbers x(s_.chunk(), 0.0);
        if (noise != nullptr) x.assign(noise, noise + s_.chunk());
        for (int k = 0; k < s_.steps; ++k) {
            Numbers slope(x.size(), 0.0), end = x;
            for (size_t i = 0; i < method.nodes.size(); ++i) {
                Numbers stage = x;
                for (size_t j = 0; j < x.size(); ++j) stage[j] -= step * method.nodes[i] * slope[j];
                slope = velocity(stage, modulation, static_cast<int>(method.rows_per_step * (k + method.nodes[i])));
                for (size_t j = 0; j < x.size(); ++j) end[j] -= step * method.weights[i] * slope[j];
            }
            x = end;
        }
        return x;
    }

    Numbers step(const float* obs, const float* residual, const float* noise, const uint64_t* seed) const {
        return chunk_of(latents(obs, residual, seed), noise);
    }

    // The latent that is decoded.
    Numbers latents(const float* obs, const float* residual, const uint64_t* seed) const {
        const Numbers moments = encode(obs);
        Numbers u(s_.latent, 0.0);
        if (s_.steered) {
            Numbers x(obs, obs + s_.obs);
            x.insert(x.end(), moments.begin(), moments.begin() + s_.latent);
            for (size_t i = 0; i < x.size(); ++i) {
                x[i] = (x[i] - static_cast<double>(m_.actor_mean[i])) / static_cast<double>(m_.actor_divisor[i]);
            }
            u = output_of(m_.actor, x, kActivations[s_.activation]);
            for (double& value : u) {
                value = s_.output == zprl::ActorOutput::kTanh ? std::tanh(value) : std::clamp(value, -1.0, 1.0);
            }
        }
        Numbers latent(moments.begin(), moments.begin() + s_.latent);
        for (int i = 0; i < s_.latent; ++i) {
            if (seed != nullptr) latent[i] += std::exp(0.5 * moments[s_.latent + i]) * standard_normal(*seed, i);
            latent[i] += static_cast<double>(m_.residual_scale) * u[i];
            if (residual != nullptr) latent[i] += static_cast<double>(residual[i]);
        }
        return latent;
    }

    Numbers chunk_of(const Numbers& latent, const float* noise) const {
        return in_units(integrate(output_of(m_.decoder, latent), noise));
    }

    // A normalised chunk in the action's units and limits.
    Numbers in_units(Numbers chunk) const {
        for (int i = 0; i < s_.chunk(); ++i) {
            const int a = i % s_.action;
            chunk[i] = chunk[i] * static_cast<double>(m_.action_std[a]) + static_cast<double>(m_.action_mean[a]);
            chunk[i] = std::min(std::max(chunk[i], static_cast<double>(m_.action_low[a])),
                                static_cast<double>(m_.action_high[a]));
        }
        return chunk;
    }

 private:
    Numbers velocity(const Numbers& x, const Numbers& modulation, int time_row) const {
        if (s_.is_unet()) {
            const float* of_time = m_.time_table.data() + time_row * modulation.size();
            Numbers film = modulation;
            for (size_t i = 0; i < film.size(); ++i) film[i] += static_cast<double>(of_time[i]);
            return unet_velocity(s_.unet, m_.unet, s_.horizon, x, film);
        }
        const int width = s_.hidden;
        const float* time = m_.time_table.data() + static_cast<size_t>(time_row) * (3 * s_.blocks + 3) * width;
        Numbers h = output_of(m_.input, x);
        for (int i = 0; i < width; ++i) h[i] += modulation[i] + static_cast<double>(time[i]);
        for (int block = 0; block < s_.blocks; ++block) {
            const float* row = time + (1 + 3 * block) * width;
            Numbers inner = output_of(m_.blocks[2 * block], layer_norm(h, modulation, row));
            std::transform(inner.begin(), inner.end(), inner.begin(), silu);
            const Numbers branch = output_of(m_.blocks[2 * block + 1], inner);
            for (int i = 0; i < width; ++i) {
                h[i] += (modulation[3 * width + i] + static_cast<double>(row[2 * width + i])) * branch[i];
            }
        }
        return output_of(m_.output, layer_norm(h, modulation, time + (1 + 3 * s_.blocks) * width));
    }

    Numbers layer_norm(const Numbers& h, const Numbers& modulation, const float* time) const {
        const int width = s_.hidden;
        double mean = 0.0, variance = 0.0;
        for (double value : h) mean += value / width;
        for (double value : h) variance += (value - mean) * (value - mean) / width;
        Numbers u(width);
        for (int i = 0; i < width; ++i) {
            const double shift = modulation[width + i] + static_cast<double>(time[i]);
            const double scale = 1.0 + modulation[2 * width + i] + static_cast<double>(time[width + i]);
            u[i] = (h[i] - mean) / std::sqrt(variance + 1e-5) * scale + shift;
        }
        return u;
    }

    // Philox4x32-10 and the Box-Muller transform; see latent_noise.h.
    static double standard_normal(uint64_t seed, int index) {
        uint32_t c[4] = {static_cast<uint32_t>(index / 4), 0, 0, 0};
        uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
        for (int round = 0; round < 10; ++round) {
            const uint64_t first = uint64_t{0xD2511F53} * c[0], second = uint64_t{0xCD9E8D57} * c[2];
            const uint32_t next[4] = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0],
                                      static_cast<uint32_t>(second), static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1],
                                      static_cast<uint32_t>(first)};
            std::copy_n(next, 4, c);
            key[0] += 0x9E3779B9;
            key[1] += 0xBB67AE85;
        }
        const uint32_t* pair = c + (index % 4 < 2 ? 0 : 2);
        const double radius = std::sqrt(-2.0 * std::log(((pair[0] >> 8) + 1.0) / 16777216.0));
        const double angle = 6.283185307179586 * (pair[1] >> 8) / 16777216.0;
        return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
    }

    const Model& m_;
    const Shape& s_;
};

}  // namespace core_check
