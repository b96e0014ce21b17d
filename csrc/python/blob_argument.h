// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <vector>

#include "policy_blob.h"

// An aligned copy of a blob that Python handed in, which so stays as it was checked.
class AlignedBlob {
 public:
    explicit AlignedBlob(const pybind11::buffer& blob) {
        const pybind11::buffer_info info = blob.request();
        if (info.ndim != 1 || info.itemsize != 1 || (info.size > 1 && info.strides[0] != 1)) {
            throw pybind11::type_error("zprl: the blob must be bytes or a contiguous one-dimensional uint8 array.");
        }
        size_ = static_cast<size_t>(info.size);
        bytes_.resize(size_ + zprl::kAlignment);
        const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
        data_ = bytes_.data() + (zprl::kAlignment - address % zprl::kAlignment) % zprl::kAlignment;
        if (size_ > 0) std::memcpy(data_, info.ptr, size_);
    }
    AlignedBlob(const AlignedBlob&) = delete;
    AlignedBlob& operator=(const AlignedBlob&) = delete;

    const char* data() const { return data_; }
    size_t size() const { return size_; }

 private:
    std::vector<char> bytes_;
    char* data_ = nullptr;
    size_t size_ = 0;
};
