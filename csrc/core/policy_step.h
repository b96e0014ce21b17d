// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step on the CPU. No torch, no Python: raw pointers, row-major float32, caller-owned memory.
//
// A policy with a U-Net may be given several threads, which share the work of each row; without (the default) nothing
// is started and the calling thread does it all. Other policies use one. Results do not depend on it.
//
// Which instructions run it is decided once per process, by the processor or by the environment variable ZPRL_CPU
// (portable, avx2, avx512, avx512_bf16, amx). Functions of a policy do not allocate, lock, log or throw; rows are
// independent, to the last bit, of the other rows of a batch: call them on parts of a batch from several threads, each
// with a workspace of its own.

#pragma once

#include <string>
#include <vector>

#include "policy_blob.h"

namespace zprl {

// Throws std::invalid_argument with one sentence if this processor cannot run the policy: bf16 weights need
// instructions for bf16 products. Call it once for every policy, before the functions below.
void require_runnable(const Policy& policy);

// Number of floats of scratch memory that the functions below need for batches of up to `rows` rows, or of any size.
size_t workspace_floats(const Policy& policy, int64_t rows = INT64_MAX);

// Latents of a policy step, for those who watch them: each [rows][latent_dim], written, or null.
struct LatentOutputs {
    float* mean = nullptr;     // as encoded
    float* decoded = nullptr;  // with all that was added to it
};

// The functions below need the parts that they run: observations an encoder, latents a bottleneck. Ask
// require_encoder() or require_bottleneck() of policy_blob.h before.

// Raw observations to raw action chunks: normalise, embed, encode, take the latent's mean (or a sample), add the
// actor's bounded output (of a steered policy) and the residual, decode, integrate, un-normalise, clamp.
//
//   obs          [rows][obs_dim]
//   residual     [rows][latent_dim], or null for zero
//   noise        [rows][horizon * action_dim], or null for zero
//   latent_seed  [rows], the seed of each row's latent sample, or null for the mean
//   chunk        [rows][horizon * action_dim], written
//   workspace    [workspace_floats(policy, rows)], uninitialised
void policy_step(const Policy& policy, const float* obs, const float* residual, const float* noise,
                 const uint64_t* latent_seed, int64_t rows, float* chunk, float* workspace,
                 const LatentOutputs& latents = {}, int threads = 1) noexcept;

// Raw observations to the latent's mean and log-variance, [rows][latent_dim] each.
void encode(const Policy& policy, const float* obs, int64_t rows, float* mean, float* logvar,
            float* workspace) noexcept;

// What encode() says of the mean alone, and not rounded: [rows][latent_dim].
void latent(const Policy& policy, const float* obs, int64_t rows, double* mean, float* workspace) noexcept;

// The rest of a step: given latents [rows][latent_dim], single precision or double, to raw chunks. An actor adds
// nothing to them. act() of what latent() gives, plus a residual, is policy_step() to the last bit.
void act(const Policy& policy, const double* latent, const float* noise, int64_t rows, float* chunk, float* workspace,
         int threads = 1) noexcept;
void act(const Policy& policy, const float* latent, const float* noise, int64_t rows, float* chunk, float* workspace,
         int threads = 1) noexcept;

// The same from given conditions [rows][embed_dim]: what integrate() does, and then to the action's units and limits.
void act_from_condition(const Policy& policy, const float* condition, const float* noise, int64_t rows, float* chunk,
                        float* workspace, int threads = 1) noexcept;

// Solve the flow alone: conditions [rows][embed_dim] and noise (or null) to normalised chunks, [rows][horizon *
// action_dim] each.
void integrate(const Policy& policy, const float* condition, const float* noise, int64_t rows, float* chunk,
               float* workspace, int threads = 1) noexcept;

// Explain NaN in a result: throws std::invalid_argument if it comes from the weights. NaN from an observation is passed
// on to that row alone, as in torch. Reads the result only, unless it holds NaN.
void check_result(const Policy& policy, const float* result, int64_t count);
void check_result(const Policy& policy, const double* result, int64_t count);

// Name of the instruction set in use, and all that this processor has, best last. Throws std::invalid_argument if
// ZPRL_CPU names one that does not exist or that this processor does not have.
const char* cpu_level();
std::vector<std::string> cpu_levels();

// Whether that instruction set runs policies whose weights are bf16.
bool multiplies_bfloat16();

// -- for the profiler: these allocate

// Seconds that each part of a step over a batch takes, by name: of that one of `repeats` >= 1 steps whose time is the
// median. Their sum is the step's time. A policy without an encoder is timed from where it starts.
std::vector<std::pair<std::string, double>> profile_step(const Policy& policy, int64_t rows, int repeats);

// Multiply-adds per second of this thread's core [GFLOP/s], best of measurements over `seconds`; 0 without bf16.
double peak_gflops(Dtype dtype, double seconds);

// Bandwidth of reading `bytes` over and over [GB/s], best of measurements over `seconds`.
double stream_gbs(size_t bytes, double seconds);

}  // namespace zprl
