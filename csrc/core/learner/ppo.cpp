// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "ppo.h"

#include <algorithm>
#include <cmath>

#include "../team.h"

namespace zprl::learner {
namespace {

constexpr double kLogRootTwoPi = 0.91893853320467274;

template <typename T>
class PpoProgram {
 public:
    PpoProgram(const PpoUpdate<T>& update, int threads);

    // What every thread does.
    void run(Team& team);

    PpoLosses losses() const;

 private:
    void learn_outputs(int minibatch, int first, int rows);
    void learn_values(int minibatch, int first, int rows);
    void read_deviation();
    double deviation_gradient();
    void note_losses();
    AdamStep<T> next_step(int64_t taken, double squared_norm) const {
        return adam_step<T>(u_.learning_rate, taken, clip_scale(squared_norm, u_.max_grad_norm));
    }

    const PpoUpdate<T>& u_;
    const Kernels<T>& kernels_;
    const int outputs_, chunk_;
    Mlp<T> actor_, critic_;
    Tape<T> actor_tape_, critic_tape_;
    Numbers<T> deviation_, deviation_gradient_;  // [outputs]
    Numbers<T> deviation_terms_;                 // [batch][outputs], each row's part of its gradient
    double log_density_of_mean_ = 0.0, entropy_ = 0.0, deviation_squares_ = 0.0;
    std::vector<double> row_surrogates_, row_values_;  // [batch], to be summed in their order
    double surrogate_sum_ = 0.0, value_sum_ = 0.0, entropy_sum_ = 0.0;
};

template <typename T>
PpoProgram<T>::PpoProgram(const PpoUpdate<T>& update, int threads)
    : u_(update),
      kernels_(chosen_kernels<T>()),
      outputs_(update.actor_shape.widths.back()),
      chunk_(rows_at_once(update.batch, threads)),
      actor_(update.actor_shape, update.actor),
      critic_(update.critic_shape, update.critic),
      actor_tape_(update.actor_shape, 1, update.batch),
      critic_tape_(update.critic_shape, 1, update.batch),
      deviation_(outputs_),
      deviation_gradient_(outputs_),
      deviation_terms_(static_cast<size_t>(update.batch) * outputs_),
      row_surrogates_(update.batch),
      row_values_(update.batch) {}

template <typename T>
void PpoProgram<T>::run(Team& team) {
    const int num_chunks = (u_.batch + chunk_ - 1) / chunk_;
    const int actor_blocks = actor_.num_blocks(), critic_blocks = critic_.num_blocks();
    team.for_each(actor_blocks + critic_blocks + 1, [&](int block) {
        if (block < actor_blocks) return actor_.copy(block);
        if (block < actor_blocks + critic_blocks) return critic_.copy(block - actor_blocks);
        read_deviation();
    });
    for (int step = 0; step < u_.epochs * u_.minibatches; ++step) {
        const int minibatch = step % u_.minibatches;
        team.for_each(2 * num_chunks, [&](int i) {
            const int first = i % num_chunks * chunk_, rows = std::min(chunk_, u_.batch - first);
            i < num_chunks ? learn_outputs(minibatch, first, rows) : learn_values(minibatch, first, rows);
        });
        // The last two are small.
        team.for_each(actor_blocks + critic_blocks + 2, [&](int block) {
            if (block < actor_blocks) {
                if (u_.learns_actor) actor_.compute_gradient(block, actor_tape_, u_.batch);
            } else if (block < actor_blocks + critic_blocks) {
                critic_.compute_gradient(block - actor_blocks, critic_tape_, u_.batch);
            } else if (block == actor_blocks + critic_blocks) {
                if (u_.learns_actor) deviation_squares_ = deviation_gradient();
            } else {
                note_losses();
            }
        });
        const AdamStep<T> of_actor = next_step(u_.actor_steps + step, actor_.squared_norm() + deviation_squares_);
        const AdamStep<T> of_critic = next_step(u_.critic_steps + step, critic_.squared_norm());
        team.for_each(actor_blocks + critic_blocks + 1, [&](int block) {
            if (block >= actor_blocks && block < actor_blocks + critic_blocks) {
                return critic_.take_step(block - actor_blocks, of_critic);
            }
            if (!u_.learns_actor) return;
            if (block < actor_blocks) return actor_.take_step(block, of_actor);
            kernels_.adam(of_actor, outputs_, u_.deviation.parameters, u_.deviation.average, u_.deviation.square,
                          deviation_gradient_.get());
            read_deviation();
        });
    }
}

template <typename T>
void PpoProgram<T>::read_deviation() {
    log_density_of_mean_ = entropy_ = 0.0;
    for (int j = 0; j < outputs_; ++j) {
        const T clamped = std::min(std::max(u_.deviation.parameters[j], u_.deviation_low), u_.deviation_high);
        deviation_.get()[j] = u_.log_deviation ? std::exp(clamped) : clamped;
        const double log_deviation = u_.log_deviation ? clamped : std::log(clamped);
        log_density_of_mean_ -= log_deviation + kLogRootTwoPi;
        entropy_ += 0.5 + kLogRootTwoPi + log_deviation;
    }
}

template <typename T>
void PpoProgram<T>::learn_outputs(int minibatch, int first, int rows) {
    const int64_t start = static_cast<int64_t>(minibatch) * u_.batch;
    const int width = actor_.inputs();
    for (int i = first; i < first + rows; ++i) {
        std::copy_n(u_.actor_inputs + (start + i) * width, width, actor_tape_.input(i));
    }
    actor_.forward(0, actor_tape_, 0, first, rows, u_.learns_actor);
    const T* deviation = deviation_.get();
    for (int i = first; i < first + rows; ++i) {
        const T *mean = actor_tape_.output(0, i), *action = u_.actions + (start + i) * outputs_;
        T* delta = actor_tape_.output_delta(0, i);  // first the action's distance in deviations
        T squares = 0;
        for (int j = 0; j < outputs_; ++j) {
            delta[j] = (action[j] - mean[j]) / deviation[j];
            squares += delta[j] * delta[j];
        }
        const T log_prob = static_cast<T>(log_density_of_mean_) - T(0.5) * squares;
        const T ratio = std::exp(log_prob - u_.log_probs[start + i]), advantage = u_.advantages[start + i];
        const T clipped = std::min(std::max(ratio, T(1) - u_.clip), T(1) + u_.clip);
        const T surrogate = -advantage * ratio, surrogate_clipped = -advantage * clipped;
        row_surrogates_[i] = surrogate < surrogate_clipped ? surrogate_clipped : surrogate;
        // Where the clip is the larger one, it is constant.
        const T gradient = surrogate < surrogate_clipped ? T(0) : surrogate / static_cast<T>(u_.batch);
        T* terms = deviation_terms_.get() + static_cast<ptrdiff_t>(i) * outputs_;
        for (int j = 0; j < outputs_; ++j) {
            terms[j] = gradient * (delta[j] * delta[j] - T(1));
            delta[j] = gradient * delta[j] / deviation[j];
        }
    }
    if (u_.learns_actor) actor_.backward(0, actor_tape_, first, rows);
}

template <typename T>
void PpoProgram<T>::learn_values(int minibatch, int first, int rows) {
    const int64_t start = static_cast<int64_t>(minibatch) * u_.batch;
    const int width = critic_.inputs();
    for (int i = first; i < first + rows; ++i) {
        std::copy_n(u_.critic_inputs + (start + i) * width, width, critic_tape_.input(i));
    }
    critic_.forward(0, critic_tape_, 0, first, rows, true);
    for (int i = first; i < first + rows; ++i) {
        const T value = *critic_tape_.output(0, i), before = u_.values[start + i], wanted = u_.returns[start + i];
        T error = value - wanted, slope = T(2) * error;
        if (u_.clips_values) {
            const T change = value - before;
            const T clipped = before + std::min(std::max(change, -u_.clip), u_.clip) - wanted;
            if (error * error < clipped * clipped) {
                error = clipped;
                slope = std::abs(change) <= u_.clip ? T(2) * clipped : T(0);
            }
        }
        row_values_[i] = static_cast<double>(error) * error;
        *critic_tape_.output_delta(0, i) = u_.value_weight * slope / static_cast<T>(u_.batch);
    }
    critic_.backward(0, critic_tape_, first, rows);
}

// Sum the rows' parts, and turn them from the logarithm's gradient into that of what is learned.
template <typename T>
double PpoProgram<T>::deviation_gradient() {
    T* gradient = deviation_gradient_.get();
    kernels_.bias_gradient(deviation_terms_.get(), outputs_, outputs_, u_.batch, gradient);
    double squares = 0.0;
    for (int j = 0; j < outputs_; ++j) {
        const T parameter = u_.deviation.parameters[j];
        const bool inside = parameter >= u_.deviation_low && parameter <= u_.deviation_high;
        const T of_log = gradient[j] - u_.entropy_weight;
        gradient[j] = !inside ? T(0) : u_.log_deviation ? of_log : of_log / deviation_.get()[j];
        squares += static_cast<double>(gradient[j]) * gradient[j];
    }
    return squares;
}

template <typename T>
void PpoProgram<T>::note_losses() {
    double surrogate = 0.0, value = 0.0;
    for (int i = 0; i < u_.batch; ++i) {
        surrogate += row_surrogates_[i];
        value += row_values_[i];
    }
    surrogate_sum_ += surrogate / u_.batch;
    value_sum_ += value / u_.batch;
    entropy_sum_ += entropy_;
}

template <typename T>
PpoLosses PpoProgram<T>::losses() const {
    const double steps = static_cast<double>(u_.epochs) * u_.minibatches;
    return {value_sum_ / steps, surrogate_sum_ / steps, entropy_sum_ / steps};
}

}  // namespace

template <typename T>
PpoLosses ppo_update(const PpoUpdate<T>& update, int threads) {
    PpoProgram<T> program(update, threads);
    Team::run(threads, [&program](Team& team, int) { program.run(team); });
    return program.losses();
}

template PpoLosses ppo_update(const PpoUpdate<float>&, int);
template PpoLosses ppo_update(const PpoUpdate<double>&, int);

}  // namespace zprl::learner
