// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "json.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <unordered_set>

namespace zprl {
namespace {

constexpr size_t kMaxString = 256;  // [bytes]

// As much of a text as a message needs.
std::string shortened(const std::string& text) {
    constexpr size_t kLength = 40;
    return text.size() <= kLength ? text : text.substr(0, kLength) + "...";
}

}  // namespace

class Json::Parser {
 public:
    explicit Parser(const std::string& text) : text_(text) {}

    Json document() {
        Json value = any(0);
        skip_space();
        if (at_ != text_.size()) fail("something follows the document");
        return value;
    }

 private:
    static constexpr int kMaxDepth = 64;
    static constexpr size_t kMaxValues = 1 << 20;

    [[noreturn]] void fail(const std::string& what) const {
        throw std::invalid_argument("it is not JSON: " + what + " at byte " + std::to_string(at_));
    }

    void skip_space() {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
            ++at_;
        }
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool take(char c) {
        if (peek() != c || at_ == text_.size()) return false;
        ++at_;
        return true;
    }

    bool take_word(const char* word) {
        const std::string wanted(word);
        if (text_.compare(at_, wanted.size(), wanted) != 0) return false;
        at_ += wanted.size();
        return true;
    }

    Json any(int depth) {
        if (depth > kMaxDepth) fail("it is nested too deeply");
        if (++values_ > kMaxValues) fail("it holds too many values");
        skip_space();
        Json value;
        if (peek() == '{') {
            object(value, depth);
        } else if (peek() == '[') {
            array(value, depth);
        } else if (peek() == '"') {
            value.type_ = Type::kString;
            value.string_ = string();
        } else if (take_word("null")) {
            value.type_ = Type::kNull;
        } else if (take_word("true")) {
            value.type_ = Type::kBool;
            value.number_ = 1.0;
        } else if (take_word("false")) {
            value.type_ = Type::kBool;
        } else {
            value.type_ = Type::kNumber;
            value.number_ = number();
        }
        return value;
    }

    void object(Json& value, int depth) {
        value.type_ = Type::kObject;
        take('{');
        skip_space();
        if (take('}')) return;
        std::unordered_set<std::string> names;
        do {
            skip_space();
            if (peek() != '"') fail("a name is expected");
            const std::string name = string();
            if (!names.insert(name).second) fail("the name \"" + shortened(name) + "\" comes twice");
            skip_space();
            if (!take(':')) fail("a colon is expected");
            value.members_.emplace_back(name, any(depth + 1));
            skip_space();
        } while (take(','));
        if (!take('}')) fail("a comma or the end of an object is expected");
    }

    void array(Json& value, int depth) {
        value.type_ = Type::kArray;
        take('[');
        skip_space();
        if (take(']')) return;
        do {
            value.items_.push_back(any(depth + 1));
            skip_space();
        } while (take(','));
        if (!take(']')) fail("a comma or the end of an array is expected");
    }

    bool digits() {
        const size_t begin = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ > begin;
    }

    double number() {
        const size_t begin = at_;
        take('-');
        if (!take('0') && !digits()) fail("a value is expected");
        if (take('.') && !digits()) fail("a digit is expected");
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            if (!digits()) fail("a digit is expected");
        }
        // Not strtod: its decimal point depends on the program's locale.
        std::istringstream stream(text_.substr(begin, at_ - begin));
        stream.imbue(std::locale::classic());
        double value = 0.0;
        stream >> value;
        if (stream.fail() || !std::isfinite(value)) fail("a number is too large");
        return value;
    }

