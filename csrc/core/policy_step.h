// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// CPU reference of the policy step. No torch, no Python: raw pointers, row-major float32, caller-owned memory.

#pragma once

#include "policy_blob.h"

namespace zprl {

// Number of floats of scratch memory that policy_step() and encode() need, whatever the number of rows.
size_t workspace_floats(const Policy& policy);

// Raw observations to raw action chunks: normalise, embed, encode, add the residual to the latent's mean, decode,
// integrate, un-normalise, clamp.
//
//   obs       [rows][obs_dim]
//   residual  [rows][latent_dim], or null for zero
//   noise     [rows][horizon * action_dim], or null for zero
//   chunk     [rows][horizon * action_dim], written
//   workspace [workspace_floats(policy)], one per thread
//
// Does not allocate, lock or throw. Rows are independent: call it on parts of a batch from several threads.
void policy_step(const Policy& policy, const float* obs, const float* residual, const float* noise, int64_t rows,
                 float* chunk, float* workspace) noexcept;

// Raw observations to the latent's mean and log-variance, [rows][latent_dim] each. Otherwise as policy_step().
void encode(const Policy& policy, const float* obs, int64_t rows, float* mean, float* logvar,
            float* workspace) noexcept;

// Explain NaN in a result: throws std::invalid_argument if it comes from the weights. NaN from an observation is passed
// on to that row alone, as in torch. Reads the result only, unless it holds NaN.
void check_result(const Policy& policy, const float* result, int64_t count);

}  // namespace zprl
