// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// By what kernels that are compiled for several vector widths are chosen.

#pragma once

#include <string>

#include "policy_step.h"

namespace zprl {

// Vector width of the instruction set in use [bits]: 512, 256, or 0 of portable code. See cpu_level(), whose exception
// it throws.
inline int vector_bits() {
    const std::string level = cpu_level();
    if (level == "portable") return 0;
    return level == "avx2" ? 256 : 512;
}

}  // namespace zprl
