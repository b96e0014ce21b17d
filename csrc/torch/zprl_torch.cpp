// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Torch operators over the torch-free core:
//
//   zprl::policy_step(obs [N, D], residual [N, Z], noise [N, H, A], blob [bytes]) -> chunk [N, H, A]
//   zprl::sampled_policy_step(obs, residual, noise, latent_seed [N], blob) -> chunk
//   zprl::encode(obs [N, D], blob [bytes], latent_dim Z) -> (mean [N, Z], logvar [N, Z])
//   zprl::latent(obs [N, D], blob [bytes], latent_dim Z) -> mean [N, Z], as computed: float64 (float32 on a GPU)
//   zprl::act(latent [N, Z], noise [N, H, A], blob [bytes]) -> chunk [N, H, A], with the latent in float32 or float64
//   zprl::act_from_condition(condition [N, C], noise [N, H, A], blob [bytes]) -> chunk [N, H, A]
//   zprl::integrate(condition [N, C], noise [N, H, A], blob [bytes]) -> normalised chunk [N, H, A]
//   zprl::pack_for_cuda(blob, precision) -> the blob that the operators take on a GPU
//   zprl::cuda_plan(blob, rows, header), zprl::cuda_kernels(blob) -> text for the profiler
//
// act(latent(obs) + residual) is policy_step(obs, residual) to the last bit, on the CPU with the residual in float64:
// what plans again from one observation encodes it once.
//
// The first seven take an optional last argument `header`, the blob's first 64 numbers. A blob on a GPU needs it:
// shapes must be known on the host, and reading them back would stop the stream. A list of numbers, unlike a second
// tensor, stays on the host when a module moves.
//
// Built on LibTorch's stable ABI (TORCH_TARGET_VERSION): one binary serves every Python and every torch from 2.10 on,
// with and without CUDA. The policy is an ordinary uint8 tensor, so torch.jit, torch.export and AOTInductor store it
// with the program.
//
// This layer checks arguments, allocates and splits rows over torch's threads; all arithmetic is in csrc/core.
// Memory: the result, and one workspace per thread. The blob is not copied.

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "cuda/layout.h"
#include "cuda_ops.h"
#include "policy_step.h"

namespace {

using namespace zprl::ops;

// Rows that a thread takes at least: below, waking it costs more than it saves.
constexpr int64_t kRowsPerThread = 16;

// The blob, on the CPU, as a policy. `storage` keeps the memory that the policy points into.
zprl::Policy read_blob(const Place& place, const Tensor& blob, const Header& header, Tensor& storage) {
    storage = checked_blob(place, blob);
    int32_t magic = 0;
    if (storage.numel() >= static_cast<int64_t>(sizeof magic)) {
        std::memcpy(&magic, storage.const_data_ptr(), sizeof magic);
    }
    if (magic == zprl::cuda::kCudaMagic) {
        fail("blob is packed for a GPU and lies on the CPU; move all tensors to a GPU.");
    }
    const zprl::Policy policy = zprl::parse_policy(storage.const_data_ptr(), static_cast<size_t>(storage.numel()));
    zprl::require_runnable(policy);
    const auto* stored = static_cast<const int32_t*>(storage.const_data_ptr());
    if (!header.empty() && !std::equal(header.begin(), header.end(), stored, stored + zprl::kHeaderInts)) {
        fail("header is not the blob's: give its first 64 numbers, or none on the CPU.");
    }
    return policy;
}

// Call work(first row, one past the last, workspace, threads) for parts of a batch, on torch's threads; in a batch of
// few rows, for all of it, with as many threads.
template <typename Work>
void for_rows(const zprl::Policy& policy, int64_t rows, const Work& work) {
    const int threads = rows > kRowsPerThread ? 1 : static_cast<int>(torch::stable::get_num_threads());
    torch::stable::parallel_for(0, rows, kRowsPerThread, [&](int64_t begin, int64_t end) {
        // Not initialised, and no larger than these rows need: a single row has no time for a megabyte of zeros.
        const std::unique_ptr<float[]> workspace(new float[zprl::workspace_floats(policy, end - begin)]);
        work(begin, end, workspace.get(), threads);
    });
}

Tensor run_policy_step(const Tensor& obs, const Tensor& residual, const Tensor& noise, const Tensor* latent_seed,
                       const Tensor& blob, const Header& header) {
    const Place place(blob);
    if (place.is_cuda()) return cuda_policy_step(place, obs, residual, noise, latent_seed, blob, header);
    Tensor storage;
    const zprl::Policy p = read_blob(place, blob, header, storage);
    zprl::require_encoder(p.parts);
    const int64_t rows = num_rows(obs, "obs"), chunk_dim = p.chunk_dim();
    const Tensor obs_in = checked_float(place, obs, "obs", {rows, p.obs_dim});
    const Tensor residual_in = checked_float(place, residual, "residual", {rows, p.latent_dim});
    const Tensor noise_in = checked_float(place, noise, "noise", {rows, p.horizon, p.action_dim});
    Tensor seed_in;
    const uint64_t* seeds = nullptr;
    if (latent_seed != nullptr) {
        seed_in = checked(place, *latent_seed, "latent_seed", ScalarType::Long, "int64", {rows});
        seeds = static_cast<const uint64_t*>(seed_in.const_data_ptr());
    }
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});

    const float *obs_data = data(obs_in), *residual_data = data(residual_in), *noise_data = data(noise_in);
    float* chunk_data = mutable_data(chunk);
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace, int threads) {
        zprl::policy_step(p, obs_data + begin * p.obs_dim, residual_data + begin * p.latent_dim,
                          noise_data + begin * chunk_dim, seeds == nullptr ? nullptr : seeds + begin, end - begin,
                          chunk_data + begin * chunk_dim, workspace, {}, threads);
    });
    zprl::check_result(p, chunk_data, rows * chunk_dim);
    return chunk;
}

