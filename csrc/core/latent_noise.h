// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Counter-based noise for sampled latents.

#pragma once

#include <cstdint>

namespace zprl {

// Number `index` of the standard normal numbers that belong to a seed. There is no state: a row draws the same numbers
// whichever rows are beside it, on every machine and thread (up to the last bit of logf and cosf).
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) with the seed as key and the
// index as counter, then the Box-Muller transform.
float standard_normal(uint64_t seed, uint32_t index);

// The four 32-bit words of Philox4x32-10, for tests against published values.
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t result[4]);

}  // namespace zprl