    unsigned hex4() {
        unsigned value = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) fail("four hexadecimal digits are expected");
            value = 16 * value + static_cast<unsigned>(digit);
        }
        return value;
    }

    void append_utf8(std::string& to, unsigned code) {
        if (code < 0x80) {
            to += static_cast<char>(code);
            return;
        }
        const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        constexpr unsigned kFirst[] = {0, 0xC0, 0xE0, 0xF0};
        to += static_cast<char>(kFirst[more] | (code >> (6 * more)));
        for (int i = more - 1; i >= 0; --i) to += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
    }

    void escape(std::string& to) {
        constexpr char kNames[] = "\"\\/bfnrt", kValues[] = "\"\\/\b\f\n\r\t";
        for (int i = 0; kNames[i] != '\0'; ++i) {
            if (take(kNames[i])) {
                to += kValues[i];
                return;
            }
        }
        if (!take('u')) fail("an unknown escape");
        unsigned code = hex4();
        if (code >= 0xD800 && code < 0xDC00 && take_word("\\u")) {
            const unsigned low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) fail("half a character");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xD800 && code <= 0xDFFF) {
            fail("half a character");
        }
        append_utf8(to, code);
    }

    // Copy one character of two to four bytes.
    void multibyte(std::string& to) {
        const auto byte = [&](size_t i) {
            return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0u;
        };
        const unsigned first = byte(0);
        const size_t more = first >= 0xC2 && first < 0xE0 ? 1 : first >= 0xE0 && first < 0xF0 ? 2 : 3;
        if (first < 0xC2 || first > 0xF4) fail("a string is not UTF-8");
        for (size_t i = 1; i <= more; ++i) {
            if ((byte(i) & 0xC0) != 0x80) fail("a string is not UTF-8");
        }
        to.append(text_, at_, more + 1);
        at_ += more + 1;
    }

    std::string string() {
        std::string result;
        take('"');
        while (!take('"')) {
            if (at_ == text_.size()) fail("a string does not end");
            const auto c = static_cast<unsigned char>(text_[at_]);
            if (c < 0x20) fail("a control character in a string");
            if (take('\\')) {
                escape(result);
            } else if (c < 0x80) {
                result += text_[at_++];
            } else {
                multibyte(result);
            }
        }
        return result;
    }

    const std::string& text_;
    size_t at_ = 0, values_ = 0;
};

Json Json::parse(const std::string& text) {
    Json value = Parser(text).document();
    value.link();
    return value;
}

// Tell what this value holds where it is. The document itself moves on, what it holds stays.
void Json::link() {
    const bool is_document = name_ == nullptr && index_ == kNoIndex;
    const Json* holder = is_document ? nullptr : this;
    for (auto& [name, value] : members_) {
        value.holder_ = holder;
        value.name_ = &name;
        value.link();
    }
    for (size_t i = 0; i < items_.size(); ++i) {
        items_[i].holder_ = holder;
        items_[i].index_ = i;
        items_[i].link();
    }
}

std::string Json::place() const {
    const std::string before = holder_ == nullptr ? "" : holder_->place();
    if (index_ != kNoIndex) return before + "[" + std::to_string(index_) + "]";
    if (name_ == nullptr) return before;
    return (before.empty() ? "" : before + ".") + shortened(*name_);
}

void Json::fail(const std::string& what) const {
    const std::string at = place();
    throw std::invalid_argument((at.empty() ? "the document" : at) + " " + what);
}

void Json::require(Type type, const char* name) const {
    if (type_ != type) fail(std::string("is not ") + name);
}

const Json* Json::find(const std::string& name) const {
    for (const auto& member : members_) {
        if (member.first == name) return &member.second;
    }
    return nullptr;
}

const Json& Json::at(const std::string& name) const {
    require(Type::kObject, "an object");
    const Json* value = find(name);
    if (value == nullptr) {
        const std::string here = place();
        throw std::invalid_argument((here.empty() ? "" : here + ".") + name + " is missing");
    }
    return *value;
}

const std::vector<Json>& Json::items() const {
    require(Type::kArray, "an array");
    return items_;
}

const std::vector<Json>& Json::items(size_t count) const {
    if (items().size() != count)
        fail("has " + std::to_string(items_.size()) + " values instead of " + std::to_string(count));
    return items_;
}

const std::vector<std::pair<std::string, Json>>& Json::members() const {
    require(Type::kObject, "an object");
    return members_;
}

const std::string& Json::string() const {
    require(Type::kString, "a string");
    if (string_.size() > kMaxString) fail("is longer than " + std::to_string(kMaxString) + " bytes");
    return string_;
}

double Json::number() const {
    require(Type::kNumber, "a number");
    return number_;
}

float Json::single() const {
    const double value = number();
    if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max()))) fail("is too large");
    return static_cast<float>(value);
}

long long Json::integer(long long low, long long high) const {
    const double value = number();
    if (value != std::floor(value) || value < static_cast<double>(low) || value > static_cast<double>(high)) {
        fail("is not a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<long long>(value);
}

}  // namespace zprl
