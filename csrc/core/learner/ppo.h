// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Gradient steps of proximal policy optimisation with a Gaussian whose deviation does not depend on the observation;
// rsl_rl's PPO.update says what they compute, and is the reference that this agrees with.

#pragma once

#include <cstdint>

#include "mlp.h"

namespace zprl::learner {

template <typename T>
struct PpoUpdate {
    // What learns: the parameters of the deviation, actor and critic.
    MlpShape actor_shape, critic_shape;
    MlpMemory<T> deviation, actor, critic;
    double learning_rate;
    int64_t actor_steps, critic_steps;  // of Adam, taken so far
    bool learns_actor;                  // or the critic alone
    bool log_deviation;                 // whether the deviation's logarithm is learned, or itself
    T deviation_low, deviation_high;    // range of what is learned

    // Experience, in minibatches one after the other: [minibatches][batch][...].
    int epochs, minibatches, batch;
    const T *actor_inputs, *critic_inputs;  // normalised
    const T* actions;
    const T *log_probs, *values, *returns, *advantages;

    // Settings; see PPOCfg.
    T clip, value_weight, entropy_weight;
    bool clips_values;
    double max_grad_norm;
};

// Means over all steps.
struct PpoLosses {
    double value, surrogate, entropy;
};

// Take all steps on so many threads, whose number changes no result.
template <typename T>
PpoLosses ppo_update(const PpoUpdate<T>& update, int threads);

}  // namespace zprl::learner
