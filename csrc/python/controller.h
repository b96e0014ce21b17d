// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#pragma once

#include <pybind11/pybind11.h>

// Add the class ChunkController, csrc/runtime over NumPy arrays, to the module.
void bind_controller(pybind11::module_& m);
