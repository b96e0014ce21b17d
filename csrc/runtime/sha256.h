// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// SHA-256 (FIPS 180-4), for the checksums of a bundle's files.

#pragma once

#include <cstddef>
#include <string>

namespace zprl {

// The checksum of `size` bytes in lower-case hexadecimal digits.
std::string sha256(const void* data, size_t size);

}  // namespace zprl
