// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "kernels.h"

#include "../vector_bits.h"

namespace zprl::learner {
namespace {

const KernelSet& chosen_set() {
    [[maybe_unused]] const int bits = vector_bits();
#if defined(__x86_64__)
#if ZPRL_AVX512
    if (bits == 512) return kAvx512Kernels;
#endif
    if (bits > 0) return kAvx2Kernels;
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
