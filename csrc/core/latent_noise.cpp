// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "latent_noise.h"

#include "latent_noise_impl.h"

namespace zprl {

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t result[4]) {
    philox4x32_inline(counter, key, result);
}

float standard_normal(uint64_t seed, uint32_t index) { return standard_normal_inline(seed, index); }

}  // namespace zprl
