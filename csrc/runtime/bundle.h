// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// An exported policy: the folder that scripts/export.py writes, and its contract.
//
// zprl/deploy/contract.py and contract_parts.py document every field of contract.json; here are those that a control
// loop needs. All functions below throw std::invalid_argument with one sentence, "zprl: ...", that names the file.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace zprl {

// A group of observations: a vector, or one image.
struct ObservationGroup {
    std::string name;
    std::string kind;   // "state", "image", or "privileged", which no robot measures: such a Bundle is refused
    std::string dtype;  // "float32", or "uint8" of an image
    std::vector<int64_t> shape{};  // of one observation; of an image of several control steps, these stand in front
    int start = 0;                 // of a vector: index of its first element in the state
    size_t bytes = 0;              // of one observation, row-major

    bool is_image() const { return kind == "image"; }
};

struct Contract {
    bool sealed = true;  // whether its text begins with its own checksum: all but version 1

    std::string task;
    bool steered = false;

    std::vector<ObservationGroup> groups;  // in the order in which the policy takes them
    std::vector<ObservationGroup> images;  // those that are images
    int obs_dim = 0;                       // of the state: all vectors side by side, in the order of the groups
    int action_dim = 0;
    int latent_dim = 0;                  // 0 without a latent
    int horizon = 0, execute_steps = 0;  // [control steps]
    double period = 0.0;                 // between two actions [s]

    // By element of the state, in its unit. Where training's range is unknown, it is infinite.
    std::vector<std::string> obs_names;
    std::vector<float> obs_low, obs_high;

    // By dimension of the action, in the unit of the action itself.
    std::vector<std::string> action_names;
    std::vector<float> action_low, action_high;  // infinite for none
    // From one control step to the next, in training; infinite if unknown. At least 1/40 of the limits' width.
    std::vector<float> max_change;
    std::vector<float> hold;  // the safe action; NaN repeats the value sent last

    std::vector<float> noise;  // start of the flow [horizon * action_dim], or empty for zero

    float residual_scale = 0.0f;                 // lambda; 0 without a latent
    std::vector<float> latent_mean, latent_std;  // over the observations of training

    struct File {
        std::string kind, precision, sha256;
        size_t size = 0;               // [bytes]
        std::vector<float> tolerance;  // of each action dimension against the recorded chunks; empty for none
    };
    std::map<std::string, File> files;  // by name

    int chunk_dim() const { return horizon * action_dim; }

    // Decode contract.json, but for its checksum. The message says what is missing or does not fit, without the file's
    // name.
    static Contract parse(const std::string& json);
};

class Bundle {
 public:
    // Read the contract, of version 2 or 1, and compare it with its own checksum. The other files are read, and
    // compared with their checksums, when they are asked for: a robot needs the contract and the one file that it runs.
    explicit Bundle(const std::string& folder);

    const std::string& folder() const { return folder_; }
    const Contract& contract() const { return contract_; }

    // Name of the file of a kind: "native", "torchscript", "golden" ...
    const std::string& file_of_kind(const std::string& kind) const;

    // A file's bytes, if they are those that the contract knows, neither truncated nor altered, and at most 1 GiB.
    std::vector<char> read(const std::string& name) const;

 private:
    std::string folder_;
    Contract contract_;
};

}  // namespace zprl
