// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Arithmetic of latent_noise.h, for the CPU and for CUDA kernels.

#pragma once

#include <math.h>

#include <cstdint>

#if defined(__CUDACC__)
#define ZPRL_NOISE_INLINE __host__ __device__ __forceinline__
#else
#define ZPRL_NOISE_INLINE inline __attribute__((always_inline))
#endif

namespace zprl {

ZPRL_NOISE_INLINE void philox4x32_inline(const uint32_t counter[4], const uint32_t key[2], uint32_t result[4]) {
    constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
    constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round, k0 += kWeyl0, k1 += kWeyl1) {
        const uint64_t p0 = static_cast<uint64_t>(kMultiplier0) * c0, p1 = static_cast<uint64_t>(kMultiplier1) * c2;
        c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<uint32_t>(p1);
        c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<uint32_t>(p0);
    }
    result[0] = c0;
    result[1] = c1;
    result[2] = c2;
    result[3] = c3;
}

ZPRL_NOISE_INLINE float standard_normal_inline(uint64_t seed, uint32_t index) {
    const uint32_t counter[4] = {index / 4, 0, 0, 0};
    const uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    uint32_t words[4];
    philox4x32_inline(counter, key, words);
    // Words 0, 1 and 2, 3 give two normal numbers each.
    const bool second = index / 2 % 2 != 0;
    const uint32_t first_word = second ? words[2] : words[0], second_word = second ? words[3] : words[1];
    const float radius = sqrtf(-2.0f * logf((static_cast<float>(first_word >> 8) + 1.0f) * 0x1p-24f));
#if defined(__CUDA_ARCH__)
    // In half turns: the functions of radians bring code along, and local memory, for angles that none of these is.
    const float half_turns = static_cast<float>(second_word >> 8) * 0x1p-23f;
    return radius * cospif(index % 2 == 0 ? half_turns : half_turns - 0.5f);  // the sine is a quarter behind
#else
    const float angle = static_cast<float>(second_word >> 8) * (6.28318531f * 0x1p-24f);
    return radius * (index % 2 == 0 ? cosf(angle) : sinf(angle));
#endif
}

}  // namespace zprl
