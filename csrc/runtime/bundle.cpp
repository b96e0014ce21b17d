// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <stdexcept>
#include <utility>

#include "json.h"
#include "sha256.h"

namespace zprl {
namespace {

constexpr const char* kContractFile = "contract.json";
constexpr const char* kFormat = "zprl-bundle";
constexpr int kVersion = 2;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr long long kMaxDims = 1 << 16, kMaxHorizon = 1 << 12;                           // far above any policy
constexpr size_t kMaxContractBytes = size_t{16} << 20, kMaxFileBytes = size_t{1} << 30;  // likewise
constexpr size_t kMaxImageBytes = size_t{256} << 20;  // of all images of an observation together, likewise

// Least max_change, of the width of the action's limits: with the default rate_margin an action gets everywhere within
// kCatchUpSteps, however little it moved in training. zprl/deploy/describe.py exports no less.
constexpr double kMinChange = 0.025;

[[noreturn]] void fail(const std::string& sentence) { throw std::invalid_argument("zprl: " + sentence); }

// A file's bytes, or a sentence. Its type and size are looked at before a byte is read or memory taken.
class File {
 public:
    File(const std::string& path, const std::string& what)
        // A pipe without a writer would wait for one.
        : name_(path + ", " + what + ","), descriptor_{open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)} {
        struct stat info;
        if (descriptor_.number < 0 || fstat(descriptor_.number, &info) != 0) {
            fail(name_ + " cannot be read (" + std::strerror(errno) + "); copy the bundle again.");
        }
        if (!S_ISREG(info.st_mode)) fail(name_ + " is not a file; copy the bundle again.");
        size_ = static_cast<size_t>(info.st_size);
    }

    size_t size() const { return size_; }

    std::vector<char> read(size_t limit) const {
        if (size_ > limit) {
            fail(name_ + " has " + std::to_string(size_) + " bytes, and at most " + std::to_string(limit) +
                 " are read; export the policy again.");
        }
        std::vector<char> bytes(size_);
        for (size_t done = 0; done < size_;) {
            const ssize_t count = ::read(descriptor_.number, bytes.data() + done, size_ - done);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) fail(name_ + " cannot be read to its end; copy the bundle again.");
            done += static_cast<size_t>(count);
        }
        return bytes;
    }

 private:
    struct Descriptor {
        const int number;
        ~Descriptor() {
            if (number >= 0) close(number);
        }
    };

    const std::string name_;
    const Descriptor descriptor_;
    size_t size_ = 0;
};

// A contract begins with the SHA-256 of its own text, made with zeros in its place; zprl/deploy/contract.py writes it.
void require_seal(std::string text, const std::string& path) {
    const std::string opening = "{\n  \"sha256\": \"";
    constexpr size_t kDigits = 64;
    if (text.size() < opening.size() + kDigits || text.compare(0, opening.size(), opening) != 0) {
        fail("the contract " + path + " does not begin with its checksum; export the policy again.");
    }
    const std::string digits = text.substr(opening.size(), kDigits);
    text.replace(opening.size(), kDigits, kDigits, '0');
    if (sha256(text.data(), text.size()) != digits) {
        fail("the contract " + path + " was altered: its checksum does not match; copy the bundle again.");
    }
}

// Numbers of a list, or of a list of `count` copies if there is null instead.
std::vector<float> numbers_or(const Json& list, size_t count, float if_null) {
    if (list.is_null()) return std::vector<float>(count, if_null);
    std::vector<float> values;
    for (const Json& item : list.items(count)) values.push_back(item.single());
    return values;
}

float single_or(const Json& value, float if_null) { return value.is_null() ? if_null : value.single(); }

void append(std::vector<float>& to, const std::vector<float>& values) {
    to.insert(to.end(), values.begin(), values.end());
}

// The features of a vector of `width` numbers, which is appended to the state.
void read_vector(const Json& features, long long width, Contract& c) {
    if (c.obs_dim + width > kMaxDims) {
        throw std::invalid_argument("its observation groups have more than " + std::to_string(kMaxDims) + " elements");
    }
    long long next = 0;
    for (const Json& term : features.items()) {
        const std::string& name = term.at("name").string();
        const long long start = term.at("start").integer(0, kMaxDims), size = term.at("size").integer(1, kMaxDims);
        if (start != next || next + size > width) {
            throw std::invalid_argument("observation term " + name + " does not begin where the one before it ends");
        }
        next += size;
        append(c.obs_low, numbers_or(term.at("minimum"), size, -kInfinity));
        append(c.obs_high, numbers_or(term.at("maximum"), size, kInfinity));
        for (long long i = 0; i < size; ++i) c.obs_names.push_back(name + "[" + std::to_string(i) + "]");
    }
    if (next != width) {
        throw std::invalid_argument("its observation terms have " + std::to_string(next) + " elements instead of " +
                                    std::to_string(width));
    }
    c.obs_dim += static_cast<int>(width);
}

