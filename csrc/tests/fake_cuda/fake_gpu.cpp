// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// A GPU and a CPU core for gpu_driver that agree as far as the environment says, so that its own part can be tested. A
// chunk is the noise plus what says that a row came from its own observation and residual, and plus 1 if the velocity
// field has the weights of bf16.
//
//   FAKE_ERROR   of the GPU's last number, in units of the chunks' root mean square
//   FAKE_REPLAY  the same, only in the replay of a graph
//   FAKE_REFUSAL a batch size that has no plan
//   FAKE_FAULT   set: whoever waits for the GPU learns of a fault

#include <cmath>
#include <cstdlib>
#include <functional>
#include <stdexcept>

#include "cuda/cost_model.h"
#include "cuda_runtime.h"
#include "gpu_limits.h"
#include "policy_step.h"

namespace {

double from_environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? 0.0 : std::atof(value);
}

float of_row(const float* obs, int obs_dim, const float* residual, int latent_dim, int64_t row) {
    float sum = 0.0f;
    for (int i = 0; obs != nullptr && i < obs_dim; ++i) sum += obs[row * obs_dim + i];
    for (int i = 0; residual != nullptr && i < latent_dim; ++i) sum += residual[row * latent_dim + i];
    return sum;
}

void fill(float* values, int64_t count, float value = 0.5f) {
    for (int64_t i = 0; i < count; ++i) values[i] = value;
}

bool is_bfloat16(const zprl::Linear& layer) {
    const auto* const values = static_cast<const uint32_t*>(layer.weight);
    for (int64_t i = 0; i < int64_t{zprl::padded(layer.out)} * layer.in; ++i) {
        if ((values[i] & 0xffff) != 0) return false;
    }
    return true;
}

// Whether all of these layers have such weights; with `none`, whether none of them has.
bool field_is_bfloat16(const zprl::Policy& policy, bool none) {
    bool result = true;
    const auto ask = [&](const zprl::Linear& layer) { result = result && is_bfloat16(layer) != none; };
    for (const zprl::Linear& layer : {policy.modulation, policy.input, policy.output}) ask(layer);
    for (int i = 0; i < 2 * policy.num_blocks; ++i) ask(policy.block_layer(i / 2, i % 2));
    return result;
}

std::function<void()> last_step;

}  // namespace

cudaError_t run_last_step() {
    last_step();
    return cudaSuccess;
}

namespace gpu_driver {

int active_clusters(int cluster_size) { return 132 / cluster_size; }

}  // namespace gpu_driver

namespace zprl {

void require_runnable(const Policy&) {}
size_t workspace_floats(const Policy&, int64_t) { return 1; }

void policy_step(const Policy& policy, const float* obs, const float* residual, const float* noise, const uint64_t*,
                 int64_t rows, float* chunk, float*, const LatentOutputs&, int) noexcept {
    const float of_weights = field_is_bfloat16(policy, false) ? 1.0f : field_is_bfloat16(policy, true) ? 0.0f : NAN;
    for (int64_t i = 0; i < rows * policy.chunk_dim(); ++i) {
        chunk[i] = noise[i] + of_row(obs, policy.obs_dim, residual, policy.latent_dim, i / policy.chunk_dim());
        chunk[i] += of_weights;
    }
}

namespace cuda {

Plan current_plan(const DevicePolicy&, int64_t rows) {
    if (static_cast<double>(rows) == from_environment("FAKE_REFUSAL")) throw std::invalid_argument("too wide.");
    Plan plan{};
    plan.tile_rows = plan.cluster_size = 1;
    plan.blocks = rows;
    return plan;
}

std::vector<Candidate> current_candidates(const DevicePolicy& policy, int64_t rows) {
    std::vector<Candidate> found(2, Candidate{current_plan(policy, rows), Cost{}});
    for (Candidate& each : found) each.cost.total = 1.0 + static_cast<double>(&each - found.data());
    return found;
}

void policy_step(const DevicePolicy& policy, const Plan&, const void*, const float* obs, const float* residual,
                 const float* noise, const uint64_t*, int64_t rows, float* chunk, void*, void*) {
    const auto step = [=](double error) {
        const int64_t count = rows * policy.chunk_dim();
        double squares = 0.0;
        for (int64_t i = 0; i < count; ++i) {
            chunk[i] = noise == nullptr ? 0.0f : noise[i];
            chunk[i] += of_row(obs, policy.obs_dim, residual, policy.latent_dim, i / policy.chunk_dim());
            chunk[i] += policy.precision == Precision::kBfloat16 ? 1.0f : 0.0f;
            squares += static_cast<double>(chunk[i]) * static_cast<double>(chunk[i]);
        }
        chunk[count - 1] += static_cast<float>(error * std::sqrt(squares / static_cast<double>(count)));
    };
    step(from_environment("FAKE_ERROR"));
    last_step = [=] { step(from_environment("FAKE_ERROR") + from_environment("FAKE_REPLAY")); };
}

void encode(const DevicePolicy& policy, const Plan&, const void*, const float*, int64_t rows, float* mean,
            float* logvar, void*, void*) {
    fill(mean, rows * policy.latent_dim);
    fill(logvar, rows * policy.latent_dim);
}

void act(const DevicePolicy& policy, const Plan&, const void*, const float*, const float*, int64_t rows, float* chunk,
         void*, void*) {
    fill(chunk, rows * policy.chunk_dim());
}

void act_from_condition(const DevicePolicy& policy, const Plan&, const void*, const float*, const float*, int64_t rows,
                        float* chunk, void*, void*) {
    fill(chunk, rows * policy.chunk_dim());
}

void integrate(const DevicePolicy& policy, const Plan&, const void*, const float*, const float*, int64_t rows,
               float* chunk, void*, void*) {
    fill(chunk, rows * policy.chunk_dim());
}

std::vector<KernelResources> kernel_resources() { return {{"tile", 128, 0, 1024, 90}}; }

}  // namespace cuda
}  // namespace zprl
