// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// How a batch is cut: the part of a policy step's tiling that depends on the policy's shape and on the machine. (The
// register tiles depend on the instruction set alone; see cpu/matmul.h.)

#pragma once

#include "policy_blob.h"

namespace zprl {

// Bytes of activations that one row needs at a time: those of the MLPs before the flow, or those of the flow.
size_t activation_bytes_per_row(const Policy& policy);

// Rows that go through the whole step together: as many as keep their activations in the level-2 cache, since every
// further row reuses the weights that stream by, but at most 96, beyond which they are not faster; and a multiple of
// 12, so that blocks hold whole register tiles (of 6 or 4 rows) on every instruction set. Results do not depend on it.
int plan_block_rows(const Policy& policy, size_t cache_bytes);

// Size of this machine's level-2 cache, or 1 MiB if it does not say.
size_t level2_cache_bytes();

}  // namespace zprl
