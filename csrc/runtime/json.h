// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Reading of JSON (RFC 8259), as much as the contract of a bundle needs.

#pragma once

#include <string>
#include <utility>
#include <vector>

namespace zprl {

// A decoded value. Every question to it names its place in the document if the answer is not there or of another type,
// by throwing std::invalid_argument: "control.period is missing".
class Json {
 public:
    enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

    // Decode a whole document. Throws std::invalid_argument that says what is wrong and at which byte: a duplicate
    // name, more than one value, a nesting deeper than 64, a string that is not UTF-8, a number that a double cannot
    // hold.
    static Json parse(const std::string& text);

    Type type() const { return type_; }
    bool is_null() const { return type_ == Type::kNull; }

    const Json& at(const std::string& name) const;    // member of an object
    const Json* find(const std::string& name) const;  // or null
    const std::vector<Json>& items() const;           // of an array
    const std::vector<std::pair<std::string, Json>>& members() const;

    const std::string& string() const;
    double number() const;  // finite
    long long integer(long long low, long long high) const;
    std::vector<double> numbers(size_t count) const;  // an array of `count` numbers
    double number_or(double if_null) const;           // of a number or null

 private:
    class Parser;

    void require(Type type, const char* name) const;
    [[noreturn]] void fail(const std::string& what) const;
    void set_places(const std::string& place);

    Type type_ = Type::kNull;
    double number_ = 0.0;  // or 0 and 1 for a bool
    std::string string_;
    std::vector<Json> items_;
    std::vector<std::pair<std::string, Json>> members_;
    std::string place_;
};

}  // namespace zprl
