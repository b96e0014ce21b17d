// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#pragma once

#include <pybind11/pybind11.h>

#include "blob_memory.h"

// A copy of a blob that Python handed in, which so stays as it was checked.
inline zprl::BlobMemory blob_argument(const pybind11::buffer& blob) {
    const pybind11::buffer_info info = blob.request();
    if (info.ndim != 1 || info.itemsize != 1 || (info.size > 1 && info.strides[0] != 1)) {
        throw pybind11::type_error("zprl: the blob must be bytes or a contiguous one-dimensional uint8 array.");
    }
    return {info.ptr, static_cast<size_t>(info.size)};
}
