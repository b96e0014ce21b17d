// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The one matrix product of the CPU path.

#pragma once

#include "policy_blob.h"

namespace zprl {

// Rows that share one pass over a tile of weights. Callers pad their rows to a multiple of it.
constexpr int kTileRows = 4;

// y[rows][out] = x[rows][in] * weight + bias. `rows` must be a multiple of kTileRows; x and y must not overlap.
void linear(const Linear& layer, const float* x, int rows, float* y);

}  // namespace zprl
