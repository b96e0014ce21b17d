// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The kernels of a gradient step for one instruction set; CMakeLists.txt sets the compiler's flags for it.

#include "kernels_impl.h"

namespace zprl::learner {

const KernelSet kAvx2Kernels = {kernels_of<float>(), kernels_of<double>()};

}  // namespace zprl::learner
