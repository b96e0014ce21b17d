// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Reading of JSON (RFC 8259), as much as the contract of a bundle needs.

#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace zprl {

// A decoded value. Every question to it names its place in the document if the answer is not there or of another type,
// by throwing std::invalid_argument: "control.period is missing". It cannot be copied, as its values know their places.
class Json {
 public:
    enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

    // Decode a whole document. Throws std::invalid_argument that says what is wrong and at which byte: a duplicate
    // name, more than one value, a nesting deeper than 64, more than a million values, a string that is not UTF-8, a
    // number that a double cannot hold.
    static Json parse(const std::string& text);

    Json(Json&&) = default;
    Json& operator=(Json&&) = default;

    Type type() const { return type_; }
    bool is_null() const { return type_ == Type::kNull; }

    const Json& at(const std::string& name) const;       // member of an object
    const Json* find(const std::string& name) const;     // or null
    const std::vector<Json>& items() const;              // of an array
    const std::vector<Json>& items(size_t count) const;  // of one with so many
    const std::vector<std::pair<std::string, Json>>& members() const;

    const std::string& string() const;  // of at most 256 bytes
    double number() const;              // finite
    float single() const;               // likewise in single precision
    long long integer(long long low, long long high) const;

 private:
    class Parser;

    Json() = default;
    void require(Type type, const char* name) const;
    [[noreturn]] void fail(const std::string& what) const;
    void link();
    std::string place() const;

    Type type_ = Type::kNull;
    double number_ = 0.0;  // or 0 and 1 for a bool
    std::string string_;
    std::vector<Json> items_;
    std::vector<std::pair<std::string, Json>> members_;

    // Its place, for messages: the value that holds it, null for the document and what lies at its top; and its name
    // there, or its number.
    const Json* holder_ = nullptr;
    const std::string* name_ = nullptr;
    size_t index_ = kNoIndex;
    static constexpr size_t kNoIndex = static_cast<size_t>(-1);
};

}  // namespace zprl
