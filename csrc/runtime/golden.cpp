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

}  // namespace

// The arrays of golden.npz; zprl/deploy/golden.py says what they are.
class Recording {
 public:
    explicit Recording(const Bundle& bundle) : contract_(bundle.contract()) {
        const std::string& name = bundle.file_of_kind("golden");
        const std::vector<char> bytes = bundle.read(name);
        path_ = bundle.folder() + "/" + name;
        try {
            arrays_ = parse_npz(bytes.data(), bytes.size());
        } catch (const std::invalid_argument& error) {
            fail(error.what());
        }
    }

    [[noreturn]] void fail(const std::string& what) const {
        throw std::invalid_argument("zprl: " + path_ + " is not a recording of this policy: " + what +
                                    "; export the policy again.");
    }

    // The numbers of an array whose shape ends with `tail`; `rows` of them, or any number if it is negative.
    std::vector<double> get(const std::string& name, int64_t rows, const std::vector<int64_t>& tail) const {
        const NpyArray& array = find(name, rows, tail);
        try {
            return array.numbers();
        } catch (const std::invalid_argument& error) {
            fail("its array " + name + " cannot be read: " + error.what());
        }
    }

    GoldenObservations observations() const {
        GoldenObservations result;
        result.obs_dim_ = static_cast<size_t>(contract_.obs_dim);
        result.image_count_ = contract_.images.size();
        const bool alone = contract_.groups.size() == 1 && contract_.images.empty();
        int64_t steps = -1;
        for (const ObservationGroup& group : contract_.groups) {
            if (group.is_image()) continue;
            const std::vector<double> rows = get(alone ? "obs" : "obs." + group.name, steps, group.shape);
            const auto width = static_cast<size_t>(group.shape[0]), count = rows.size() / width;
            steps = static_cast<int64_t>(count);
            result.state_.resize(count * result.obs_dim_);
            for (size_t i = 0; i < rows.size(); ++i) {
                result.state_[i / width * result.obs_dim_ + group.start + i % width] = static_cast<float>(rows[i]);
            }
        }
        if (steps < 0) steps = static_cast<int64_t>(get("episode", -1, {}).size());
        if (steps == 0) fail("it is empty");
        result.newest_plan_.assign(steps, -1);
        if (!contract_.images.empty()) add_images(result);
        return result;
    }

    std::vector<int64_t> plan_steps(int64_t steps) const {
        std::vector<int64_t> result;
        for (const double step : get("plan_step", -1, {})) {
            if (!(step >= 0.0) || step >= static_cast<double>(steps)) fail("a plan has no step");
            result.push_back(static_cast<int64_t>(step));
        }
        if (result.empty()) fail("it is empty");
        return result;
    }

 private:
    const NpyArray& find(const std::string& name, int64_t rows, const std::vector<int64_t>& tail) const {
        const auto found = arrays_.find(name);
        if (found == arrays_.end()) fail("it has no array " + name);
        const std::vector<int64_t>& shape = found->second.shape;
        const bool fits = shape.size() == tail.size() + 1 && std::equal(tail.begin(), tail.end(), shape.begin() + 1) &&
                          (rows < 0 || shape[0] == rows);
        if (!fits) fail("its array " + name + " has another shape");
        return found->second;
    }

    void add_images(GoldenObservations& result) const {
        const std::vector<int64_t> plan_step = plan_steps(result.steps());
        const auto plans = static_cast<int64_t>(plan_step.size());
        for (const ObservationGroup& group : contract_.images) {
            const std::string name = "obs." + group.name;
            const NpyArray& array = find(name, plans, group.shape);
            if (array.type != (group.dtype == "uint8" ? "|u1" : "<f4")) {
                fail("its array " + name + " is not of " + group.dtype);
            }
            result.pixels_.push_back(array.bytes);
        }
        for (int64_t plan = 0; plan < plans; ++plan) {
            for (size_t i = 0; i < contract_.images.size(); ++i) {
                const size_t bytes = contract_.images[i].bytes;
                result.images_.push_back({result.pixels_[i].data() + static_cast<size_t>(plan) * bytes, bytes});
            }
            result.newest_plan_[plan_step[plan]] = plan;
        }
        for (size_t step = 1; step < result.newest_plan_.size(); ++step) {
            int64_t& newest = result.newest_plan_[step];
            if (newest < 0) newest = result.newest_plan_[step - 1];
        }
    }

    const Contract& contract_;
    std::string path_;
    std::map<std::string, NpyArray> arrays_;
};

Observation GoldenObservations::at(int64_t step) const {
    const int64_t plan = newest_plan_[step];
    return {state_.data() + static_cast<size_t>(step) * obs_dim_,
            plan < 0 ? nullptr : images_.data() + static_cast<size_t>(plan) * image_count_};
}

GoldenObservations golden_observations(const Bundle& bundle) { return Recording(bundle).observations(); }

GoldenResult replay_golden(const Bundle& bundle, const std::string& file,
                           const std::function<std::unique_ptr<Backend>()>& make_backend) {
    const Contract& c = bundle.contract();
    const Recording recording(bundle);
    const GoldenObservations obs = recording.observations();
    const int64_t steps = obs.steps();
    const std::vector<double> episode = recording.get("episode", steps, {});
    const std::vector<double> action = recording.get("action", steps, {c.action_dim});
    const std::vector<int64_t> plan_step = recording.plan_steps(steps);
    const auto plans = static_cast<int64_t>(plan_step.size());
    const std::vector<double> chunk = recording.get("chunk", plans, {c.horizon, c.action_dim});

    GoldenResult result;
    result.steps = steps;
    result.plans = plans;
    result.error.resize(c.action_dim, 0.0);

    // Plan by plan.
    const std::unique_ptr<Backend> backend = make_backend();
    std::vector<float> planned(c.chunk_dim()), mean(c.latent_dim), decoded(c.latent_dim);
    std::vector<bool> is_plan(steps, false);
    std::vector<double> latent;
    if (c.latent_dim > 0) latent = recording.get("latent", plans, {c.latent_dim});
    double squares = 0.0, latent_squares = 0.0;
    for (int64_t i = 0; i < plans; ++i) {
        is_plan[plan_step[i]] = true;
        backend->plan(obs.at(plan_step[i]), planned.data(), mean.data(), decoded.data());
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
        const Status status = controller.step(obs.at(step), sent.data());
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
