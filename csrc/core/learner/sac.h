// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Gradient steps of soft actor-critic; zprl.rl.sac says what they compute, and is the reference that this agrees with.

#pragma once

#include <cstdint>
#include <vector>

#include "mlp.h"

namespace zprl::learner {

// What a network sees of a stored transition: observation groups side by side, less a mean, divided by a divisor.
template <typename T>
struct Seen {
    struct Group {
        const T* rows;  // [transitions][width]
        int width;
    };
    std::vector<Group> groups;
    const T *mean, *divisor;  // [width] of all groups

    int width() const;
    void gather(int64_t row, T* to) const;
};

// What the critics are told of an output u: (feature + gain * clamp(u, -1, 1)) / unit; see zprl.steering.CriticAction.
template <typename T>
struct CriticAction {
    const T *feature, *next_feature;  // [transitions][outputs], before and after the step, or null for zero
    T gain, unit;
};

struct AdamSettings {
    double learning_rate;
    int64_t steps;  // taken so far
};

template <typename T>
struct SacUpdate {
    // What learns.
    MlpShape actor_shape, critic_shape;
    MlpMemory<T> actor, critic, log_alpha;
    T* target;  // the target critics' parameters
    AdamSettings actor_adam, critic_adam, alpha_adam;

    // Transitions.
    Seen<T> actor_seen, next_actor_seen, critic_seen, next_critic_seen;
    CriticAction<T> critic_action;
    const T *actions, *rewards, *discounts;  // [transitions][outputs], [transitions], [transitions]

    // What was drawn for every step.
    int64_t steps;
    int batch, subset;
    const int64_t *rows, *members;  // [steps][batch] of the transitions, [steps][subset] of the target critics
    const T *next_noise, *noise;    // [steps][batch][outputs], [steps of the actor][batch][outputs]

    // Settings; see SacAlgorithmCfg.
    int64_t first_update;  // gradient steps of the critics so far
    int actor_interval;
    bool bounded;  // critics, to (0, 1)
    bool entropy_in_target;
    T log_std_low, log_std_high;
    double target_rate, target_entropy, max_grad_norm;

    bool learns_actor(int64_t step) const { return (first_update + step + 1) % actor_interval == 0; }
};

// Figures of a step: loss per critic, their mean value and target; of the actor its loss, entropy and temperature.
constexpr int kSacMetrics = 6;

// Take all steps on so many threads, whose number changes no result.
//
//   metrics  [steps][kSacMetrics], the last three zero where the actor took no step
//
// Memory: activations and gradients of a batch, about as much as the parameters once more for each of the copies.
template <typename T>
void sac_update(const SacUpdate<T>& update, int threads, double* metrics);

}  // namespace zprl::learner
