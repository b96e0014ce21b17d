// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step for one instruction set; CMakeLists.txt sets the compiler's flags for it.

#include "step_impl.h"

namespace zprl {

const StepFunctions kAmxStep = {"amx", functions_of<Fp32>(), functions_of<AmxBf16>(), &stream_of};

}  // namespace zprl
