// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The operators on tensors of a CUDA device. They are called when the blob lies on one; their arguments are those of
// zprl_torch.cpp. In a build without CUDA each ends in a sentence that says so.

#pragma once

#include <string>
#include <tuple>

#include "arguments.h"

namespace zprl::ops {

using Header = std::vector<int64_t>;

// `latent_seed` is null for the latent's mean.
Tensor cuda_policy_step(const Place& place, const Tensor& obs, const Tensor& residual, const Tensor& noise,
                        const Tensor* latent_seed, const Tensor& blob, const Header& header);

std::tuple<Tensor, Tensor> cuda_encode(const Place& place, const Tensor& obs, const Tensor& blob, int64_t latent_dim,
                                       const Header& header);

Tensor cuda_latent(const Place& place, const Tensor& obs, const Tensor& blob, int64_t latent_dim, const Header& header);

Tensor cuda_act(const Place& place, const Tensor& latent, const Tensor& noise, const Tensor& blob,
                const Header& header);

// integrate(), or, unless `normalised`, act_from_condition().
Tensor cuda_from_condition(const Place& place, const Tensor& condition, const Tensor& noise, const Tensor& blob,
                           const Header& header, bool normalised);

// Repack a checked blob of the CPU (all on the host) for the GPU kernels.
Tensor pack_for_cuda(const Tensor& blob, const std::string& precision);

// For the profiler: how a batch of a policy is run on the blob's GPU, and what the compiler made of the kernels there,
// a line each.
std::string cuda_plan(const Tensor& blob, int64_t rows, const Header& header);
std::string cuda_kernels(const Tensor& blob);

}  // namespace zprl::ops
