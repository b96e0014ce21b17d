// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What the parts of runtime_check share.

#pragma once

#include <semaphore.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "chunk_controller.h"

namespace zprl {

class CheckFailed : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool condition, const std::string& what) {
    if (!condition) throw CheckFailed(what);
}

// One observation, one action, H = 8, Ta = 4, no limits; a hold repeats the last action.
inline Contract small_contract() {
    Contract c;
    c.obs_dim = c.action_dim = c.latent_dim = 1;
    c.horizon = 8;
    c.execute_steps = 4;
    c.period = 1000.0;  // nothing is late by chance
    c.obs_names = {"x[0]"};
    c.action_names = {"a"};
    c.obs_low = c.action_low = {-INFINITY};
    c.obs_high = c.action_high = c.max_change = {INFINITY};
    c.hold = {NAN};
    c.latent_mean = {1.0f};
    c.latent_std = {2.0f};
    return c;
}

// The same of a policy that sees an image of 12 bytes as well.
inline Contract seeing_contract() {
    Contract c = small_contract();
    c.images = {{"camera", "image", "uint8", {2, 2, 3}, 0, 12}};
    c.groups = {{"arm", "state", "float32", {1}, 0, sizeof(float)}, c.images[0]};
    return c;
}

// The chunk for the observation x is 10 x, 10 x + 1, 10 x + 2, ...; the latent is x, and x + 1 after steering.
// 1000 times the sum of the pixels is added to the chunk of a policy that sees them.
struct FakeBackend : Backend {
    // What plan() does, besides.
    enum class Fault { kNone, kThrow, kThrowNumber, kNan, kExitThread };

    struct Controls {
        Fault fault = Fault::kNone;
        size_t pixels = 0;   // of the image [bytes]; 0 without one
        bool gated = false;  // every plan waits for the gate
        sem_t gate;
        int plans = 0;
        std::function<void()> during;  // called by every plan
        Controls() { sem_init(&gate, 0, 0); }
        ~Controls() { sem_destroy(&gate); }
    };

    explicit FakeBackend(Controls& controls) : controls(controls) {}
    const char* name() const override { return "fake"; }
    void plan(const Observation& obs, float* chunk, float* mean, float* decoded) override;

    Controls& controls;
};

// Stands in for the back end of a policy that sees: reads all that it is shown, and puts out its mean.
class MeanBackend final : public Backend {
 public:
    explicit MeanBackend(const Contract& contract) : contract_(contract) {}
    const char* name() const override { return "mean"; }
    void plan(const Observation& obs, float* chunk, float* mean, float* decoded) override;

 private:
    const Contract contract_;
};

int check_controller();  // hand-computed sequences
int check_faults();      // slow, failing and dying planning threads
int check_readers();     // JSON, SHA-256 and NumPy files
int check_allocations(const std::string& bundle);
int fuzz_bundles(const std::string& bundle, const std::string& scratch, uint64_t seed, long count);

}  // namespace zprl
