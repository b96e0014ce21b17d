// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "golden.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "chunk_controller.h"
#include "npz.h"

namespace zprl {
namespace {

// Of the chunks' root mean square, where the contract has no tolerance.
constexpr double kRelativeTolerance = 1e-5;

struct Recording {
    std::string path;
    std::map<std::string, NpyArray> arrays;

    [[noreturn]] void fail(const std::string& what) const {
        throw std::invalid_argument("zprl: " + path + " is not a recording of this policy: " + what +
                                    "; export the policy again.");
    }

    // An array whose shape ends with `tail`; `rows` of them, or any number if it is negative.
    const NpyArray& get(const std::string& name, int64_t rows, const std::vector<int64_t>& tail) const {
        const auto found = arrays.find(name);
        if (found == arrays.end()) fail("it has no array " + name);
        const std::vector<int64_t>& shape = found->second.shape;
        const bool fits = shape.size() == tail.size() + 1 && std::equal(tail.begin(), tail.end(), shape.begin() + 1) &&
                          (rows < 0 || shape[0] == rows);
        if (!fits) fail("its array " + name + " has another shape");
        return found->second;
    }
};

Recording read_recording(const Bundle& bundle) {
    const std::string& name = bundle.file_of_kind("golden");
    const std::vector<char> bytes = bundle.read(name);
    Recording recording;
    recording.path = bundle.folder() + "/" + name;
    try {
        recording.arrays = parse_npz(bytes.data(), bytes.size());
    } catch (const std::invalid_argument& error) {
        recording.fail(error.what());
    }
    return recording;
}

std::vector<float> to_float(const NpyArray& array) { return {array.values.begin(), array.values.end()}; }

}  // namespace

std::vector<float> golden_observations(const Bundle& bundle) {
    const Recording recording = read_recording(bundle);
    std::vector<float> obs = to_float(recording.get("obs", -1, {bundle.contract().obs_dim}));
    if (obs.empty()) recording.fail("it is empty");
    return obs;
}

GoldenResult replay_golden(const Bundle& bundle, const std::string& file,
                           const std::function<std::unique_ptr<Backend>()>& make_backend) {
    const Contract& c = bundle.contract();
    const Recording recording = read_recording(bundle);
    const std::vector<float> obs = to_float(recording.get("obs", -1, {c.obs_dim}));
    const auto steps = static_cast<int64_t>(obs.size()) / c.obs_dim;
    const std::vector<double>& episode = recording.get("episode", steps, {}).values;
    const std::vector<double>& action = recording.get("action", steps, {c.action_dim}).values;
    const std::vector<double>& plan_step = recording.get("plan_step", -1, {}).values;
    const auto plans = static_cast<int64_t>(plan_step.size());
    const std::vector<double>& chunk = recording.get("chunk", plans, {c.horizon, c.action_dim}).values;
    if (steps == 0 || plans == 0) recording.fail("it is empty");

    GoldenResult result;
    result.steps = steps;
    result.plans = plans;
    result.error.resize(c.action_dim, 0.0);

    // Plan by plan.
    const std::unique_ptr<Backend> backend = make_backend();
    std::vector<float> planned(c.chunk_dim()), mean(c.latent_dim), decoded(c.latent_dim);
    std::vector<bool> is_plan(steps, false);
    const std::vector<double> none;
    const std::vector<double>& latent = c.latent_dim > 0 ? recording.get("latent", plans, {c.latent_dim}).values : none;
    double squares = 0.0, latent_squares = 0.0;
    for (int64_t i = 0; i < plans; ++i) {
        if (!(plan_step[i] >= 0.0) || plan_step[i] >= static_cast<double>(steps)) recording.fail("a plan has no step");
        const auto step = static_cast<int64_t>(plan_step[i]);
        is_plan[step] = true;
        backend->plan(obs.data() + step * c.obs_dim, planned.data(), mean.data(), decoded.data());
        for (int j = 0; j < c.chunk_dim(); ++j) {
            const double expected = chunk[i * c.chunk_dim() + j];
            const double error = std::abs(static_cast<double>(planned[j]) - expected);
            double& worst = result.error[j % c.action_dim];
            worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
            squares += expected * expected;
        }
        for (int j = 0; j < c.latent_dim; ++j) {
            const double expected = latent[i * c.latent_dim + j];
            const double error = std::abs(static_cast<double>(mean[j]) - expected);
            if (!(error <= result.latent_error)) result.latent_error = error;  // NaN stays
            latent_squares += expected * expected;
        }
    }
    const double rms = std::sqrt(squares / static_cast<double>(plans * c.chunk_dim()));
    const double worst = *std::max_element(result.error.begin(), result.error.end());
    result.relative_error = rms > 0.0 ? worst / rms : worst;
    const double latent_rms = std::sqrt(latent_squares / static_cast<double>(plans * c.latent_dim));
    if (latent_rms > 0.0) result.latent_error /= latent_rms;
    const std::vector<float>& tolerance = c.files.at(file).tolerance;
    result.tolerance.assign(tolerance.begin(), tolerance.end());
    if (tolerance.empty()) result.tolerance.assign(c.action_dim, kRelativeTolerance * rms);

    // In the loop, as training ran it: nothing between the chunk and the robot.
    ControllerOptions plain;
    plain.range_margin = plain.rate_margin = plain.stale_steps = std::numeric_limits<double>::infinity();
    ChunkController controller(c, make_backend(), plain);
    std::vector<float> sent(c.action_dim);
    bool within = true;
    for (int64_t step = 0; step < steps; ++step) {
        if (step == 0 || episode[step] != episode[step - 1]) {
            controller.reset();
            ++result.episodes;
        }
        const Status status = controller.step(obs.data() + step * c.obs_dim, sent.data());
        result.misplaced_plans += ((status.flags & kPlanned) != 0) != is_plan[step];
        for (int i = 0; i < c.action_dim; ++i) {
            const double error = std::abs(static_cast<double>(sent[i]) - action[step * c.action_dim + i]);
            result.action_error = std::max(result.action_error, error);
            within = within && error <= result.tolerance[i];
        }
    }
    for (int i = 0; i < c.action_dim; ++i) within = within && result.error[i] <= result.tolerance[i];
    result.passed = within && result.misplaced_plans == 0;
    return result;
}

}  // namespace zprl
