// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Torch operators over the torch-free core:
//
//   zprl::policy_step(obs [N, D], residual [N, Z], noise [N, H, A], blob [bytes]) -> chunk [N, H, A]
//   zprl::sampled_policy_step(obs, residual, noise, latent_seed [N], blob) -> chunk
//   zprl::encode(obs [N, D], blob [bytes], latent_dim Z) -> (mean [N, Z], logvar [N, Z])
//   zprl::integrate(condition [N, C], noise [N, H, A], blob [bytes]) -> normalised chunk [N, H, A]
//
// Built on LibTorch's stable ABI (TORCH_TARGET_VERSION): one binary serves every Python and every torch from 2.10 on.
// The policy is an ordinary uint8 tensor, so torch.jit, torch.export and AOTInductor store it with the program.
//
// This layer checks arguments, allocates and splits rows over torch's threads; all arithmetic is in csrc/core.
// Memory: the result, and one workspace per thread. The blob is not copied.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "policy_step.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Rows that a thread takes at least: below, waking it costs more than it saves.
constexpr int64_t kRowsPerThread = 16;

[[noreturn]] void fail(const std::string& sentence) { throw std::invalid_argument("zprl: " + sentence); }

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

// Refuse None, which Python may pass for a tensor, before anything asks it a question.
void require_tensor(const Tensor& tensor, const char* name) {
    if (!tensor.defined()) fail(std::string(name) + " must be a tensor, not None.");
}

// Check an argument and make it contiguous.
Tensor checked(const Tensor& tensor, const char* name, ScalarType dtype, const char* dtype_name,
               const std::vector<int64_t>& shape) {
    require_tensor(tensor, name);
    if (!tensor.is_cpu()) fail(std::string(name) + " must be on the CPU.");
    if (tensor.scalar_type() != dtype) fail(std::string(name) + " must have the dtype " + dtype_name + ".");
    std::vector<int64_t> actual;
    for (int64_t i = 0; i < tensor.dim(); ++i) actual.push_back(tensor.size(i));
    if (actual != shape)
        fail(std::string(name) + " must have the shape " + shape_text(shape) + ", got " + shape_text(actual) + ".");
    try {
        return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
    } catch (const std::exception&) {  // such as a sparse tensor; the stable ABI has no question for it
        fail(std::string(name) + " must be a dense tensor.");
    }
}

Tensor checked_float(const Tensor& tensor, const char* name, const std::vector<int64_t>& shape) {
    return checked(tensor, name, ScalarType::Float, "float32", shape);
}

// The blob as a policy. `storage` keeps the memory that the policy points into.
zprl::Policy read_blob(const Tensor& blob, Tensor& storage) {
    require_tensor(blob, "blob");
    storage = checked(blob, "blob", ScalarType::Byte, "uint8", {blob.numel()});
    const zprl::Policy policy = zprl::parse_policy(storage.const_data_ptr(), static_cast<size_t>(storage.numel()));
    zprl::require_runnable(policy);
    return policy;
}

int64_t num_rows(const Tensor& tensor, const char* name) {
    require_tensor(tensor, name);
    if (tensor.dim() != 2) {
        fail(std::string(name) + " must have two dimensions, got " + std::to_string(tensor.dim()) + ".");
    }
    return tensor.size(0);
}

const float* data(const Tensor& tensor) { return static_cast<const float*>(tensor.const_data_ptr()); }

float* mutable_data(const Tensor& tensor) { return static_cast<float*>(tensor.mutable_data_ptr()); }

// Call work(first row, one past the last, workspace) for parts of a batch, on torch's threads.
template <typename Work>
void for_rows(const zprl::Policy& policy, int64_t rows, const Work& work) {
    torch::stable::parallel_for(0, rows, kRowsPerThread, [&](int64_t begin, int64_t end) {
        // Not initialised, and no larger than these rows need: a single row has no time for a megabyte of zeros.
        const std::unique_ptr<float[]> workspace(new float[zprl::workspace_floats(policy, end - begin)]);
        work(begin, end, workspace.get());
    });
}