Tensor policy_step(const Tensor& obs, const Tensor& residual, const Tensor& noise, const Tensor& blob,
                   const Header& header) {
    return run_policy_step(obs, residual, noise, nullptr, blob, header);
}

Tensor sampled_policy_step(const Tensor& obs, const Tensor& residual, const Tensor& noise, const Tensor& latent_seed,
                           const Tensor& blob, const Header& header) {
    return run_policy_step(obs, residual, noise, &latent_seed, blob, header);
}

Tensor act(const Tensor& latent, const Tensor& noise, const Tensor& blob, const Header& header) {
    const Place place(blob);
    if (place.is_cuda()) return cuda_act(place, latent, noise, blob, header);
    Tensor storage;
    const zprl::Policy p = read_blob(place, blob, header, storage);
    zprl::require_bottleneck(p.parts);
    const int64_t rows = num_rows(latent, "latent"), chunk_dim = p.chunk_dim();
    const ScalarType dtype = latent.scalar_type() == ScalarType::Float ? ScalarType::Float : ScalarType::Double;
    const Tensor latent_in = checked(place, latent, "latent", dtype, "float32 or float64", {rows, p.latent_dim});
    const Tensor noise_in = checked_float(place, noise, "noise", {rows, p.horizon, p.action_dim});
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});

    const float* noise_data = data(noise_in);
    float* chunk_data = mutable_data(chunk);
    const auto run = [&](const auto* latent_data) {
        for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace, int threads) {
            zprl::act(p, latent_data + begin * p.latent_dim, noise_data + begin * chunk_dim, end - begin,
                      chunk_data + begin * chunk_dim, workspace, threads);
        });
    };
    if (dtype == ScalarType::Float) {
        run(data(latent_in));
    } else {
        run(static_cast<const double*>(latent_in.const_data_ptr()));
    }
    zprl::check_result(p, chunk_data, rows * chunk_dim);
    return chunk;
}

// What starts at a condition: one of the core's functions, and what stands for it on a GPU.
Tensor run_from_condition(decltype(zprl::integrate)& of_core, bool normalised, const Tensor& condition,
                          const Tensor& noise, const Tensor& blob, const Header& header) {
    const Place place(blob);
    if (place.is_cuda()) return cuda_from_condition(place, condition, noise, blob, header, normalised);
    Tensor storage;
    const zprl::Policy p = read_blob(place, blob, header, storage);
    const int64_t rows = num_rows(condition, "condition"), chunk_dim = p.chunk_dim();
    const Tensor condition_in = checked_float(place, condition, "condition", {rows, p.embed_dim});
    const Tensor noise_in = checked_float(place, noise, "noise", {rows, p.horizon, p.action_dim});
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});

    const float *condition_data = data(condition_in), *noise_data = data(noise_in);
    float* chunk_data = mutable_data(chunk);
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace, int threads) {
        of_core(p, condition_data + begin * p.embed_dim, noise_data + begin * chunk_dim, end - begin,
                chunk_data + begin * chunk_dim, workspace, threads);
    });
    zprl::check_result(p, chunk_data, rows * chunk_dim);
    return chunk;
}

Tensor integrate(const Tensor& condition, const Tensor& noise, const Tensor& blob, const Header& header) {
    return run_from_condition(zprl::integrate, true, condition, noise, blob, header);
}

Tensor act_from_condition(const Tensor& condition, const Tensor& noise, const Tensor& blob, const Header& header) {
    return run_from_condition(zprl::act_from_condition, false, condition, noise, blob, header);
}

