// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Formats: "numpy.lib.format" of NumPy's reference guide, and APPNOTE.TXT of the zip format with its 64-bit sizes,
// which numpy.savez always writes. Every offset is checked before it is followed.

#include "npz.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

namespace zprl {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

// Little-endian numbers of a piece of memory.
struct Bytes {
    const char* data;
    size_t size;

    template <typename T>
    T number(size_t at) const {
        if (at > size || size - at < sizeof(T)) fail("it is truncated");
        T value;
        std::memcpy(&value, data + at, sizeof(value));
        return value;
    }

    Bytes part(size_t at, size_t count) const {
        if (at > size || size - at < count) fail("it is truncated");
        return {data + at, count};
    }
};

// What stands after 'name': in the header of a .npy file, a Python dictionary that NumPy always writes alike.
std::string entry(const std::string& header, const std::string& name) {
    const size_t at = header.find("'" + name + "':");
    if (at == std::string::npos) fail("an array has no " + name);
    const size_t begin = header.find_first_not_of(' ', at + name.size() + 3);
    if (begin == std::string::npos) fail("an array has no " + name);
    const char open = header[begin];
    const size_t end = header.find(open == '(' ? ')' : open == '\'' ? '\'' : ',', begin + 1);
    if (end == std::string::npos) fail("an array has no " + name);
    return header.substr(begin, end - begin);
}

std::vector<int64_t> shape_of(const std::string& text) {
    std::vector<int64_t> shape;
    int64_t value = -1;
    for (const char c : text + ",") {
        if (c >= '0' && c <= '9') {
            value = (value < 0 ? 0 : value) * 10 + (c - '0');
            if (value > (int64_t{1} << 40)) fail("an array is too large");
        } else if (c == ',') {
            if (value >= 0) shape.push_back(value);
            value = -1;
        } else if (c != '(' && c != ' ') {
            fail("an array's shape is not one");
        }
    }
    if (shape.size() > 32) fail("an array's shape is not one");
    return shape;
}

template <typename T>
void append(const Bytes& bytes, size_t count, std::vector<double>& values) {
    for (size_t i = 0; i < count; ++i) {
        const auto value = bytes.number<T>(i * sizeof(T));
        if constexpr (sizeof(T) == 8 && std::is_integral_v<T>) {
            constexpr T kLimit = T{1} << 53;
            if (value > kLimit || (std::is_signed_v<T> && value < T{} - kLimit)) fail("a number is too large");
        }
        values.push_back(static_cast<double>(value));
    }
}

bool is_number(const std::string& type) {
    constexpr const char* kTypes[] = {"'|b1", "'|u1", "'|i1", "'<u2", "'<i2", "'<u4",
                                      "'<i4", "'<u8", "'<i8", "'<f4", "'<f8"};
    for (const char* known : kTypes) {
        if (type == known) return true;
    }
    return false;
}

struct Npy {
    std::string type;
    std::vector<int64_t> shape;
    bool column_major;
    Bytes values;
};

Npy open_npy(const Bytes& file) {
    if (file.size < 10 || std::memcmp(file.data, "\x93NUMPY", 6) != 0) fail("an array does not begin as one");
    const int version = file.data[6];
    if (version < 1 || version > 3) fail("an array is of an unknown version");
    const size_t begin = version == 1 ? 10 : 12;
    const size_t length = version == 1 ? file.number<uint16_t>(8) : file.number<uint32_t>(8);
    const Bytes text = file.part(begin, length);
    const std::string header(text.data, text.size);
    return {entry(header, "descr"), shape_of(entry(header, "shape")), entry(header, "fortran_order") == "True",
            file.part(begin + length, file.size - begin - length)};
}

NpyArray array_of(const Npy& npy) {
    if (npy.column_major && npy.shape.size() > 1) fail("an array is stored by columns");
    if (!is_number(npy.type)) fail("an array's type " + npy.type.substr(0, 20) + "' is not one of numbers");
    const size_t width = static_cast<size_t>(npy.type.back() - '0');
    size_t count = 1;
    for (const int64_t size : npy.shape) {
        if (size > 0 && count > npy.values.size / static_cast<size_t>(size)) fail("it is truncated");
        count *= static_cast<size_t>(size);
    }
    if (count != npy.values.size / width || npy.values.size % width != 0)
        fail("an array has another size than its shape");
    return {npy.type.substr(1), npy.shape, {npy.values.data, npy.values.data + npy.values.size}};
}

}  // namespace