Tensor run_policy_step(const Tensor& obs, const Tensor& residual, const Tensor& noise, const Tensor* latent_seed,
                       const Tensor& blob) {
    Tensor storage;
    const zprl::Policy p = read_blob(blob, storage);
    const int64_t rows = num_rows(obs, "obs"), chunk_dim = p.chunk_dim();
    const Tensor obs_in = checked_float(obs, "obs", {rows, p.obs_dim});
    const Tensor residual_in = checked_float(residual, "residual", {rows, p.latent_dim});
    const Tensor noise_in = checked_float(noise, "noise", {rows, p.horizon, p.action_dim});
    Tensor seed_in;
    const uint64_t* seeds = nullptr;
    if (latent_seed != nullptr) {
        seed_in = checked(*latent_seed, "latent_seed", ScalarType::Long, "int64", {rows});
        seeds = static_cast<const uint64_t*>(seed_in.const_data_ptr());
    }
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});

    const float *obs_data = data(obs_in), *residual_data = data(residual_in), *noise_data = data(noise_in);
    float* chunk_data = mutable_data(chunk);
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace) {
        zprl::policy_step(p, obs_data + begin * p.obs_dim, residual_data + begin * p.latent_dim,
                          noise_data + begin * chunk_dim, seeds == nullptr ? nullptr : seeds + begin, end - begin,
                          chunk_data + begin * chunk_dim, workspace);
    });
    zprl::check_result(p, chunk_data, rows * chunk_dim);
    return chunk;
}

Tensor policy_step(const Tensor& obs, const Tensor& residual, const Tensor& noise, const Tensor& blob) {
    return run_policy_step(obs, residual, noise, nullptr, blob);
}

Tensor sampled_policy_step(const Tensor& obs, const Tensor& residual, const Tensor& noise, const Tensor& latent_seed,
                           const Tensor& blob) {
    return run_policy_step(obs, residual, noise, &latent_seed, blob);
}

Tensor integrate(const Tensor& condition, const Tensor& noise, const Tensor& blob) {
    Tensor storage;
    const zprl::Policy p = read_blob(blob, storage);
    const int64_t rows = num_rows(condition, "condition"), chunk_dim = p.chunk_dim();
    const Tensor condition_in = checked_float(condition, "condition", {rows, p.embed_dim});
    const Tensor noise_in = checked_float(noise, "noise", {rows, p.horizon, p.action_dim});
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});

    const float *condition_data = data(condition_in), *noise_data = data(noise_in);
    float* chunk_data = mutable_data(chunk);
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace) {
        zprl::integrate(p, condition_data + begin * p.embed_dim, noise_data + begin * chunk_dim, end - begin,
                        chunk_data + begin * chunk_dim, workspace);
    });
    zprl::check_result(p, chunk_data, rows * chunk_dim);
    return chunk;
}

std::tuple<Tensor, Tensor> encode(const Tensor& obs, const Tensor& blob, int64_t latent_dim) {
    Tensor storage;
    const zprl::Policy p = read_blob(blob, storage);
    if (latent_dim != p.latent_dim) fail("the policy's latent has " + std::to_string(p.latent_dim) + " dimensions.");
    const int64_t rows = num_rows(obs, "obs");
    const Tensor obs_in = checked_float(obs, "obs", {rows, p.obs_dim});
    const Tensor mean = torch::stable::new_empty(obs_in, {rows, p.latent_dim});
    const Tensor logvar = torch::stable::new_empty(obs_in, {rows, p.latent_dim});

    const float* obs_data = data(obs_in);
    float *mean_data = mutable_data(mean), *logvar_data = mutable_data(logvar);
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace) {
        zprl::encode(p, obs_data + begin * p.obs_dim, end - begin, mean_data + begin * p.latent_dim,
                     logvar_data + begin * p.latent_dim, workspace);
    });
    zprl::check_result(p, mean_data, rows * p.latent_dim);
    zprl::check_result(p, logvar_data, rows * p.latent_dim);
    return {mean, logvar};
}

}  // namespace

STABLE_TORCH_LIBRARY(zprl, m) {
    m.def("policy_step(Tensor obs, Tensor residual, Tensor noise, Tensor blob) -> Tensor");
    m.def("sampled_policy_step(Tensor obs, Tensor residual, Tensor noise, Tensor latent_seed, Tensor blob) -> Tensor");
    m.def("encode(Tensor obs, Tensor blob, int latent_dim) -> (Tensor, Tensor)");
    m.def("integrate(Tensor condition, Tensor noise, Tensor blob) -> Tensor");
}

// CompositeExplicitAutograd rather than CPU: a tensor on another device then reaches the check above and its sentence.
STABLE_TORCH_LIBRARY_IMPL(zprl, CompositeExplicitAutograd, m) {
    m.impl("policy_step", TORCH_BOX(&policy_step));
    m.impl("sampled_policy_step", TORCH_BOX(&sampled_policy_step));
    m.impl("encode", TORCH_BOX(&encode));
    m.impl("integrate", TORCH_BOX(&integrate));
}
