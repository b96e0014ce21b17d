// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "kernels.h"

#include <string>

#include "../policy_step.h"

namespace zprl::learner {
namespace {

const KernelSet& chosen_set() {
    const std::string level = cpu_level();
#if defined(__x86_64__)
#if ZPRL_AVX512
    if (level == "avx512" || level == "avx512_bf16" || level == "amx") return kAvx512Kernels;
#endif
    if (level != "portable") return kAvx2Kernels;
#endif
    return kPortableKernels;
}

}  // namespace

template <>
const Kernels<float>& chosen_kernels() {
    return chosen_set().of_float;
}

template <>
const Kernels<double>& chosen_kernels() {
    return chosen_set().of_double;
}

}  // namespace zprl::learner
