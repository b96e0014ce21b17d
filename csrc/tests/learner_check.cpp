// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the learner's gradient steps, without torch and Python, so that they run under the compiler's sanitizers;
// what they compute is compared with autograd in tests/rl/test_native.py.
//
//   learner_check   steps of PPO and SAC with many odd shapes, in float32 and float64: the same bits on one, two and
//                   three threads, finite, and no access outside of any array
//
// It runs the instruction set that ZPRL_CPU chooses. Every array lies in a heap allocation of its own that ends with
// its last byte. Exit status 1 and one line on stderr if something is wrong.

#include <cstdio>
#include <memory>

#include "core_support.h"
#include "learner/ppo.h"
#include "learner/sac.h"
#include "policy_step.h"

namespace {

using namespace core_check;
using namespace zprl::learner;

// Arrays of one update, in memory whose ends are watched.
template <typename T>
class Arrays {
 public:
    explicit Arrays(Random& random) : random_(random) {}

    T* normal(size_t count, double std) {
        std::vector<T> values(count);
        for (T& value : values) value = static_cast<T>(random_.normal(std));
        return keep(values);
    }
    T* positive(size_t count) {
        std::vector<T> values(count);
        for (T& value : values) value = static_cast<T>(0.1 + random_.uniform());
        return keep(values);
    }
    MlpMemory<T> network(const MlpShape& shape) {
        const size_t count = shape.num_parameters();
        return learned(normal(count, 0.3), count);
    }
    MlpMemory<T> learned(T* parameters, size_t count) {
        return {parameters, keep(std::vector<T>(count)), keep(std::vector<T>(count))};
    }
    const int64_t* below(size_t count, size_t limit) {
        std::vector<int64_t> values(count);
        for (int64_t& value : values) value = static_cast<int64_t>(random_.below(limit));
        indices_.push_back(std::make_unique<Memory<int64_t>>(values, 0));
        return indices_.back()->data();
    }
    Seen<T> seen(const std::vector<int>& widths, size_t transitions) {
        Seen<T> result;
        for (int width : widths) result.groups.push_back({normal(transitions * width, 1.0), width});
        result.mean = normal(result.width(), 1.0);
        result.divisor = positive(result.width());
        return result;
    }

    // All numbers, one array after the other.
    std::vector<T> values() const {
        std::vector<T> all;
        for (const auto& numbers : numbers_) {
            const std::vector<T> values = numbers->values();
            all.insert(all.end(), values.begin(), values.end());
        }
        return all;
    }
    void require_guards() const {
        for (const auto& numbers : numbers_) numbers->require_guards("an array");
    }

 private:
    T* keep(const std::vector<T>& values) {
        numbers_.push_back(std::make_unique<Memory<T>>(values, 0));
        return numbers_.back()->data();
    }

