// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The workspace of a block of rows.

#pragma once

#include "matmul.h"

namespace zprl {
namespace {

ZPRL_INLINE int larger(int a, int b) { return a > b ? a : b; }
ZPRL_INLINE int smaller(int a, int b) { return a < b ? a : b; }

ZPRL_INLINE int widest(const Mlp& mlp) {
    int width = 0;
    for (int i = 0; i < mlp.count; ++i) width = larger(width, larger(mlp.layers[i].in, mlp.layers[i].out));
    return width;
}

// Activations [rows][stride] of one block of rows; strides are the padded widths.
template <typename W>
struct Scratch {
    typedef typename W::Input Input;

    int mlp_stride, embed_stride, moments_stride, latent_stride, hidden_stride, chunk_stride;
    // Up to the condition.
    double* mlp[2];     // inputs of the layers of an MLP, in turns; the first one's input in mlp[0]
    double* embedding;  // [embed_dim]
    double* moments;    // [2 latent_dim]
    double* residual;   // [latent_dim], the actor's; none without an actor
    double* latent;     // [latent_dim]
    Input* condition;   // [embed_dim], after its activation
    // The flow.
    float *x, *stage, *slope, *end;  // [chunk_dim]
    // Of a residual MLP.
    float* modulation[4];   // input bias, shift, scale, gate: [hidden_dim] each
    Input* state;           // [chunk_dim], what the velocity field reads
    float* stream;          // [hidden_dim]
    Input *branch, *inner;  // [hidden_dim]
    // Of a U-Net: activations [positions][channels], but for the first four.
    float *means, *inverse_stds;  // [channels], of one sample's groups
    Input* zeros;                 // [channels]
    float* film;                  // [film_width], the condition's scales and shifts
    float* sums;                  // of a convolution
    float* residual_signal;       // what runs along the residual connections
    Input *state_signal, *inner_signal, *signals[2];
    Input* joined[kMaxLevels];  // of all levels but the first, twice the channels: from below, and from the way down

    size_t floats = 0;  // in total

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
        // An address and no pointer: without a workspace, where only `floats` is asked for, pointers may not be added
        // to.
        uintptr_t next = (reinterpret_cast<uintptr_t>(workspace) + 63) / 64 * 64;
        const auto take_once = [&](auto*& piece, size_t count) __attribute__((always_inline)) {
            // A multiple of 64, since counts are multiples of 64 elements.
            const size_t bytes = count * sizeof(*piece);
            piece = reinterpret_cast<decltype(&*piece)>(next);
            next += bytes;
            floats += bytes / sizeof(float);
        };
        const auto take = [&](auto*& piece, size_t stride) __attribute__((always_inline)) {
            take_once(piece, static_cast<size_t>(capacity) * stride);
        };
        take(mlp[0], mlp_stride);
        take(mlp[1], mlp_stride);
        take(embedding, embed_stride);
        take(moments, moments_stride);
        residual = nullptr;
        if (p.steered) take(residual, latent_stride);
        take(latent, latent_stride);
        take(condition, embed_stride);
        take(x, chunk_stride);
        take(stage, chunk_stride);
        take(slope, chunk_stride);
        take(end, chunk_stride);
        if (p.network == Network::kUNet) {
            const UNet& u = p.unet;
            const size_t largest = u.largest_signal(),
                         actions = static_cast<size_t>(u.positions(0)) * padded(p.action_dim);
            const int widest = u.widest_input(p.action_dim);
            take_once(means, widest);
            take_once(inverse_stds, widest);
            take_once(zeros, widest);
            take(film, u.film_width);
            take(state_signal, actions);
            take(sums, largest > actions ? largest : actions);
            take(residual_signal, largest);
            take(inner_signal, largest);
            for (Input*& signal : signals) take(signal, largest);
            for (int level = 1; level < u.levels; ++level) {
                take(joined[level], static_cast<size_t>(u.positions(level)) * 2 * padded(u.channels[level]));
            }
            return;
        }
        for (float*& part : modulation) take(part, hidden_stride);
        take(state, chunk_stride);
        take(stream, hidden_stride);
        take(branch, hidden_stride);
        take(inner, hidden_stride);
    }
};

}  // namespace
}  // namespace zprl
