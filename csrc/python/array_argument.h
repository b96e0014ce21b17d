// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// NumPy arrays as arguments.

#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

inline std::string shape_text(const py::ssize_t* shape, size_t count) {
    std::string text = "(";
    for (size_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

// Check an argument and make it contiguous. A conversion of the dtype would hide a mistake, so there is none.
template <typename Number = float>
py::array_t<Number, py::array::c_style> checked(const py::array& array, const char* name, const Shape& shape,
                                                const char* dtype = "float32") {
    if (!py::isinstance<py::array_t<Number>>(array)) {
        throw py::type_error("zprl: " + std::string(name) + " must have the dtype " + dtype + ".");
    }
    const size_t dims = static_cast<size_t>(array.ndim());
    if (Shape(array.shape(), array.shape() + dims) != shape) {
        throw py::value_error("zprl: " + std::string(name) + " must have the shape " +
                              shape_text(shape.data(), shape.size()) + ", got " + shape_text(array.shape(), dims) +
                              ".");
    }
    return py::array_t<Number, py::array::c_style>::ensure(array);
}
