// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The ray caster's kernels for one instruction set; CMakeLists.txt sets the compiler's flags for it.

#include "kernels_impl.h"

namespace zprl::render {

const Kernels kAvx2Kernels = {draw};

}  // namespace zprl::render
