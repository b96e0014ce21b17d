// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The operators on tensors of a CUDA device: checks, the caller's stream, and results from torch's allocator, so that a
// call can be captured into a CUDA graph. Nothing here waits for the GPU: results are not searched for NaN, as on the
// CPU, and the blob's header comes from the host.

#include "cuda_ops.h"

#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>

#include <limits>

#include "cuda/policy_step.h"

namespace zprl::ops {
namespace {

using torch::stable::accelerator::DeviceGuard;

constexpr uintptr_t kBlobAlignment = 16;  // what the kernels read at once [bytes]

// torch's current stream of a device, as the CUDA runtime's handle.
//
// The stable ABI's function for it lives in torch's CUDA library. Linking to that library would tie this one to a torch
// with CUDA; but when a CUDA tensor is here, it is loaded.
void* current_stream(const Place& place) {
    using Function = AOTITorchError (*)(int32_t, void**);
    static const Function function = [] {
        void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
        void* symbol = library == nullptr ? nullptr : dlsym(library, "aoti_torch_get_current_cuda_stream");
        return reinterpret_cast<Function>(symbol);
    }();
    if (function == nullptr) fail("torch's CUDA library (libtorch_cuda.so) is not loaded; use torch with CUDA.");
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(function(place.cuda_index(), &stream));
    return stream;
}

// The policy that a blob on the GPU holds, by its header on the host.
cuda::DevicePolicy read_header(const Tensor& blob, const Header& header) {
    if (header.size() != kHeaderInts) {
        fail("header must be the blob's first " + std::to_string(kHeaderInts) + " numbers when the blob is on a GPU, " +
             "got " + std::to_string(header.size()) + ": blob[:" + std::to_string(sizeof(int32_t) * kHeaderInts) +
             "].view(torch.int32).tolist(), taken before the blob moved.");
    }
    int32_t fields[kHeaderInts];
    for (int i = 0; i < kHeaderInts; ++i) {
        if (header[i] < std::numeric_limits<int32_t>::min() || header[i] > std::numeric_limits<int32_t>::max()) {
            fail("header[" + std::to_string(i) + "] is no 32-bit number: it is not the header of a blob.");
        }
        fields[i] = static_cast<int32_t>(header[i]);
    }
    if (reinterpret_cast<uintptr_t>(blob.const_data_ptr()) % kBlobAlignment != 0) {
        fail("blob must begin at a multiple of " + std::to_string(kBlobAlignment) + " bytes; give a copy of it.");
    }
    return cuda::parse_header(fields, static_cast<size_t>(blob.numel()));
}

// What a call of some rows needs besides its tensors: a plan, and scratch memory for it from torch's allocator, which
// knows streams and graphs. The memory may be freed before the kernel has run: the allocator gives it to later work of
// the same stream only. To be made under the device's guard.
class Preparation {
 public:
    Preparation(const cuda::DevicePolicy& policy, int64_t rows, const Tensor& blob) {
        if (rows == 0) return;  // nothing will be launched
        plan = cuda::current_plan(policy, rows);
        if (plan.workspace_bytes == 0) return;
        memory_ = torch::stable::new_empty(blob, {plan.workspace_bytes});
        workspace = memory_.mutable_data_ptr();
    }

    cuda::Plan plan{};
    void* workspace = nullptr;

 private:
    Tensor memory_;
};

}  // namespace

Tensor cuda_policy_step(const Place& place, const Tensor& obs, const Tensor& residual, const Tensor& noise,
                        const Tensor* latent_seed, const Tensor& blob, const Header& header) {
    const Tensor blob_in = checked_blob(place, blob);
    const cuda::DevicePolicy p = read_header(blob_in, header);
    require_encoder(p.parts);
    const int64_t rows = num_rows(obs, "obs");
    const Tensor obs_in = checked_float(place, obs, "obs", {rows, p.obs_dim});
    const Tensor residual_in = checked_float(place, residual, "residual", {rows, p.latent_dim});
    const Tensor noise_in = checked_float(place, noise, "noise", {rows, p.horizon, p.action_dim});
    Tensor seed_in;
    const uint64_t* seeds = nullptr;
    if (latent_seed != nullptr) {
        seed_in = checked(place, *latent_seed, "latent_seed", ScalarType::Long, "int64", {rows});
        seeds = static_cast<const uint64_t*>(seed_in.const_data_ptr());
    }
    const DeviceGuard guard(place.cuda_index());
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});
    const Preparation prepared(p, rows, blob_in);
    cuda::policy_step(p, prepared.plan, blob_in.const_data_ptr(), data(obs_in), data(residual_in), data(noise_in),
                      seeds, rows, mutable_data(chunk), prepared.workspace, current_stream(place));
    return chunk;
}

std::tuple<Tensor, Tensor> cuda_encode(const Place& place, const Tensor& obs, const Tensor& blob, int64_t latent_dim,
                                       const Header& header) {
    const Tensor blob_in = checked_blob(place, blob);
    const cuda::DevicePolicy p = read_header(blob_in, header);
    require_encoder(p.parts);
    if (latent_dim != p.latent_dim) fail("the policy's latent has " + std::to_string(p.latent_dim) + " dimensions.");
    const int64_t rows = num_rows(obs, "obs");
    const Tensor obs_in = checked_float(place, obs, "obs", {rows, p.obs_dim});
    const DeviceGuard guard(place.cuda_index());
    const Tensor mean = torch::stable::new_empty(obs_in, {rows, p.latent_dim});
    const Tensor logvar = torch::stable::new_empty(obs_in, {rows, p.latent_dim});
    const Preparation prepared(p, rows, blob_in);
    cuda::encode(p, prepared.plan, blob_in.const_data_ptr(), data(obs_in), rows, mutable_data(mean),
                 mutable_data(logvar), prepared.workspace, current_stream(place));
    return {mean, logvar};
}