std::vector<double> NpyArray::numbers() const {
    const Bytes all{bytes.data(), bytes.size()};
    const size_t count = bytes.size() / static_cast<size_t>(type.back() - '0');
    std::vector<double> values;
    values.reserve(count);
    const std::string kind = type.substr(1);
    if (kind == "f4") append<float>(all, count, values);
    if (kind == "f8") append<double>(all, count, values);
    if (kind == "i1") append<int8_t>(all, count, values);
    if (kind == "i2") append<int16_t>(all, count, values);
    if (kind == "i4") append<int32_t>(all, count, values);
    if (kind == "i8") append<int64_t>(all, count, values);
    if (kind == "u1" || kind == "b1") append<uint8_t>(all, count, values);
    if (kind == "u2") append<uint16_t>(all, count, values);
    if (kind == "u4") append<uint32_t>(all, count, values);
    if (kind == "u8") append<uint64_t>(all, count, values);
    return values;
}

NpyArray parse_npy(const char* data, size_t size) { return array_of(open_npy({data, size})); }

std::map<std::string, NpyArray> parse_npz(const char* data, size_t size) {
    constexpr uint32_t kEnd = 0x06054b50, kDirectory = 0x02014b50, kLocal = 0x04034b50;
    constexpr uint32_t kIn64 = 0xFFFFFFFF;
    constexpr size_t kEndSize = 22, kDirectorySize = 46, kLocalSize = 30;
    const Bytes file{data, size};
    // numpy.savez writes no comment: the end record is the file's last 22 bytes.
    if (size < kEndSize || file.number<uint32_t>(size - kEndSize) != kEnd) fail("it is no zip archive, or truncated");
    const size_t entries = file.number<uint16_t>(size - kEndSize + 10);
    size_t at = file.number<uint32_t>(size - kEndSize + 16);

    std::map<std::string, NpyArray> arrays;
    size_t left = size;  // [bytes] that no array has taken yet
    for (size_t i = 0; i < entries; ++i) {
        if (file.number<uint32_t>(at) != kDirectory) fail("its directory is damaged");
        if (file.number<uint16_t>(at + 10) != 0) fail("it is compressed; write it with numpy.savez");
        const uint32_t stored = file.number<uint32_t>(at + 24), local = file.number<uint32_t>(at + 42);
        if (stored == kIn64 || local == kIn64) fail("it is larger than 4 GiB");
        const size_t name_size = file.number<uint16_t>(at + 28);
        const Bytes name_bytes = file.part(at + kDirectorySize, name_size);
        std::string name(name_bytes.data, name_bytes.size);
        at += kDirectorySize + name_size + file.number<uint16_t>(at + 30) + file.number<uint16_t>(at + 32);

        if (file.number<uint32_t>(local) != kLocal) fail("its directory is damaged");
        const size_t begin =
            local + kLocalSize + file.number<uint16_t>(size_t{local} + 26) + file.number<uint16_t>(size_t{local} + 28);
        if (stored > left) fail("its arrays share bytes");
        left -= stored;
        const std::string suffix = ".npy";
        if (name.size() < suffix.size() || name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0)
            continue;
        const Npy npy = open_npy(file.part(begin, stored));
        if (!is_number(npy.type)) continue;
        name.resize(name.size() - suffix.size());
        if (!arrays.emplace(name, array_of(npy)).second) fail("an array comes twice");
    }
    return arrays;
}

}  // namespace zprl
