// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#pragma once

#include <pybind11/pybind11.h>

// Add the function estimate_cuda, the GPU's planner and its cost model (csrc/core/cuda/cost_model.h), to the module. It
// needs neither a GPU nor CUDA's libraries.
void bind_cuda_estimate(pybind11::module_& m);
