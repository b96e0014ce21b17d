// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Torch operators that learn, over csrc/core/learner: all gradient steps of an iteration in one call.
//
//   zprl::sac_update(...) -> figures [steps, 6]
//   zprl::ppo_update(...) -> mean losses [3]
//
// What learns comes as one matrix each, whose rows are flat parameters, in the order of torch's modules, and what Adam
// keeps of them: average and squared average of their gradients. They are changed in place. zprl/rl/native.py makes
// the arguments, and zprl/rl/sac.py and rsl_rl's PPO are the references.
//
// Everything is on the CPU, contiguous and of one type, float32 or float64. This layer checks that, and the indices;
// all arithmetic is in csrc/core.

#include <torch/csrc/stable/library.h>

#include <algorithm>

#include "arguments.h"
#include "learner/ppo.h"
#include "learner/sac.h"

namespace {

using namespace zprl::ops;
using namespace zprl::learner;
using Shape = std::vector<int64_t>;

const Place& cpu() {
    static const Place place;
    return place;
}

template <typename T>
constexpr ScalarType scalar_type() {
    return sizeof(T) == sizeof(float) ? ScalarType::Float : ScalarType::Double;
}

// The numbers of an argument, which is written if T is not const.
template <typename T>
T* numbers(const Tensor& tensor, const char* name, const Shape& shape) {
    constexpr bool kWhole = std::is_same_v<std::remove_const_t<T>, int64_t>;
    const ScalarType type = kWhole ? ScalarType::Long : scalar_type<std::remove_const_t<T>>();
    const char* type_name = kWhole ? "int64" : type == ScalarType::Float ? "float32" : "float64";
    const Tensor same = checked(cpu(), tensor, name, type, type_name, shape);
    if (!tensor.is_contiguous()) fail(std::string(name) + " must be contiguous.");
    return static_cast<T*>(const_cast<void*>(tensor.const_data_ptr()));
}

void require(bool condition, const char* sentence) {
    if (!condition) fail(sentence);
}

MlpShape shape_of(const Shape& widths, int64_t members, MlpShape::Weights weights, int64_t activation) {
    require(activation >= 0 && activation < static_cast<int64_t>(zprl::Activation::kCount),
            "an activation is not one that the native learner knows.");
    require(widths.size() >= 2 && members >= 1, "a network needs widths of its input and output, and a member.");
    MlpShape shape = {static_cast<int>(members), weights, static_cast<zprl::Activation>(activation), {}};
    for (int64_t width : widths) {
        require(width > 0 && width < 1 << 20, "a network's width is out of range.");
        shape.widths.push_back(static_cast<int>(width));
    }
    return shape;
}

// Parameters, average and squared average, from a matrix of three rows.
template <typename T>
MlpMemory<T> memory_of(const Tensor& state, const char* name, size_t count) {
    T* data = numbers<T>(state, name, {3, static_cast<int64_t>(count)});
    return {data, data + count, data + 2 * count};
}

template <typename T>
MlpMemory<T> part(const MlpMemory<T>& whole, size_t start) {
    return {whole.parameters + start, whole.average + start, whole.square + start};
}

int threads_of(int64_t threads) {
    require(threads >= 1 && threads <= 1024, "threads must be between 1 and 1024.");
    return static_cast<int>(threads);
}

void require_below(const int64_t* indices, int64_t count, int64_t limit, const char* sentence) {
    require(std::all_of(indices, indices + count, [=](int64_t index) { return index >= 0 && index < limit; }),
            sentence);
}

// Observation groups [transitions, width] that a network sees, and the mean and divisor [2, width] that it takes them
// by.
template <typename T>
Seen<T> seen_by(const std::vector<Tensor>& observations, const Shape& groups, const Tensor& normalizer,
                int64_t transitions) {
    Seen<T> seen;
    for (int64_t group : groups) {
        require(group >= 0 && group < static_cast<int64_t>(observations.size()), "there is no such observation group.");
        const Tensor& rows = observations[group];
        num_rows(rows, "observations");
        const T* data = numbers<const T>(rows, "observations", {transitions, rows.size(1)});
        seen.groups.push_back({data, static_cast<int>(rows.size(1))});
    }
    const int64_t width = seen.width();
    seen.mean = numbers<const T>(normalizer, "normalizer", {2, width});
    seen.divisor = seen.mean + width;
    return seen;
}

struct SacArguments {
    const Tensor &actor, &critic, &target, &log_alpha;
    const std::vector<Tensor>&observations, &next_observations;
    const Shape &actor_groups, &critic_groups;
    int64_t feature_group;
    const Tensor &actor_normalizer, &critic_normalizer, &actions, &rewards, &discounts;
    const Tensor &rows, &members, &next_noise, &noise;
    MlpShape actor_shape, critic_shape;
    const Shape& steps_taken;
    const std::vector<double>& learning_rates;
};

template <typename T>
void fill(SacUpdate<T>& u, const SacArguments& a) {
    const int64_t transitions = num_rows(a.actions, "actions"), outputs = a.actor_shape.widths.back() / 2;
    u.steps = num_rows(a.rows, "rows");
    const int64_t batch = a.rows.size(1), subset = num_rows(a.members, "members") > 0 ? a.members.size(1) : 1;
    require(batch > 0 && batch < 1 << 24 && subset > 0, "rows and members must not be empty.");
    require(a.steps_taken.size() == 3 && a.learning_rates.size() == 3,
            "Adam's settings are those of three optimisers.");
    u.batch = static_cast<int>(batch);
    u.subset = static_cast<int>(subset);
    u.actor_shape = a.actor_shape;
    u.critic_shape = a.critic_shape;
    u.actor = memory_of<T>(a.actor, "actor", a.actor_shape.num_parameters());
    u.critic = memory_of<T>(a.critic, "critic", a.critic_shape.num_parameters());
    u.log_alpha = memory_of<T>(a.log_alpha, "log_alpha", 1);
    u.target = numbers<T>(a.target, "target", {static_cast<int64_t>(a.critic_shape.num_parameters())});
    u.actor_adam = {a.learning_rates[0], a.steps_taken[0]};
    u.critic_adam = {a.learning_rates[1], a.steps_taken[1]};
    u.alpha_adam = {a.learning_rates[2], a.steps_taken[2]};
    u.actor_seen = seen_by<T>(a.observations, a.actor_groups, a.actor_normalizer, transitions);
    u.next_actor_seen = seen_by<T>(a.next_observations, a.actor_groups, a.actor_normalizer, transitions);
    u.critic_seen = seen_by<T>(a.observations, a.critic_groups, a.critic_normalizer, transitions);
    u.next_critic_seen = seen_by<T>(a.next_observations, a.critic_groups, a.critic_normalizer, transitions);
    require(u.actor_seen.width() == a.actor_shape.widths.front() &&
                u.critic_seen.width() + outputs == a.critic_shape.widths.front() && a.critic_shape.widths.back() == 1,
            "the networks' widths do not fit what they see.");
    u.critic_action.feature = u.critic_action.next_feature = nullptr;
    if (a.feature_group >= 0) {
        require(a.feature_group < static_cast<int64_t>(std::min(a.observations.size(), a.next_observations.size())),
                "there is no such observation group.");
        const Shape shape = {transitions, outputs};
        u.critic_action.feature = numbers<const T>(a.observations[a.feature_group], "the feature's group", shape);
        u.critic_action.next_feature =
            numbers<const T>(a.next_observations[a.feature_group], "the feature's group", shape);
    }
    u.actions = numbers<const T>(a.actions, "actions", {transitions, outputs});
    u.rewards = numbers<const T>(a.rewards, "rewards", {transitions});
    u.discounts = numbers<const T>(a.discounts, "discounts", {transitions});
    u.rows = numbers<const int64_t>(a.rows, "rows", {u.steps, batch});
    u.members = numbers<const int64_t>(a.members, "members", {u.steps, subset});
    require_below(u.rows, u.steps * batch, transitions, "rows holds an index that no transition has.");
    require_below(u.members, u.steps * subset, a.critic_shape.members, "members holds an index that no critic has.");
    const int64_t actor_steps = (u.first_update + u.steps) / u.actor_interval - u.first_update / u.actor_interval;
    u.next_noise = numbers<const T>(a.next_noise, "next_noise", {u.steps, batch, outputs});
    u.noise = numbers<const T>(a.noise, "noise", {actor_steps, batch, outputs});
}

Tensor run_sac_update(const Tensor& actor, const Tensor& critic, const Tensor& target, const Tensor& log_alpha,
                      const std::vector<Tensor>& observations, const std::vector<Tensor>& next_observations,
                      const Shape& actor_groups, const Shape& critic_groups, int64_t feature_group,
                      const Tensor& actor_normalizer, const Tensor& critic_normalizer, const Tensor& actions,
                      const Tensor& rewards, const Tensor& discounts, const Tensor& rows, const Tensor& members,
                      const Tensor& next_noise, const Tensor& noise, const Shape& actor_widths,
                      int64_t actor_activation, const Shape& critic_widths, int64_t critic_activation,
                      int64_t num_members, bool bounded, const Shape& steps_taken,
                      const std::vector<double>& learning_rates, int64_t first_update, int64_t actor_interval,
                      double gain, double unit, double log_std_low, double log_std_high, bool entropy_in_target,
                      double target_rate, double target_entropy, double max_grad_norm, int64_t threads) {
    require(first_update >= 0 && actor_interval >= 1 && actor_interval < 1 << 30, "actor_interval must be positive.");
    const SacArguments arguments = {
        actor,
        critic,
        target,
        log_alpha,
        observations,
        next_observations,
        actor_groups,
        critic_groups,
        feature_group,
        actor_normalizer,
        critic_normalizer,
        actions,
        rewards,
        discounts,
        rows,
        members,
        next_noise,
        noise,
        shape_of(actor_widths, 1, MlpShape::Weights::kOutIn, actor_activation),
        shape_of(critic_widths, num_members, MlpShape::Weights::kInOut, critic_activation),
        steps_taken,
        learning_rates,
    };
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        SacUpdate<T> u = {};
        u.first_update = first_update;
        u.actor_interval = static_cast<int>(actor_interval);
        u.bounded = bounded;
        u.entropy_in_target = entropy_in_target;
        u.log_std_low = static_cast<T>(log_std_low);
        u.log_std_high = static_cast<T>(log_std_high);
        u.target_rate = target_rate;
        u.target_entropy = target_entropy;
        u.max_grad_norm = max_grad_norm;
        fill(u, arguments);
        u.critic_action.gain = static_cast<T>(gain);
        u.critic_action.unit = static_cast<T>(unit);
        const Tensor metrics = torch::stable::new_empty(rewards, {u.steps, kSacMetrics}, ScalarType::Double);
        sac_update(u, threads_of(threads), static_cast<double*>(metrics.mutable_data_ptr()));
        return metrics;
    };
    require_tensor(actor, "actor");
    return actor.scalar_type() == ScalarType::Double ? run(0.0) : run(0.0f);
}

