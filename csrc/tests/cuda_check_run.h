// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: policies packed for a GPU, and calls of the kernels on the emulated one.

#pragma once

#include <type_traits>

#include "cuda/cluster_step.cuh"
#include "cuda/memory.h"
#include "cuda/narrow_tile_step.cuh"
#include "cuda/policy_step.h"
#include "cuda/tile_step.cuh"
#include "cuda/wgmma_tile_step.cuh"

namespace core_check {
namespace {

using zprl::cuda::DevicePolicy;
using zprl::cuda::DeviceProperties;
using zprl::cuda::Kernel;
using zprl::cuda::KernelArguments;
using zprl::cuda::KernelChoice;
using zprl::cuda::Placement;
using zprl::cuda::Plan;
using zprl::cuda::Precision;

// 16-byte aligned bytes, as a tensor's on a GPU.
struct Blob {
    explicit Blob(size_t count) : storage(count / 16 + 1), bytes(count) {}
    char* data() { return reinterpret_cast<char*>(storage.data()); }
    const int32_t* header() const { return reinterpret_cast<const int32_t*>(storage.data()); }
    struct alignas(16) Piece {
        char bytes[16];
    };
    std::vector<Piece> storage;
    size_t bytes;
};

Blob pack_for_cuda(const std::vector<char>& cpu_blob, Precision precision) {
    const zprl::Policy policy = zprl::parse_policy(cpu_blob.data(), cpu_blob.size());
    Blob blob(zprl::cuda::packed_bytes(policy, precision));
    zprl::cuda::pack(policy, precision, blob.data());
    return blob;
}

template <typename Unit, typename Ring>
void run_tile(const KernelArguments& arguments, const Plan& plan) {
    using zprl::cuda::TileEngine;
    switch (plan.tile_rows) {
        case zprl::cuda::kNarrowRows:
            return zprl::cuda::run_tile<Unit, zprl::cuda::NarrowTileEngine<Ring>>(arguments, plan.cluster_size);
        case 16:
            return zprl::cuda::run_tile<Unit, TileEngine<Ring, 1>>(arguments, plan.cluster_size);
        case 32:
            return zprl::cuda::run_tile<Unit, TileEngine<Ring, 2>>(arguments, plan.cluster_size);
        default:
            return zprl::cuda::run_tile<Unit, TileEngine<Ring, 4>>(arguments, plan.cluster_size);
    }
}

template <typename Unit>
void run_wgmma_tile(const KernelArguments& arguments, const Plan& plan) {
    switch (plan.placement) {
        case Placement::kShared:
            return zprl::cuda::run_wgmma_tile<Unit, Placement::kShared>(arguments, plan.cluster_size);
        case Placement::kModulation:
            return zprl::cuda::run_wgmma_tile<Unit, Placement::kModulation>(arguments, plan.cluster_size);
        case Placement::kOnce:
            return zprl::cuda::run_wgmma_tile<Unit, Placement::kOnce>(arguments, plan.cluster_size);
        case Placement::kStream:
            return zprl::cuda::run_wgmma_tile<Unit, Placement::kStream>(arguments, plan.cluster_size);
        case Placement::kOneOperand:
            return zprl::cuda::run_wgmma_tile<Unit, Placement::kOneOperand>(arguments, plan.cluster_size);
        default:
            throw CheckFailed("there is no such kernel on wgmma");
    }
}

template <typename Unit>
void run_kernel(const KernelArguments& arguments, const Plan& plan) {
    if (plan.kernel == Kernel::kCluster) return zprl::cuda::run_cluster<Unit>(arguments, plan.cluster_size);
    if constexpr (!std::is_same_v<Unit, zprl::cuda::Fp32Unit>) {
        if (plan.kernel == Kernel::kWgmmaTile) {
            return run_wgmma_tile<Unit>(arguments, plan);
        }
    }
    if (plan.cluster_size > 1) return run_tile<Unit, zprl::cuda::ProducerRing<Unit, false>>(arguments, plan);
    run_tile<Unit, zprl::cuda::CopyRing<Unit>>(arguments, plan);
}

// As core_check.cpp's run(), on the emulated GPU.
std::vector<float> run(Blob& blob, const Plan& plan, const Shape& s, const Batch& batch, Call call, uint64_t seed) {
    const DevicePolicy policy = zprl::cuda::parse_header(blob.header(), blob.bytes);
    Memory<float> obs(batch.obs, 0), residual(batch.residual, 0), noise(batch.noise, 0), condition(batch.condition, 0);
    Memory<uint64_t> seeds(batch.seeds, 0);
    Memory<float> chunk(call == Call::kEncode ? 0 : batch.rows * s.chunk(), 0);
    Memory<float> mean(call == Call::kEncode ? batch.rows * s.latent : 0, 0), logvar(mean.values().size(), 0);
    Memory<char> workspace(plan.workspace_bytes, 0);
    KernelArguments arguments{policy, zprl::cuda::lay_out_memory(policy, plan), {}};
    zprl::cuda::Call& c = arguments.call;
    c.operation = call == Call::kEncode                                       ? zprl::cuda::Operation::kEncode
                  : call == Call::kAct                                        ? zprl::cuda::Operation::kAct
                  : call == Call::kActFromCondition                           ? zprl::cuda::Operation::kActFromCondition
                  : call == Call::kIntegrate || call == Call::kPlainIntegrate ? zprl::cuda::Operation::kIntegrate
                                                                              : zprl::cuda::Operation::kStep;
    c.blob = blob.data();
    c.rows = batch.rows;
    c.workspace = workspace.data();
    const bool plain = call == Call::kPlainStep || call == Call::kPlainIntegrate;
    if (start_of(call) == Start::kObservation) c.obs = obs.data();
    if (start_of(call) == Start::kLatent) c.latent = residual.data();
    if (start_of(call) == Start::kCondition) c.condition = condition.data();
    if (call == Call::kStep || call == Call::kSampledStep) c.residual = residual.data();
    if (!plain && call != Call::kEncode) c.noise = noise.data();
    if (call == Call::kSampledStep) c.latent_seed = seeds.data();
    c.chunk = chunk.data();
    c.mean = mean.data();
    c.logvar = logvar.data();
    zprl::cuda::emulation::machine().run(plan.blocks, plan.cluster_size, plan.threads, plan.shared_bytes, seed, [&] {
        switch (policy.precision) {
            case Precision::kFloat32:
                return run_kernel<zprl::cuda::Fp32Unit>(arguments, plan);
            case Precision::kTf32:
                return run_kernel<zprl::cuda::Tf32Unit>(arguments, plan);
            default:
                return run_kernel<zprl::cuda::Bf16Unit>(arguments, plan);
        }
    });
    for (const Memory<float>* memory : {&obs, &residual, &noise, &condition, &chunk, &mean, &logvar}) {
        memory->require_guards("an array");
    }
    workspace.require_guards("the workspace");
    if (call != Call::kEncode) return chunk.values();
    std::vector<float> result;
    const std::vector<float> means = mean.values(), logvars = logvar.values();
    for (int64_t row = 0; row < batch.rows; ++row) {
        result.insert(result.end(), means.begin() + row * s.latent, means.begin() + (row + 1) * s.latent);
        result.insert(result.end(), logvars.begin() + row * s.latent, logvars.begin() + (row + 1) * s.latent);
    }
    return result;
}

Shape shape_of(int hidden, int blocks, int solver, int steps, int action, int horizon, int obs, int embed, int latent,
               std::vector<int> embed_hidden, std::vector<int> vib_hidden) {
    Shape s;
    s.obs = obs;
    s.action = action;
    s.horizon = horizon;
    s.embed = embed;
    s.latent = latent;
    s.hidden = hidden;
    s.blocks = blocks;
    s.solver = solver;
    s.steps = steps;
    s.embed_hidden = std::move(embed_hidden);
    s.vib_hidden = std::move(vib_hidden);
    return s;
}

}  // namespace
}  // namespace core_check
