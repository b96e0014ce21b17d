// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// For programs that show that a loop does not allocate: link count_allocations.cpp into them.

#pragma once

#include <cstdint>

namespace zprl {

// Allocations of all threads of this process so far: malloc and its kin, and with it operator new. Where a sanitizer
// has malloc to itself, operator new alone.
int64_t count_allocations();

}  // namespace zprl
