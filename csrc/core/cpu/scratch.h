// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The workspace of a block of rows.

#pragma once

#include "matmul.h"

namespace zprl {
namespace {

ZPRL_INLINE int larger(int a, int b) { return a > b ? a : b; }

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
    Input* condition;   // [embed_dim], after its SiLU
    // The flow.
    float* modulation[4];            // input bias, shift, scale, gate: [hidden_dim] each
    float *x, *stage, *slope, *end;  // [chunk_dim]
    Input* state;                    // [chunk_dim], what the velocity field reads
    float* stream;                   // [hidden_dim]
    Input *branch, *inner;           // [hidden_dim]

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
        const auto take = [&](auto*& piece, int stride) __attribute__((always_inline)) {
            // A multiple of 64, since strides are multiples of 64 elements.
            const size_t bytes = static_cast<size_t>(capacity) * stride * sizeof(*piece);
            piece = reinterpret_cast<decltype(&*piece)>(next);
            next += bytes;
            floats += bytes / sizeof(float);
        };
        take(mlp[0], mlp_stride);
        take(mlp[1], mlp_stride);
        take(embedding, embed_stride);
        take(moments, moments_stride);
        residual = nullptr;
        if (p.steered) take(residual, latent_stride);
        take(latent, latent_stride);
        take(condition, embed_stride);
        for (float*& part : modulation) take(part, hidden_stride);
        take(x, chunk_stride);
        take(stage, chunk_stride);
        take(slope, chunk_stride);
        take(end, chunk_stride);
        take(state, chunk_stride);
        take(stream, hidden_stride);
        take(branch, hidden_stride);
        take(inner, hidden_stride);
    }
};

}  // namespace
}  // namespace zprl
