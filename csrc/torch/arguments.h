// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Checks of operator arguments, the same on CPU and GPU: each mistake ends in a sentence that names the argument.

#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace zprl::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

[[noreturn]] inline void fail(const std::string& sentence) { throw std::invalid_argument("zprl: " + sentence); }

inline std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

// Refuse None, which Python may pass for a tensor, before anything asks it a question.
inline void require_tensor(const Tensor& tensor, const char* name) {
    if (!tensor.defined()) fail(std::string(name) + " must be a tensor, not None.");
}

inline int64_t num_rows(const Tensor& tensor, const char* name) {
    require_tensor(tensor, name);
    if (tensor.dim() != 2) {
        fail(std::string(name) + " must have two dimensions, got " + std::to_string(tensor.dim()) + ".");
    }
    return tensor.size(0);
}

// Where a call runs: where its blob lies. All of its tensors must lie there.
class Place {
 public:
    // The CPU.
    Place() = default;

    explicit Place(const Tensor& blob) {
        require_tensor(blob, "blob");
        if (blob.is_cuda()) {
            cuda_index_ = blob.get_device_index();
        } else if (!blob.is_cpu()) {
            fail("blob must be on the CPU or on a CUDA device.");
        }
    }

    bool is_cuda() const { return cuda_index_ >= 0; }
    int32_t cuda_index() const { return cuda_index_; }

    void require(const Tensor& tensor, const char* name) const {
        const bool same = is_cuda() ? tensor.is_cuda() && tensor.get_device_index() == cuda_index_ : tensor.is_cpu();
        if (same) return;
        const std::string place = is_cuda() ? "cuda:" + std::to_string(cuda_index_) : "the CPU";
        fail(std::string(name) + " must be on " + place + ", where the blob is.");
    }

 private:
    int32_t cuda_index_ = -1;
};

// Check an argument and make it contiguous.
inline Tensor checked(const Place& place, const Tensor& tensor, const char* name, ScalarType dtype,
                      const char* dtype_name, const std::vector<int64_t>& shape) {
    require_tensor(tensor, name);
    place.require(tensor, name);
    if (tensor.scalar_type() != dtype) fail(std::string(name) + " must have the dtype " + dtype_name + ".");
    std::vector<int64_t> actual;
    for (int64_t i = 0; i < tensor.dim(); ++i) actual.push_back(tensor.size(i));
    if (actual != shape)
        fail(std::string(name) + " must have the shape " + shape_text(shape) + ", got " + shape_text(actual) + ".");
    try {
        return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
    } catch (const std::exception&) {  // such as a sparse tensor; the stable ABI has no question for it
        fail(std::string(name) + " must be a dense tensor.");
    }
}

inline Tensor checked_float(const Place& place, const Tensor& tensor, const char* name,
                            const std::vector<int64_t>& shape) {
    return checked(place, tensor, name, ScalarType::Float, "float32", shape);
}

inline Tensor checked_blob(const Place& place, const Tensor& blob) {
    return checked(place, blob, "blob", ScalarType::Byte, "uint8", {blob.numel()});
}

inline const float* data(const Tensor& tensor) { return static_cast<const float*>(tensor.const_data_ptr()); }

inline float* mutable_data(const Tensor& tensor) { return static_cast<float*>(tensor.mutable_data_ptr()); }

}  // namespace zprl::ops
