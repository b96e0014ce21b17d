// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Reading of NumPy's .npz files, as numpy.savez writes them: a zip archive of .npy files without compression.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace zprl {

// An array of numbers, row-major.
struct NpyArray {
    std::string type;  // of its numbers, as NumPy writes it: "<f4", "|u1" ...
    std::vector<int64_t> shape;
    std::vector<char> bytes;

    // Integers and floats of any width as doubles. Throws std::invalid_argument for a 64-bit integer beyond 2^53.
    std::vector<double> numbers() const;
};

// Decode a .npy file: the value of an array. Throws std::invalid_argument with what is wrong.
NpyArray parse_npy(const char* data, size_t size);

// Decode an .npz file: its arrays by name. Arrays of strings or objects are left out. Throws std::invalid_argument,
// also where a name comes twice or arrays share bytes, as otherwise a small file could become a large one in memory.
std::map<std::string, NpyArray> parse_npz(const char* data, size_t size);

}  // namespace zprl
