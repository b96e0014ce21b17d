// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#pragma once

#include <pybind11/pybind11.h>

// Add the class RayCaster, over csrc/core/render, to the module.
void bind_ray_caster(pybind11::module_& m);