void add_vector(ObservationGroup group, const Json& features, long long width, Contract& c) {
    group.start = c.obs_dim;
    group.shape = {width};
    group.bytes = sizeof(float) * static_cast<size_t>(width);
    read_vector(features, width, c);
    c.groups.push_back(std::move(group));
}

void add_image(ObservationGroup group, long long history, const std::vector<Json>& shape, Contract& c) {
    if (history > 1) group.shape.push_back(history);
    for (const Json& size : shape) group.shape.push_back(size.integer(1, kMaxDims));
    size_t all = 0;
    for (const ObservationGroup& image : c.images) all += image.bytes;
    group.bytes = group.dtype == "uint8" ? 1 : sizeof(float);
    for (const int64_t size : group.shape) {
        if (group.bytes > (kMaxImageBytes - all) / static_cast<size_t>(size)) {
            throw std::invalid_argument("its images have more than " + std::to_string(kMaxImageBytes) + " bytes");
        }
        group.bytes *= static_cast<size_t>(size);
    }
    c.images.push_back(group);
    c.groups.push_back(std::move(group));
}

// Version 1 has one vector, without a name.
void read_observation_of_version_1(const Json& observation, Contract& c) {
    const long long width = observation.at("size").integer(1, kMaxDims);
    add_vector({"policy", "state", "float32"}, observation.at("terms"), width, c);
}

void read_observation(const Json& observation, Contract& c) {
    const std::vector<Json>& groups = observation.at("groups").items();
    if (groups.empty()) throw std::invalid_argument("observation.groups is empty");
    std::set<std::string> names;
    for (const Json& json : groups) {
        ObservationGroup group{json.at("name").string(), json.at("kind").string(), json.at("dtype").string()};
        const std::string place = "observation group " + group.name;
        if (group.kind != "state" && group.kind != "privileged" && !group.is_image()) {
            throw std::invalid_argument(place + " is of kind '" + group.kind +
                                        "', not one of state, image, privileged");
        }
        if (group.dtype != "float32" && !(group.is_image() && group.dtype == "uint8")) {
            throw std::invalid_argument(place + " has the dtype '" + group.dtype + "'");
        }
        if (!names.insert(group.name).second) throw std::invalid_argument(place + " comes twice");
        const long long history = json.at("history").integer(1, kMaxDims);
        const std::vector<Json>& shape = json.at("shape").items();
        for (const Json& size : shape) size.integer(1, kMaxDims);
        if (group.is_image()) {
            if (shape.size() != 3) throw std::invalid_argument(place + " has not the shape of an image");
            add_image(std::move(group), history, shape, c);
        } else {
            if (shape.size() != 1) throw std::invalid_argument(place + " has not the shape of a vector");
            add_vector(std::move(group), json.at("features"), shape[0].integer(1, kMaxDims), c);
        }
    }
}

void read_action(const Json& action, Contract& c) {
    for (const Json& dimension : action.items()) {
        const std::string& name = dimension.at("name").string();
        const float low = single_or(dimension.at("low"), -kInfinity), high = single_or(dimension.at("high"), kInfinity);
        const float change = single_or(dimension.at("max_change"), kInfinity);
        if (!(low < high))
            throw std::invalid_argument("action " + name + " has a lower limit that is not below the upper");
        if (!(change >= 0.0f)) throw std::invalid_argument("action " + name + " has a negative max_change");
        const float width = high - low;
        c.action_names.push_back(name);
        c.action_low.push_back(low);
        c.action_high.push_back(high);
        c.max_change.push_back(std::isfinite(width) ? std::max(change, static_cast<float>(kMinChange * width))
                                                    : change);
        c.hold.push_back(single_or(dimension.at("hold"), kNan));
    }
    if (c.action_names.empty() || c.action_names.size() > static_cast<size_t>(kMaxDims)) {
        throw std::invalid_argument("action is empty or too long");
    }
    c.action_dim = static_cast<int>(c.action_names.size());
}

void read_control(const Json& control, Contract& c) {
    c.period = control.at("period").number();
    if (!(c.period > 0.0)) throw std::invalid_argument("control.period is not positive");
    c.horizon = static_cast<int>(control.at("horizon").integer(1, kMaxHorizon));
    c.execute_steps = static_cast<int>(control.at("execute_steps").integer(1, c.horizon));
    const Json& noise = control.at("initial_noise");
    const std::string& rule = noise.at("rule").string();
    if (rule == "fixed") {
        for (const Json& row : noise.at("values").items(c.horizon))
            append(c.noise, numbers_or(row, c.action_dim, kNan));
    } else if (rule != "zero") {
        throw std::invalid_argument("control.initial_noise.rule is '" + rule + "', neither zero nor fixed");
    }
}

