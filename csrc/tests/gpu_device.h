// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of gpu_driver: memory of the GPU, and the numbers that fill it.

#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace gpu_driver {

inline void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

// Device memory of exactly the given size; no memory at all for size 0.
class Buffer {
 public:
    explicit Buffer(size_t bytes) : bytes_(bytes) {
        if (bytes > 0) check(cudaMalloc(&pointer_, bytes), "allocating");
    }
    template <typename T>
    explicit Buffer(const std::vector<T>& values) : Buffer(values.size() * sizeof(T)) {
        check(cudaMemcpy(pointer_, values.data(), bytes_, cudaMemcpyHostToDevice), "copying to the GPU");
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { cudaFree(pointer_); }

    float* floats() const { return static_cast<float*>(pointer_); }
    void* get() const { return pointer_; }

    // As floats: NaN.
    void poison() const { check(cudaMemset(pointer_, 0xFF, bytes_), "filling memory"); }

    std::vector<float> read() const {
        std::vector<float> values(bytes_ / sizeof(float));
        check(cudaMemcpy(values.data(), pointer_, bytes_, cudaMemcpyDeviceToHost), "copying from the GPU");
        return values;
    }

 private:
    size_t bytes_;
    void* pointer_ = nullptr;
};

inline std::vector<float> numbers(int64_t count, uint64_t seed) {
    std::vector<float> values;
    values.reserve(static_cast<size_t>(count));
    uint64_t state = seed * 2654435761u + 1;
    for (int64_t i = 0; i < count; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values.push_back(static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-30f);  // within -2 and 2
    }
    return values;
}

}  // namespace gpu_driver