    Random& random_;
    std::vector<std::unique_ptr<Memory<T>>> numbers_;
    std::vector<std::unique_ptr<Memory<int64_t>>> indices_;
};

int width_of(Random& random) { return pick({1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 130}, random); }

MlpShape network_of(Random& random, int members, MlpShape::Weights weights, int inputs, int outputs) {
    MlpShape shape = {members, weights, static_cast<zprl::Activation>(random.below(5)), {inputs}};
    for (size_t layer = 0, layers = random.below(4); layer < layers; ++layer) shape.widths.push_back(width_of(random));
    shape.widths.push_back(outputs);
    return shape;
}

// Take the steps of a case; return all numbers that they leave behind.
template <typename T>
std::vector<T> run_ppo(uint64_t seed, int threads) {
    Random random(seed);
    Arrays<T> arrays(random);
    PpoUpdate<T> u = {};
    const int outputs = width_of(random);
    u.actor_shape = network_of(random, 1, MlpShape::Weights::kOutIn, width_of(random), outputs);
    u.critic_shape = network_of(random, 1, MlpShape::Weights::kOutIn, width_of(random), 1);
    u.log_deviation = random.below(2) == 0;
    u.deviation = arrays.learned(u.log_deviation ? arrays.normal(outputs, 0.1) : arrays.positive(outputs), outputs);
    u.actor = arrays.network(u.actor_shape);
    u.critic = arrays.network(u.critic_shape);
    u.learning_rate = 1e-3;
    u.learns_actor = random.below(4) > 0;
    u.deviation_low = u.log_deviation ? T(-3) : T(0.01);
    u.deviation_high = T(2);
    u.epochs = 2;
    u.minibatches = 1 + static_cast<int>(random.below(3));
    u.batch = pick({1, 2, 5, 16, 37, 70}, random);
    const size_t rows = static_cast<size_t>(u.minibatches) * u.batch;
    u.actor_inputs = arrays.normal(rows * u.actor_shape.widths.front(), 1.0);
    u.critic_inputs = arrays.normal(rows * u.critic_shape.widths.front(), 1.0);
    u.actions = arrays.normal(rows * outputs, 1.0);
    u.log_probs = arrays.normal(rows, 1.0);
    u.values = arrays.normal(rows, 1.0);
    u.returns = arrays.normal(rows, 1.0);
    u.advantages = arrays.normal(rows, 1.0);
    u.clip = T(0.2);
    u.value_weight = T(1);
    u.entropy_weight = T(0.01);
    u.clips_values = random.below(2) == 0;
    u.max_grad_norm = 1.0;
    const PpoLosses losses = ppo_update(u, threads);
    arrays.require_guards();
    std::vector<T> result = arrays.values();
    for (double loss : {losses.value, losses.surrogate, losses.entropy}) result.push_back(static_cast<T>(loss));
    return result;
}

template <typename T>
std::vector<T> run_sac(uint64_t seed, int threads) {
    Random random(seed);
    Arrays<T> arrays(random);
    SacUpdate<T> u = {};
    const int outputs = width_of(random), members = 1 + static_cast<int>(random.below(5));
    const std::vector<int> seen = {width_of(random), width_of(random)}, valued = {width_of(random)};
    const size_t transitions = 1 + random.below(40);
    u.actor_seen = arrays.seen(seen, transitions);
    u.next_actor_seen = arrays.seen(seen, transitions);
    u.critic_seen = arrays.seen(valued, transitions);
    u.next_critic_seen = arrays.seen(valued, transitions);
    u.actor_shape = network_of(random, 1, MlpShape::Weights::kOutIn, u.actor_seen.width(), 2 * outputs);
    u.critic_shape = network_of(random, members, MlpShape::Weights::kInOut, u.critic_seen.width() + outputs, 1);
    u.actor = arrays.network(u.actor_shape);
    u.critic = arrays.network(u.critic_shape);
    u.log_alpha = arrays.learned(arrays.normal(1, 0.1), 1);
    u.target = arrays.normal(u.critic_shape.num_parameters(), 0.3);
    u.actor_adam = u.critic_adam = u.alpha_adam = {1e-3, 0};
    if (random.below(2) == 0) {
        u.critic_action.feature = arrays.normal(transitions * outputs, 1.0);
        u.critic_action.next_feature = arrays.normal(transitions * outputs, 1.0);
    }
    u.critic_action.gain = T(0.4);
    u.critic_action.unit = T(1.5);
    u.actions = arrays.normal(transitions * outputs, 1.0);
    u.rewards = arrays.positive(transitions);
    u.discounts = arrays.positive(transitions);
    u.steps = 3;
    u.batch = pick({1, 2, 5, 16, 37, 70}, random);
    u.subset = 1 + static_cast<int>(random.below(members));
    u.rows = arrays.below(u.steps * u.batch, transitions);
    u.members = arrays.below(u.steps * u.subset, members);
    u.first_update = static_cast<int64_t>(random.below(3));
    u.actor_interval = 1 + static_cast<int>(random.below(2));
    u.bounded = random.below(2) == 0;
    u.entropy_in_target = random.below(2) == 0;
    u.log_std_low = T(-3);
    u.log_std_high = T(1);
    u.target_rate = 0.1;
    u.target_entropy = -outputs;
    u.max_grad_norm = 1.0;
    size_t actor_steps = 0;
    for (int64_t step = 0; step < u.steps; ++step) actor_steps += u.learns_actor(step);
    u.next_noise = arrays.normal(u.steps * u.batch * outputs, 1.0);
    u.noise = arrays.normal(actor_steps * u.batch * outputs, 1.0);
    Memory<double> metrics(u.steps * kSacMetrics, 0);
    sac_update(u, threads, metrics.data());
    metrics.require_guards("the figures");
    arrays.require_guards();
    std::vector<T> result = arrays.values();
    for (double figure : metrics.values()) result.push_back(static_cast<T>(figure));
    return result;
}

template <typename T>
void check(std::vector<T> (*run)(uint64_t, int), const char* name, uint64_t seed) {
    const std::vector<T> one = run(seed, 1);
    for (size_t i = 0; i < one.size(); ++i) {
        require(std::isfinite(one[i]), text("%s, case %d: number %zu is not finite", name, static_cast<int>(seed), i));
    }
    for (int threads : {2, 3}) {
        const std::vector<T> more = run(seed, threads);
        require(same_bits(one.data(), more.data(), one.size()),
                text("%s, case %d: %d threads give other bits than one", name, static_cast<int>(seed), threads));
    }
}

}  // namespace

int main() {
    constexpr uint64_t kCases = 16;
    try {
        for (uint64_t seed = 0; seed < kCases; ++seed) {
            check(run_ppo<float>, "PPO in float32", seed);
            check(run_ppo<double>, "PPO in float64", seed);
            check(run_sac<float>, "SAC in float32", seed);
            check(run_sac<double>, "SAC in float64", seed);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "learner_check: %s\n", error.what());
        return 1;
    }
    std::printf("learner_check: %s: %d cases\n", zprl::cpu_level(), static_cast<int>(4 * kCases));
    return 0;
}
