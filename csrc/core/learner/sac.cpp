// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "sac.h"

#include <algorithm>
#include <cmath>

#include "../team.h"

namespace zprl::learner {

template <typename T>
int Seen<T>::width() const {
    int total = 0;
    for (const Group& group : groups) total += group.width;
    return total;
}

template <typename T>
void Seen<T>::gather(int64_t row, T* to) const {
    const T *group_mean = mean, *group_divisor = divisor;
    for (const Group& group : groups) {
        // Without the promise that `to` is elsewhere, the compiler would not make vectors of it.
        const T *from = group.rows + row * group.width, *less = group_mean, *over = group_divisor;
        T* __restrict result = to;
        for (int i = 0; i < group.width; ++i) result[i] = (from[i] - less[i]) / over[i];
        to += group.width;
        group_mean += group.width;
        group_divisor += group.width;
    }
}

namespace {

template <typename T>
class SacProgram {
 public:
    SacProgram(const SacUpdate<T>& update, int threads, double* metrics);

    // What every thread does.
    void run(Team& team, int thread);

 private:
    // A thread's own memory, for the rows that it takes at once.
    struct Scratch {
        Scratch(const SacUpdate<T>& u, int rows, int outputs);

        Tape<T> next_actor, target;
        Numbers<T> sample, deviation, log_std_slope;  // [rows][outputs]
        Numbers<T> action_gradient, one_gradient;     // [rows][padded outputs], of all critics and of one
        Numbers<T> next_values;                       // [rows]
    };

    void learn_values(int64_t step, int first, int rows, Scratch& s);
    void learn_outputs(int64_t step, int first, int rows, Scratch& s);
    void note_values(int64_t step);
    void learn_temperature(int64_t step);

    const int64_t* transitions(int64_t step) const { return u_.rows + step * u_.batch; }
    double sample_row(const T* output, const T* noise, Scratch& s, int i, bool learns) const;
    void tell(const T* outputs, const T* feature, int64_t row, T* to) const;
    T value(T output) const { return u_.bounded ? T(0.5) * (std::tanh(output) + T(1)) : output; }
    T value_slope(T value) const { return u_.bounded ? T(2) * value * (T(1) - value) : T(1); }
    AdamStep<T> next_step(const AdamSettings& adam, int64_t taken, double gradient_scale) const {
        return adam_step<T>(adam.learning_rate, adam.steps + taken, gradient_scale);
    }
    int64_t actor_steps_before(int64_t step) const {
        return (u_.first_update + step) / u_.actor_interval - u_.first_update / u_.actor_interval;
    }

