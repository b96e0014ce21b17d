// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What stands in for cuda_ops.cpp where CUDA kernels are not built.

#include "cuda_ops.h"

namespace zprl::ops {
namespace {

[[noreturn]] void fail_without_cuda() {
    fail("this build has no CUDA kernels; use tensors on the CPU, or build ZPRL with nvcc and ZPRL_CUDA=ON.");
}

}  // namespace

Tensor cuda_policy_step(const Place&, const Tensor&, const Tensor&, const Tensor&, const Tensor*, const Tensor&,
                        const Header&) {
    fail_without_cuda();
}

std::tuple<Tensor, Tensor> cuda_encode(const Place&, const Tensor&, const Tensor&, int64_t, const Header&) {
    fail_without_cuda();
}

Tensor cuda_latent(const Place&, const Tensor&, const Tensor&, int64_t, const Header&) { fail_without_cuda(); }

Tensor cuda_act(const Place&, const Tensor&, const Tensor&, const Tensor&, const Header&) { fail_without_cuda(); }

Tensor cuda_from_condition(const Place&, const Tensor&, const Tensor&, const Tensor&, const Header&, bool) {
    fail_without_cuda();
}

Tensor pack_for_cuda(const Tensor&, const std::string&) { fail_without_cuda(); }

std::string cuda_plan(const Tensor&, int64_t, const Header&) { fail_without_cuda(); }

std::string cuda_kernels(const Tensor&) { fail_without_cuda(); }

}  // namespace zprl::ops
