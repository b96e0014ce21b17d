// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// A copy of a policy blob in memory that is good to read from.

#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "policy_blob.h"

namespace zprl {

// Aligned as sections are and, if it is large, in large pages where the system has some to give: a step walks through
// all weights once per evaluation, and with pages of 4 KiB the processor looks up where each of them lies.
class BlobMemory {
 public:
    BlobMemory(const void* blob, size_t bytes) : bytes_(bytes) {
        constexpr size_t kLargePage = size_t{1} << 21;
        const size_t alignment = bytes >= kLargePage ? kLargePage : kAlignment;
        const size_t capacity = (bytes + alignment - 1) / alignment * alignment;
        data_.reset(static_cast<char*>(std::aligned_alloc(alignment, capacity > 0 ? capacity : alignment)));
        if (data_ == nullptr) throw std::bad_alloc();
#if defined(__linux__)
        if (alignment == kLargePage) madvise(data_.get(), capacity, MADV_HUGEPAGE);
#endif
        if (bytes > 0) std::memcpy(data_.get(), blob, bytes);
    }

    const char* data() const { return data_.get(); }
    size_t size() const { return bytes_; }

 private:
    struct Free {
        void operator()(char* memory) const { std::free(memory); }
    };

    std::unique_ptr<char, Free> data_;
    size_t bytes_;
};

}  // namespace zprl