Tensor cuda_latent(const Place& place, const Tensor& obs, const Tensor& blob, int64_t latent_dim,
                   const Header& header) {
    const Tensor blob_in = checked_blob(place, blob);
    const cuda::DevicePolicy p = read_header(blob_in, header);
    require_encoder(p.parts);
    if (latent_dim != p.latent_dim) fail("the policy's latent has " + std::to_string(p.latent_dim) + " dimensions.");
    const int64_t rows = num_rows(obs, "obs");
    const Tensor obs_in = checked_float(place, obs, "obs", {rows, p.obs_dim});
    const DeviceGuard guard(place.cuda_index());
    const Tensor mean = torch::stable::new_empty(obs_in, {rows, p.latent_dim});
    const Preparation prepared(p, rows, blob_in);
    cuda::encode(p, prepared.plan, blob_in.const_data_ptr(), data(obs_in), rows, mutable_data(mean), nullptr,
                 prepared.workspace, current_stream(place));
    return mean;
}

Tensor cuda_act(const Place& place, const Tensor& latent, const Tensor& noise, const Tensor& blob,
                const Header& header) {
    const Tensor blob_in = checked_blob(place, blob);
    const cuda::DevicePolicy p = read_header(blob_in, header);
    require_bottleneck(p.parts);
    const int64_t rows = num_rows(latent, "latent");
    const Tensor latent_in = checked_float(place, latent, "latent", {rows, p.latent_dim});
    const Tensor noise_in = checked_float(place, noise, "noise", {rows, p.horizon, p.action_dim});
    const DeviceGuard guard(place.cuda_index());
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});
    const Preparation prepared(p, rows, blob_in);
    cuda::act(p, prepared.plan, blob_in.const_data_ptr(), data(latent_in), data(noise_in), rows, mutable_data(chunk),
              prepared.workspace, current_stream(place));
    return chunk;
}

Tensor cuda_from_condition(const Place& place, const Tensor& condition, const Tensor& noise, const Tensor& blob,
                           const Header& header, bool normalised) {
    const Tensor blob_in = checked_blob(place, blob);
    const cuda::DevicePolicy p = read_header(blob_in, header);
    const int64_t rows = num_rows(condition, "condition");
    const Tensor condition_in = checked_float(place, condition, "condition", {rows, p.embed_dim});
    const Tensor noise_in = checked_float(place, noise, "noise", {rows, p.horizon, p.action_dim});
    const DeviceGuard guard(place.cuda_index());
    const Tensor chunk = torch::stable::new_empty(noise_in, {rows, p.horizon, p.action_dim});
    const Preparation prepared(p, rows, blob_in);
    const auto run = normalised ? cuda::integrate : cuda::act_from_condition;
    run(p, prepared.plan, blob_in.const_data_ptr(), data(condition_in), data(noise_in), rows, mutable_data(chunk),
        prepared.workspace, current_stream(place));
    return chunk;
}

Tensor pack_for_cuda(const Tensor& blob, const std::string& precision) {
    const Place place(blob);
    if (place.is_cuda()) fail("blob must be on the CPU: pack it first and move the result.");
    const cuda::Precision parsed = cuda::parse_precision(precision);
    const Tensor blob_in = checked_blob(place, blob);
    const Policy policy = parse_policy(blob_in.const_data_ptr(), static_cast<size_t>(blob_in.numel()));
    require_finite_weights(policy);  // on the GPU nothing looks for NaN
    const int64_t bytes = static_cast<int64_t>(cuda::packed_bytes(policy, parsed));
    const Tensor packed = torch::stable::new_empty(blob_in, {bytes});
    cuda::pack(policy, parsed, packed.mutable_data_ptr());
    return packed;
}

std::string cuda_plan(const Tensor& blob, int64_t rows, const Header& header) {
    const Place place(blob);
    if (!place.is_cuda()) fail("blob must be on a CUDA device.");
    const cuda::DevicePolicy p = read_header(checked_blob(place, blob), header);
    const DeviceGuard guard(place.cuda_index());
    return cuda::describe(cuda::current_plan(p, rows));
}

std::string cuda_kernels(const Tensor& blob) {
    const Place place(blob);
    if (!place.is_cuda()) fail("blob must be on a CUDA device.");
    const DeviceGuard guard(place.cuda_index());
    std::string lines;
    for (const cuda::KernelResources& kernel : cuda::kernel_resources()) {
        lines += kernel.name + ": sm_" + std::to_string(kernel.binary_version) + ", " +
                 std::to_string(kernel.registers) + " registers, " + std::to_string(kernel.local_bytes) +
                 " bytes spilled, " + std::to_string(kernel.static_shared) + " bytes of static shared memory\n";
    }
    return lines;
}

}  // namespace zprl::ops