Tensor run_ppo_update(const Tensor& state, const Tensor& actor_inputs, const Tensor& critic_inputs,
                      const Tensor& actions, const Tensor& log_probs, const Tensor& values, const Tensor& returns,
                      const Tensor& advantages, const Shape& actor_widths, int64_t actor_activation,
                      const Shape& critic_widths, int64_t critic_activation, int64_t epochs, int64_t minibatches,
                      const Shape& steps_taken, double learning_rate, bool learns_actor, bool log_deviation,
                      double deviation_low, double deviation_high, double clip, bool clips_values, double value_weight,
                      double entropy_weight, double max_grad_norm, int64_t threads) {
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        const int64_t rows = num_rows(actions, "actions");
        require(epochs >= 1 && epochs < 1 << 20 && minibatches >= 1 && rows >= minibatches && rows < 1 << 30,
                "epochs and minibatches must be positive, and no minibatch empty.");
        require(rows % minibatches == 0, "all minibatches must have the same number of rows.");
        require(steps_taken.size() == 2, "steps_taken is that of the actor and that of the critic.");
        PpoUpdate<T> u = {};
        u.actor_shape = shape_of(actor_widths, 1, MlpShape::Weights::kOutIn, actor_activation);
        u.critic_shape = shape_of(critic_widths, 1, MlpShape::Weights::kOutIn, critic_activation);
        require(u.critic_shape.widths.back() == 1, "the critic's output must be one number.");
        const int64_t outputs = u.actor_shape.widths.back();
        const size_t of_actor = u.actor_shape.num_parameters(), of_critic = u.critic_shape.num_parameters();
        u.deviation = memory_of<T>(state, "state", outputs + of_actor + of_critic);
        u.actor = part(u.deviation, outputs);
        u.critic = part(u.actor, of_actor);
        u.learning_rate = learning_rate;
        u.actor_steps = steps_taken[0];
        u.critic_steps = steps_taken[1];
        u.learns_actor = learns_actor;
        u.log_deviation = log_deviation;
        u.deviation_low = static_cast<T>(deviation_low);
        u.deviation_high = static_cast<T>(deviation_high);
        u.epochs = static_cast<int>(epochs);
        u.minibatches = static_cast<int>(minibatches);
        u.batch = static_cast<int>(rows / minibatches);
        u.actor_inputs = numbers<const T>(actor_inputs, "actor_inputs", {rows, u.actor_shape.widths.front()});
        u.critic_inputs = numbers<const T>(critic_inputs, "critic_inputs", {rows, u.critic_shape.widths.front()});
        u.actions = numbers<const T>(actions, "actions", {rows, outputs});
        u.log_probs = numbers<const T>(log_probs, "log_probs", {rows});
        u.values = numbers<const T>(values, "values", {rows});
        u.returns = numbers<const T>(returns, "returns", {rows});
        u.advantages = numbers<const T>(advantages, "advantages", {rows});
        u.clip = static_cast<T>(clip);
        u.value_weight = static_cast<T>(value_weight);
        u.entropy_weight = static_cast<T>(entropy_weight);
        u.clips_values = clips_values;
        u.max_grad_norm = max_grad_norm;
        const PpoLosses losses = ppo_update(u, threads_of(threads));
        const Tensor result = torch::stable::new_empty(actions, {3}, ScalarType::Double);
        auto* to = static_cast<double*>(result.mutable_data_ptr());
        to[0] = losses.value;
        to[1] = losses.surrogate;
        to[2] = losses.entropy;
        return result;
    };
    require_tensor(state, "state");
    return state.scalar_type() == ScalarType::Double ? run(0.0) : run(0.0f);
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(zprl, m) {
    m.def(
        "sac_update(Tensor(a!) actor, Tensor(b!) critic, Tensor(c!) target, Tensor(d!) log_alpha, "
        "Tensor[] observations, Tensor[] next_observations, int[] actor_groups, int[] critic_groups, int "
        "feature_group, "
        "Tensor actor_normalizer, Tensor critic_normalizer, Tensor actions, Tensor rewards, Tensor discounts, "
        "Tensor rows, Tensor members, Tensor next_noise, Tensor noise, int[] actor_widths, int actor_activation, "
        "int[] critic_widths, int critic_activation, int num_members, bool bounded, int[] steps_taken, "
        "float[] learning_rates, int first_update, int actor_interval, float gain, float unit, "
        "float log_std_low, float log_std_high, bool entropy_in_target, float target_rate, float target_entropy, "
        "float max_grad_norm, int threads) -> Tensor");
    m.def(
        "ppo_update(Tensor(a!) state, Tensor actor_inputs, Tensor critic_inputs, Tensor actions, Tensor log_probs, "
        "Tensor values, Tensor returns, Tensor advantages, int[] actor_widths, int actor_activation, "
        "int[] critic_widths, int critic_activation, int epochs, int minibatches, int[] steps_taken, "
        "float learning_rate, bool learns_actor, bool log_deviation, float deviation_low, float deviation_high, "
        "float clip, bool clips_values, float value_weight, float entropy_weight, float max_grad_norm, int threads) "
        "-> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(zprl, CompositeExplicitAutograd, m) {
    m.impl("sac_update", TORCH_BOX(&run_sac_update));
    m.impl("ppo_update", TORCH_BOX(&run_ppo_update));
}
