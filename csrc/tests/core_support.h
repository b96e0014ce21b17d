// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What the checks of the core share: refusals, random numbers, and memory whose ends are watched.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define ZPRL_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZPRL_ADDRESS_SANITIZER 1
#endif
#endif

// Of a reference: the sanitizers watch the core, and would only take time there.
#define ZPRL_NOT_WATCHED __attribute__((no_sanitize("address", "undefined")))

namespace core_check {

class CheckFailed : public std::exception {
 public:
    explicit CheckFailed(std::string text) : text_(std::move(text)) {}
    const char* what() const noexcept override { return text_.c_str(); }

 private:
    std::string text_;
};

__attribute__((format(printf, 1, 2))) inline std::string text(const char* format, ...) {
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    return buffer;
}

inline void require(bool condition, const std::string& what) {
    if (!condition) throw CheckFailed(what);
}

// SplitMix64 (Steele et al., OOPSLA 2014): the same numbers with every standard library.
class Random {
 public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t bits() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    size_t below(size_t count) { return static_cast<size_t>(bits() % count); }
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    float normal(double std) {
        const double radius = std::sqrt(-2.0 * std::log(uniform() + 0x1p-60));
        return static_cast<float>(std * radius * std::cos(6.283185307179586 * uniform()));
    }
    std::vector<float> normals(size_t count, double std) {
        std::vector<float> values(count);
        for (float& value : values) value = normal(std);
        return values;
    }

 private:
    uint64_t state_;
};

// One of several values.
template <typename T, size_t kCount>
T pick(const T (&values)[kCount], Random& random) {
    return values[random.below(kCount)];
}

// `count` numbers that begin `shift` bytes after an address that malloc returns and end with the allocation, or, where
// AddressSanitizer does not watch the end, with guard bytes. A shift of 4 leaves an alignment of 4.
template <typename T>
class Memory {
 public:
    explicit Memory(size_t count, size_t shift) : count_(count), shift_(shift) {
        bytes_ = static_cast<unsigned char*>(std::malloc(std::max<size_t>(total(), 1)));
        require(bytes_ != nullptr, "out of memory");
        std::memset(bytes_, kGuard, total());
    }
    Memory(const std::vector<T>& values, size_t shift) : Memory(values.size(), shift) {
        if (!values.empty()) std::memcpy(bytes_ + shift_, values.data(), values.size() * sizeof(T));
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { std::free(bytes_); }

    T* data() { return reinterpret_cast<T*>(bytes_ + shift_); }
    std::vector<T> values() const {
        std::vector<T> result(count_);
        if (count_ > 0) std::memcpy(result.data(), bytes_ + shift_, count_ * sizeof(T));
        return result;
    }
    void require_guards(const char* what) const {
        bool intact = true;
        for (size_t i = 0; i < shift_; ++i) intact = intact && bytes_[i] == kGuard;
        for (size_t i = shift_ + count_ * sizeof(T); i < total(); ++i) intact = intact && bytes_[i] == kGuard;
        require(intact, std::string("a write outside of ") + what);
    }

 private:
    static constexpr unsigned char kGuard = 0xFF;  // as floats and bf16: NaN, so that a read that matters shows as well
#if defined(ZPRL_ADDRESS_SANITIZER)
    static constexpr size_t kTail = 0;
#else
    static constexpr size_t kTail = 64;
#endif
    size_t total() const { return shift_ + count_ * sizeof(T) + kTail; }

    unsigned char* bytes_;
    size_t count_, shift_;
};

template <typename T>
bool same_bits(const T* a, const T* b, size_t count) {
    return count == 0 || std::memcmp(a, b, count * sizeof(T)) == 0;
}

}  // namespace core_check
