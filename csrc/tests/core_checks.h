// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The checks that core_check runs. Each throws CheckFailed, or prints one line and returns the exit status.

#pragma once

#include <cstdint>

namespace core_check {

void check_activations();
int check_shapes();
int fuzz(uint64_t seed, long count);

}  // namespace core_check