Tensor latent(const Tensor& obs, const Tensor& blob, int64_t latent_dim, const Header& header) {
    const Place place(blob);
    if (place.is_cuda()) return cuda_latent(place, obs, blob, latent_dim, header);
    Tensor storage;
    const zprl::Policy p = read_blob(place, blob, header, storage);
    zprl::require_encoder(p.parts);
    if (latent_dim != p.latent_dim) fail("the policy's latent has " + std::to_string(p.latent_dim) + " dimensions.");
    const int64_t rows = num_rows(obs, "obs");
    const Tensor obs_in = checked_float(place, obs, "obs", {rows, p.obs_dim});
    const Tensor mean = torch::stable::new_empty(obs_in, {rows, p.latent_dim}, ScalarType::Double);

    const float* obs_data = data(obs_in);
    auto* mean_data = static_cast<double*>(mean.mutable_data_ptr());
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace, int) {
        zprl::latent(p, obs_data + begin * p.obs_dim, end - begin, mean_data + begin * p.latent_dim, workspace);
    });
    zprl::check_result(p, mean_data, rows * p.latent_dim);
    return mean;
}

std::tuple<Tensor, Tensor> encode(const Tensor& obs, const Tensor& blob, int64_t latent_dim, const Header& header) {
    const Place place(blob);
    if (place.is_cuda()) return cuda_encode(place, obs, blob, latent_dim, header);
    Tensor storage;
    const zprl::Policy p = read_blob(place, blob, header, storage);
    zprl::require_encoder(p.parts);
    if (latent_dim != p.latent_dim) fail("the policy's latent has " + std::to_string(p.latent_dim) + " dimensions.");
    const int64_t rows = num_rows(obs, "obs");
    const Tensor obs_in = checked_float(place, obs, "obs", {rows, p.obs_dim});
    const Tensor mean = torch::stable::new_empty(obs_in, {rows, p.latent_dim});
    const Tensor logvar = torch::stable::new_empty(obs_in, {rows, p.latent_dim});

    const float* obs_data = data(obs_in);
    float *mean_data = mutable_data(mean), *logvar_data = mutable_data(logvar);
    for_rows(p, rows, [&](int64_t begin, int64_t end, float* workspace, int) {
        zprl::encode(p, obs_data + begin * p.obs_dim, end - begin, mean_data + begin * p.latent_dim,
                     logvar_data + begin * p.latent_dim, workspace);
    });
    zprl::check_result(p, mean_data, rows * p.latent_dim);
    zprl::check_result(p, logvar_data, rows * p.latent_dim);
    return {mean, logvar};
}

}  // namespace

STABLE_TORCH_LIBRARY(zprl, m) {
    m.def("policy_step(Tensor obs, Tensor residual, Tensor noise, Tensor blob, int[] header=[]) -> Tensor");
    m.def(
        "sampled_policy_step(Tensor obs, Tensor residual, Tensor noise, Tensor latent_seed, Tensor blob, "
        "int[] header=[]) -> Tensor");
    m.def("encode(Tensor obs, Tensor blob, int latent_dim, int[] header=[]) -> (Tensor, Tensor)");
    m.def("latent(Tensor obs, Tensor blob, int latent_dim, int[] header=[]) -> Tensor");
    m.def("act(Tensor latent, Tensor noise, Tensor blob, int[] header=[]) -> Tensor");
    m.def("act_from_condition(Tensor condition, Tensor noise, Tensor blob, int[] header=[]) -> Tensor");
    m.def("integrate(Tensor condition, Tensor noise, Tensor blob, int[] header=[]) -> Tensor");
    m.def("pack_for_cuda(Tensor blob, str precision) -> Tensor");
    m.def("cuda_plan(Tensor blob, int rows, int[] header) -> str");
    m.def("cuda_kernels(Tensor blob) -> str");
}

// CompositeExplicitAutograd rather than CPU and CUDA: a tensor on a wrong device then reaches the checks above and
// their sentences.
STABLE_TORCH_LIBRARY_IMPL(zprl, CompositeExplicitAutograd, m) {
    m.impl("policy_step", TORCH_BOX(&policy_step));
    m.impl("sampled_policy_step", TORCH_BOX(&sampled_policy_step));
    m.impl("encode", TORCH_BOX(&encode));
    m.impl("latent", TORCH_BOX(&latent));
    m.impl("act", TORCH_BOX(&act));
    m.impl("act_from_condition", TORCH_BOX(&act_from_condition));
    m.impl("integrate", TORCH_BOX(&integrate));
    m.impl("pack_for_cuda", TORCH_BOX(&pack_for_cuda));
    m.impl("cuda_plan", TORCH_BOX(&cuda_plan));
    m.impl("cuda_kernels", TORCH_BOX(&cuda_kernels));
}