void read_latent(const Json& latent, Contract& c) {
    if (latent.is_null()) return;
    c.latent_dim = static_cast<int>(latent.at("size").integer(1, kMaxDims));
    c.residual_scale = latent.at("residual_scale").single();
    c.latent_mean = numbers_or(latent.at("mean"), c.latent_dim, kNan);
    c.latent_std = numbers_or(latent.at("std"), c.latent_dim, kNan);
    for (const float std : c.latent_std) {
        if (!(std > 0.0f)) throw std::invalid_argument("latent.std is not positive");
    }
}

void read_files(const Json& files, Contract& c) {
    for (const auto& [name, entry] : files.members()) {
        // Only files beside the contract: a name must not lead elsewhere.
        if (name.empty() || name[0] == '.' || name.find_first_of("/\\") != std::string::npos ||
            name.find('\0') != std::string::npos || name == kContractFile) {
            throw std::invalid_argument("files names '" + name.substr(0, 40) +
                                        "', which is no file beside the contract");
        }
        Contract::File file;
        file.kind = entry.at("kind").string();
        file.precision = entry.at("precision").string();
        file.sha256 = entry.at("sha256").string();
        file.size = static_cast<size_t>(entry.at("size").integer(0, 1LL << 40));
        const Json& tolerance = entry.at("tolerance");
        if (!tolerance.is_null()) file.tolerance = numbers_or(tolerance, c.action_dim, kNan);
        c.files.emplace(name, std::move(file));
    }
}

}  // namespace

Contract Contract::parse(const std::string& text) {
    const Json json = Json::parse(text);
    Contract c;
    if (json.at("format").string() != kFormat) throw std::invalid_argument("its format is not " + std::string(kFormat));
    const double version = json.at("version").number();
    if (version != 1 && version != kVersion) {
        throw std::invalid_argument("its version is not 1 or " + std::to_string(kVersion) +
                                    ", which this library reads");
    }
    c.sealed = version != 1 || json.find("sha256") != nullptr;
    c.task = json.at("task").string();
    const std::string& policy = json.at("policy").string();
    c.steered = policy == "steered";
    if (!c.steered && policy != "base")
        throw std::invalid_argument("policy is '" + policy + "', neither steered nor base");
    (version == 1 ? read_observation_of_version_1 : read_observation)(json.at("observation"), c);
    read_action(json.at("action"), c);
    read_control(json.at("control"), c);
    read_latent(json.at("latent"), c);
    read_files(json.at("files"), c);
    return c;
}

Bundle::Bundle(const std::string& folder) : folder_(folder) {
    struct stat info;
    if (stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
        fail("there is no bundle " + folder + "; give a folder that scripts/export.py wrote.");
    }
    const std::string path = folder + "/" + kContractFile;
    const std::vector<char> bytes = File(path, "the contract of the bundle").read(kMaxContractBytes);
    try {
        contract_ = Contract::parse({bytes.begin(), bytes.end()});
    } catch (const std::invalid_argument& error) {
        fail(path + " is not a valid contract: " + error.what() + "; export the policy again.");
    }
    if (contract_.sealed) require_seal({bytes.begin(), bytes.end()}, path);
    for (const ObservationGroup& group : contract_.groups) {
        if (group.kind != "privileged") continue;
        fail("the policy of the bundle " + folder + " reads the observation group " + group.name +
             " (privileged), which no robot measures; run it in Python.");
    }
}

const std::string& Bundle::file_of_kind(const std::string& kind) const {
    for (const auto& [name, file] : contract_.files) {
        if (file.kind == kind) return name;
    }
    const std::string how = kind == "portable" ? " with --portable" : " with it";
    fail("the bundle " + folder_ + " holds no file of the kind " + kind + "; export the policy again" + how + ".");
}

std::vector<char> Bundle::read(const std::string& name) const {
    const auto found = contract_.files.find(name);
    if (found == contract_.files.end()) fail("the contract of the bundle " + folder_ + " knows no file " + name + ".");
    const std::string path = folder_ + "/" + name;
    const File file(path, "a file of the bundle");
    if (file.size() != found->second.size) {
        fail(path + " has " + std::to_string(file.size()) + " bytes instead of " + std::to_string(found->second.size) +
             "; copy the bundle again.");
    }
    std::vector<char> bytes = file.read(kMaxFileBytes);
    if (sha256(bytes.data(), bytes.size()) != found->second.sha256) {
        fail(path + " was altered: its checksum is not the contract's; copy the bundle again.");
    }
    return bytes;
}

}  // namespace zprl