    const SacUpdate<T>& u_;
    const Kernels<T>& kernels_;
    const int outputs_, state_width_, num_members_, chunk_;
    Mlp<T> actor_, critic_, target_;
    Tape<T> actor_tape_, critic_tape_;
    std::vector<Scratch> scratch_;
    // Per row of the batch, to be summed in their order.
    std::vector<double> losses_, values_, targets_, log_probs_;
    double* metrics_;
};

template <typename T>
SacProgram<T>::Scratch::Scratch(const SacUpdate<T>& u, int rows, int outputs)
    : next_actor(u.actor_shape, 1, rows),
      target(u.critic_shape, 1, rows),
      sample(static_cast<size_t>(rows) * outputs),
      deviation(static_cast<size_t>(rows) * outputs),
      log_std_slope(static_cast<size_t>(rows) * outputs),
      action_gradient(static_cast<size_t>(rows) * padded_to_vectors(outputs)),
      one_gradient(static_cast<size_t>(rows) * padded_to_vectors(outputs)),
      next_values(rows) {}

template <typename T>
SacProgram<T>::SacProgram(const SacUpdate<T>& update, int threads, double* metrics)
    : u_(update),
      kernels_(chosen_kernels<T>()),
      outputs_(update.actor_shape.widths.back() / 2),
      state_width_(update.critic_seen.width()),
      num_members_(update.critic_shape.members),
      chunk_(rows_at_once(update.batch, threads)),
      actor_(update.actor_shape, update.actor),
      critic_(update.critic_shape, update.critic),
      target_(update.critic_shape, {update.target, nullptr, nullptr}),
      actor_tape_(update.actor_shape, 1, update.batch),
      critic_tape_(update.critic_shape, num_members_, update.batch),
      losses_(update.batch),
      values_(update.batch),
      targets_(update.batch),
      log_probs_(update.batch),
      metrics_(metrics) {
    for (int thread = 0; thread < threads; ++thread) scratch_.emplace_back(update, chunk_, outputs_);
}

template <typename T>
void SacProgram<T>::run(Team& team, int thread) {
    Scratch& scratch = scratch_[thread];
    const int num_chunks = (u_.batch + chunk_ - 1) / chunk_;
    const auto rows_of = [this](int chunk) { return std::min(chunk_, u_.batch - chunk * chunk_); };

    team.for_each(actor_.num_blocks(), [&](int block) { actor_.copy(block); });
    team.for_each(critic_.num_blocks(), [&](int block) {
        critic_.copy(block);
        target_.copy(block);
    });
    for (int64_t step = 0; step < u_.steps; ++step) {
        team.for_each(num_chunks, [&](int chunk) { learn_values(step, chunk * chunk_, rows_of(chunk), scratch); });
        team.for_each(critic_.num_blocks() + 1, [&](int block) {
            if (block == critic_.num_blocks()) return note_values(step);
            critic_.compute_gradient(block, critic_tape_, u_.batch);
        });
        const AdamStep<T> of_critic =
            next_step(u_.critic_adam, step, clip_scale(critic_.squared_norm(), u_.max_grad_norm));
        team.for_each(critic_.num_blocks(), [&](int block) {
            critic_.take_step(block, of_critic);
            target_.follow(block, critic_, static_cast<T>(u_.target_rate));
        });
        if (!u_.learns_actor(step)) continue;

        team.for_each(num_chunks, [&](int chunk) { learn_outputs(step, chunk * chunk_, rows_of(chunk), scratch); });
        team.for_each(actor_.num_blocks() + 1, [&](int block) {
            if (block == actor_.num_blocks()) return learn_temperature(step);
            actor_.compute_gradient(block, actor_tape_, u_.batch);
        });
        const AdamStep<T> of_actor =
            next_step(u_.actor_adam, actor_steps_before(step), clip_scale(actor_.squared_norm(), u_.max_grad_norm));
        team.for_each(actor_.num_blocks(), [&](int block) { actor_.take_step(block, of_actor); });
    }
}

// The targets of some rows, and the critics' values and gradients for them.
template <typename T>
void SacProgram<T>::learn_values(int64_t step, int first, int rows, Scratch& s) {
    const int64_t* transition = transitions(step) + first;
    const T* noise = u_.next_noise + (step * u_.batch + first) * outputs_;
    const T alpha = u_.entropy_in_target ? std::exp(*u_.log_alpha.parameters) : T(0);

    for (int i = 0; i < rows; ++i) u_.next_actor_seen.gather(transition[i], s.next_actor.input(i));
    actor_.forward(0, s.next_actor, 0, 0, rows, false);
    for (int i = 0; i < rows; ++i) {
        log_probs_[first + i] =
            sample_row(s.next_actor.output(0, i), noise + static_cast<ptrdiff_t>(i) * outputs_, s, i, false);
        u_.next_critic_seen.gather(transition[i], s.target.input(i));
        tell(s.sample.get() + static_cast<ptrdiff_t>(i) * outputs_, u_.critic_action.next_feature, transition[i],
             s.target.input(i) + state_width_);
    }
    T* next_values = s.next_values.get();
    for (int k = 0; k < u_.subset; ++k) {
        target_.forward(static_cast<int>(u_.members[step * u_.subset + k]), s.target, 0, 0, rows, false);
        for (int i = 0; i < rows; ++i) {
            const T q = value(*s.target.output(0, i));
            // NaN stays NaN, as in torch's minimum.
            if (k == 0 || q < next_values[i] || q != q) next_values[i] = q;
        }
    }

    for (int i = 0; i < rows; ++i) {
        const int64_t row = transition[i];
        const T next = next_values[i] - alpha * static_cast<T>(log_probs_[first + i]);
        targets_[first + i] = u_.rewards[row] + u_.discounts[row] * next;
        losses_[first + i] = values_[first + i] = 0.0;
        u_.critic_seen.gather(row, critic_tape_.input(first + i));
        tell(u_.actions + row * outputs_, u_.critic_action.feature, row, critic_tape_.input(first + i) + state_width_);
    }
    for (int member = 0; member < num_members_; ++member) {
        critic_.forward(member, critic_tape_, member, first, rows, true);
        for (int i = first; i < first + rows; ++i) {
            const T q = value(*critic_tape_.output(member, i)), error = q - static_cast<T>(targets_[i]);
            losses_[i] += static_cast<double>(error) * error;
            values_[i] += q;
            *critic_tape_.output_delta(member, i) = T(2) / static_cast<T>(u_.batch) * error * value_slope(q);
        }
        critic_.backward(member, critic_tape_, first, rows);
    }
}

// The actor's outputs for some rows, what the critics think of them, and the actor's gradients.
template <typename T>
void SacProgram<T>::learn_outputs(int64_t step, int first, int rows, Scratch& s) {
    const int64_t* transition = transitions(step) + first;
    const T* noise = u_.noise + (actor_steps_before(step) * u_.batch + first) * outputs_;
    const int stride = padded_to_vectors(outputs_);
    const T share = T(1) / static_cast<T>(u_.batch), per_member = share / static_cast<T>(num_members_);
    const T density = std::exp(*u_.log_alpha.parameters) * share;

    for (int i = 0; i < rows; ++i) u_.actor_seen.gather(transition[i], actor_tape_.input(first + i));
    actor_.forward(0, actor_tape_, 0, first, rows, true);
    for (int i = 0; i < rows; ++i) {
        log_probs_[first + i] =
            sample_row(actor_tape_.output(0, first + i), noise + static_cast<ptrdiff_t>(i) * outputs_, s, i, true);
        values_[first + i] = 0.0;
        // The state beside it is there already.
        tell(s.sample.get() + static_cast<ptrdiff_t>(i) * outputs_, u_.critic_action.feature, transition[i],
             critic_tape_.input(first + i) + state_width_);
    }
    std::fill_n(s.action_gradient.get(), static_cast<ptrdiff_t>(rows) * stride, T(0));
    for (int member = 0; member < num_members_; ++member) {
        critic_.forward(member, critic_tape_, member, first, rows, true);
        for (int i = first; i < first + rows; ++i) {
            const T q = value(*critic_tape_.output(member, i));
            values_[i] += q;
            *critic_tape_.output_delta(member, i) = -per_member * value_slope(q);
        }
        critic_.backward(member, critic_tape_, first, rows);
        critic_.input_gradient(member, critic_tape_, first, rows, state_width_, outputs_, s.one_gradient.get(), stride);
        for (ptrdiff_t i = 0; i < static_cast<ptrdiff_t>(rows) * stride; ++i) {
            s.action_gradient.get()[i] += s.one_gradient.get()[i];
        }
    }
    for (int i = 0; i < rows; ++i) {
        T* gradient = s.action_gradient.get() + static_cast<ptrdiff_t>(i) * stride;
        // A sample lies within [-1, 1], where the clamp is the identity.
        for (int j = 0; j < outputs_; ++j) gradient[j] *= u_.critic_action.gain / u_.critic_action.unit;
        const ptrdiff_t at = static_cast<ptrdiff_t>(i) * outputs_;
        const SquashedRow<T> row = {nullptr,
                                    nullptr,
                                    outputs_,
                                    u_.log_std_low,
                                    u_.log_std_high,
                                    s.sample.get() + at,
                                    s.deviation.get() + at,
                                    s.log_std_slope.get() + at};
        kernels_.squashed_gradient(row, gradient, density, actor_tape_.output_delta(0, first + i));
    }
    actor_.backward(0, actor_tape_, first, rows);
}

template <typename T>
double SacProgram<T>::sample_row(const T* output, const T* noise, Scratch& s, int i, bool learns) const {
    const ptrdiff_t at = static_cast<ptrdiff_t>(i) * outputs_;
    return kernels_.squashed_sample({output, noise, outputs_, u_.log_std_low, u_.log_std_high, s.sample.get() + at,
                                     learns ? s.deviation.get() + at : nullptr,
                                     learns ? s.log_std_slope.get() + at : nullptr});
}

template <typename T>
void SacProgram<T>::tell(const T* outputs, const T* feature, int64_t row, T* to) const {
    const T gain = u_.critic_action.gain, unit = u_.critic_action.unit;
    T* __restrict told = to;
    const auto clamped = [](T x) { return std::min(std::max(x, T(-1)), T(1)); };
    if (feature == nullptr) {
        for (int j = 0; j < outputs_; ++j) told[j] = gain * clamped(outputs[j]) / unit;
    } else {
        const T* start = feature + row * outputs_;
        for (int j = 0; j < outputs_; ++j) told[j] = (start[j] + gain * clamped(outputs[j])) / unit;
    }
}

template <typename T>
void SacProgram<T>::note_values(int64_t step) {
    double loss = 0.0, value = 0.0, target = 0.0;
    for (int i = 0; i < u_.batch; ++i) {
        loss += losses_[i];
        value += values_[i];
        target += targets_[i];
    }
    double* m = metrics_ + step * kSacMetrics;
    m[0] = loss / u_.batch / num_members_;
    m[1] = value / u_.batch / num_members_;
    m[2] = target / u_.batch;
    m[3] = m[4] = m[5] = 0.0;
}

template <typename T>
void SacProgram<T>::learn_temperature(int64_t step) {
    double log_prob = 0.0, value = 0.0;
    for (int i = 0; i < u_.batch; ++i) {
        log_prob += log_probs_[i];
        value += values_[i];
    }
    log_prob /= u_.batch;
    value /= static_cast<double>(u_.batch) * num_members_;
    const double alpha = std::exp(*u_.log_alpha.parameters);
    double* m = metrics_ + step * kSacMetrics;
    m[3] = alpha * log_prob - value;
    m[4] = -log_prob;
    m[5] = alpha;
    const T gradient = static_cast<T>(-(log_prob + u_.target_entropy));
    kernels_.adam(next_step(u_.alpha_adam, actor_steps_before(step), 1.0), 1, u_.log_alpha.parameters,
                  u_.log_alpha.average, u_.log_alpha.square, &gradient);
}

}  // namespace

template <typename T>
void sac_update(const SacUpdate<T>& update, int threads, double* metrics) {
    SacProgram<T> program(update, threads, metrics);
    Team::run(threads, [&program](Team& team, int thread) { program.run(team, thread); });
}

template struct Seen<float>;
template struct Seen<double>;
template void sac_update(const SacUpdate<float>&, int, double*);
template void sac_update(const SacUpdate<double>&, int, double*);

}  // namespace zprl::learner
