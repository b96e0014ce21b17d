// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step, or its end from a latent or a condition on, for the instruction set of the including file:
// condition.h, then flow.h, whose velocity field is a residual MLP or that of unet.h.
//
// Memory plan: Policy::block_rows rows go through the whole step before the next ones, so that all activations stay in
// the level-2 cache (see plan.h) and only weights are streamed: those of the velocity field once per block and
// evaluation (0.85 million numbers in the default configuration: 3.4 MB in fp32), the others once per block. Rows are
// padded to whole panels (zeros), so no loop has an odd end but the layer norm's. A matrix product reads its input in
// the weights' type and hands its sums to what comes next (bias, activation, gate, residual) while they are in
// registers.
//
// Roofline: 2 operations per weight and evaluation: 6 MFLOP per row in the default configuration. From about 12 rows on
// the step is bound by the multiply-adds; with one row by reading the velocity field's weights once per evaluation.
//
// Nothing here allocates, locks or throws.

#pragma once

#include "condition.h"
#include "flow.h"
#include "matmul_amx.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace zprl {
namespace {

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

// Rows of a batch that go through the whole step together.
ZPRL_INLINE int rows_at_once(const Policy& p, int64_t rows) {
    return rows < p.block_rows ? static_cast<int>(rows) : p.block_rows;
}

template <typename W>
static size_t workspace_floats_of(const Policy& p, int64_t rows) {
    return Scratch<W>(p, nullptr, rows_at_once(p, rows)).floats + kAlignment / sizeof(float);
}

// Chunks [rows][chunk_dim] of s.x, in the action's units and limits or as they are.
template <typename W>
static void write_chunks(const Policy& p, int rows, bool normalised, const Scratch<W>& s, float* chunks) {
    for (int row = 0; row < rows; ++row) {
        const float* x = s.x + static_cast<size_t>(row) * s.chunk_stride;
        float* chunk = chunks + static_cast<size_t>(row) * p.chunk_dim();
        if (normalised) {
            for (int i = 0; i < p.chunk_dim(); ++i) chunk[i] = x[i];
            continue;
        }
        for (int step = 0; step < p.horizon; ++step) {
            for (int i = 0; i < p.action_dim; ++i) {
                const int at = step * p.action_dim + i;
                chunk[at] = clamp(x[at] * p.action_std[i] + p.action_mean[i], p.action_low[i], p.action_high[i]);
            }
        }
    }
}

// s.condition of rows [first, first + rows) of a batch, from where the call starts.
template <typename W>
static void condition_block(const Policy& p, const StepArguments& a, int64_t first, int rows, const Scratch<W>& s) {
    if (a.condition != nullptr) return load_condition<W>(p, a.condition + first * p.embed_dim, rows, s);
    if (a.obs != nullptr) {
        const float* obs = a.obs + first * p.obs_dim;
        encode_block<W>(p, obs, rows, s);
        end_stage(a.clock, Stage::kEncode);
        if (p.steered) steer_block<W>(p, obs, rows, s);
        end_stage(a.clock, Stage::kActor);
        latent_block<W>(p, a, first, rows, s);
    } else if (a.latent != nullptr) {
        load_latent<W>(p, a.latent + first * p.latent_dim, rows, s);
    } else {
        load_latent<W>(p, a.rounded_latent + first * p.latent_dim, rows, s);
    }
    decode_block<W>(p, rows, s);
    end_stage(a.clock, Stage::kDecode);
}

template <typename W>
static void policy_step_of(const Policy& p, const StepArguments& a, float* workspace) {
    const FlushDenormals flush;
    const int chunk_dim = p.chunk_dim();
    for (int64_t first = 0; first < a.rows; first += p.block_rows) {
        Scratch<W> s(p, workspace, rows_at_once(p, a.rows));
        const int rows = rows_at_once(p, a.rows - first);
        const typename W::Unit unit(rows);
        alone(a.team, [&] {
            condition_block<W>(p, a, first, rows, s);
            modulate_block<W>(p, rows, s);
            end_stage(a.clock, Stage::kModulate);
            load_noise<W>(p, a.noise == nullptr ? nullptr : a.noise + first * chunk_dim, rows, s);
            end_stage(a.clock, Stage::kChunk);
        });
        integrate_block<W>(p, rows, s, a.team, a.clock);
        alone(a.team, [&] {
            write_chunks<W>(p, rows, a.normalised, s, a.chunk + first * chunk_dim);
            end_stage(a.clock, Stage::kChunk);
        });
    }
}

template <typename W>
static void encode_of(const Policy& p, const EncodeArguments& a, float* workspace) {
    const FlushDenormals flush;
    const Scratch<W> s(p, workspace, rows_at_once(p, a.rows));
    const int latent = p.latent_dim;
    for (int64_t first = 0; first < a.rows; first += p.block_rows) {
        const int block = rows_at_once(p, a.rows - first);
        encode_block<W>(p, a.obs + first * p.obs_dim, block, s);
        for (int row = 0; row < block; ++row) {
            const double* moments = s.moments + static_cast<size_t>(row) * s.moments_stride;
            const int64_t at = (first + row) * latent;
            for (int i = 0; i < latent; ++i) {
                if (a.exact_mean != nullptr) a.exact_mean[at + i] = moments[i];
                if (a.mean == nullptr) continue;
                a.mean[at + i] = static_cast<float>(moments[i]);
                a.logvar[at + i] = static_cast<float>(clamp(moments[latent + i], kLogvarMin, kLogvarMax));
            }
        }
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
    return {&workspace_floats_of<W>, &policy_step_of<W>, &encode_of<W>, &peak_of<W>};
}

}  // namespace
}  // namespace zprl
