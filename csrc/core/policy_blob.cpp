// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Parsing of the policy blob. Every number of the header is checked before it is used, so that a damaged blob ends in a
// sentence and never in a read outside of it.

#include "policy_blob.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace zprl {
namespace {

// Order as in the header field and in SOLVER_NAMES of zprl/policy/flow_policy_cfg.py: Euler, midpoint, Heun, RK4.
constexpr Solver kSolvers[] = {
    {1, 1, {0.0f}, {1.0f}},
    {2, 2, {0.0f, 0.5f}, {0.0f, 1.0f}},
    {2, 1, {0.0f, 1.0f}, {0.5f, 0.5f}},
    {4, 2, {0.0f, 0.5f, 0.5f, 1.0f}, {1.0f / 6, 1.0f / 3, 1.0f / 3, 1.0f / 6}},
};
constexpr int kNumSolvers = sizeof(kSolvers) / sizeof(kSolvers[0]);

// Far above any policy, and small enough that no product of two sizes below overflows 64 bits.
constexpr int32_t kMaxSize = 1 << 20;

[[noreturn]] void fail(const std::string& sentence) {
    throw std::invalid_argument("invalid ZPRL policy blob: " + sentence);
}

int read_size(const int32_t* header, int field, const char* name, int32_t max = kMaxSize) {
    const int32_t value = header[field];
    if (value < 1 || value > max) fail(std::string(name) + " is " + std::to_string(value) + ".");
    return value;
}

// Hands out consecutive pieces of the payload. It counts past the end as well; the caller compares the total with the
// payload's length before any piece is read.
class Reader {
 public:
    explicit Reader(const float* payload) : payload_(payload) {}

    const float* take(int64_t count) {
        const int64_t start = used_;
        used_ += count;
        return payload_ + start;
    }

    Linear take_linear(int in, int out) {
        const float* weight = take(static_cast<int64_t>(in) * out);
        return {weight, take(out), in, out};
    }

    Mlp take_mlp(int in, const int32_t* hidden, int num_hidden, bool reversed, int out) {
        Mlp mlp;
        for (int i = 0; i < num_hidden; ++i) {
            const int width = hidden[reversed ? num_hidden - 1 - i : i];
            mlp.layers[mlp.count++] = take_linear(in, width);
            in = width;
        }
        mlp.layers[mlp.count++] = take_linear(in, out);
        return mlp;
    }

    int64_t used() const { return used_; }

 private:
    const float* payload_;
    int64_t used_ = 0;
};

}  // namespace

Policy parse_policy(const void* blob, size_t bytes) {
    constexpr size_t kHeaderBytes = kHeaderInts * sizeof(int32_t);
    if (blob == nullptr || bytes < kHeaderBytes) fail("it is shorter than its header.");
    if (reinterpret_cast<uintptr_t>(blob) % alignof(float) != 0) fail("it does not start at a multiple of 4 bytes.");
    const auto* header = static_cast<const int32_t*>(blob);
    if (header[kFieldMagic] != kMagic) fail("it does not start with the letters ZPRL.");
    if (header[kFieldVersion] != kVersion) {
        fail("its version is " + std::to_string(header[kFieldVersion]) + ", and this library reads version " +
             std::to_string(kVersion) + ".");
    }

    Policy p{};
    p.obs_dim = read_size(header, kFieldObsDim, "the observation width");
    p.action_dim = read_size(header, kFieldActionDim, "the action width");
    p.horizon = read_size(header, kFieldHorizon, "the horizon", kMaxSize / p.action_dim);
    p.embed_dim = read_size(header, kFieldEmbedDim, "the embedding width");
    p.latent_dim = read_size(header, kFieldLatentDim, "the latent width");
    p.num_steps = read_size(header, kFieldNumSteps, "the number of solver steps", 1 << 16);
    p.hidden_dim = read_size(header, kFieldHiddenDim, "the hidden width");
    p.num_blocks = read_size(header, kFieldNumBlocks, "the number of blocks", 1 << 10);
    const int32_t solver = header[kFieldSolver];
    if (solver < 0 || solver >= kNumSolvers) fail("its solver is number " + std::to_string(solver) + ".");
    p.solver = kSolvers[solver];
    p.time_rows =
        static_cast<int>(p.solver.rows_per_step * (p.num_steps - 1 + p.solver.nodes[p.solver.stages - 1]) + 1);

    const int32_t num_embed = header[kFieldNumEmbedHidden], num_vib = header[kFieldNumVibHidden];
    if (num_embed < 0 || num_embed > kMaxHiddenLayers || num_vib < 0 || num_vib > kMaxHiddenLayers) {
        fail("its number of hidden layers is not within 0 and " + std::to_string(kMaxHiddenLayers) + ".");
    }
    for (int i = 0; i < num_embed; ++i) read_size(header, kFieldEmbedHidden + i, "a hidden width of the embedding");
    for (int i = 0; i < num_vib; ++i) read_size(header, kFieldVibHidden + i, "a hidden width of the bottleneck");

    p.payload = reinterpret_cast<const float*>(header + kHeaderInts);
    p.payload_floats = static_cast<int64_t>((bytes - kHeaderBytes) / sizeof(float));
    Reader reader(p.payload);
    p.obs_mean = reader.take(p.obs_dim);
    p.obs_std = reader.take(p.obs_dim);
    p.embedding = reader.take_mlp(p.obs_dim, header + kFieldEmbedHidden, num_embed, false, p.embed_dim);
    p.encoder = reader.take_mlp(p.embed_dim, header + kFieldVibHidden, num_vib, false, 2 * p.latent_dim);
    p.decoder = reader.take_mlp(p.latent_dim, header + kFieldVibHidden, num_vib, true, p.embed_dim);
    p.modulation = reader.take_linear(p.embed_dim, 4 * p.hidden_dim);
    p.input = reader.take_linear(p.chunk_dim(), p.hidden_dim);
    p.time_table = reader.take(static_cast<int64_t>(p.time_rows) * p.num_blocks * 3 * p.hidden_dim +
                               static_cast<int64_t>(p.time_rows) * 3 * p.hidden_dim);
    p.blocks =
        reader.take(2 * static_cast<int64_t>(p.num_blocks) * (static_cast<int64_t>(p.hidden_dim) + 1) * p.hidden_dim);
    p.output = reader.take_linear(p.hidden_dim, p.chunk_dim());
    p.action_mean = reader.take(p.action_dim);
    p.action_std = reader.take(p.action_dim);
    p.action_low = reader.take(p.action_dim);
    p.action_high = reader.take(p.action_dim);

    if (reader.used() != header[kFieldPayloadFloats] || reader.used() != p.payload_floats ||
        (bytes - kHeaderBytes) % sizeof(float) != 0) {
        fail("its sizes ask for " + std::to_string(reader.used()) + " numbers, and it holds " +
             std::to_string(p.payload_floats) + "; it is truncated or damaged.");
    }
    return p;
}

void require_finite_weights(const Policy& policy) {
    // The action limits come last and may be infinite, which means none.
    const int64_t limits = policy.payload_floats - 2 * static_cast<int64_t>(policy.action_dim);
    for (int64_t i = 0; i < policy.payload_floats; ++i) {
        const float value = policy.payload[i];
        if (i < limits ? !std::isfinite(value) : std::isnan(value)) {
            fail("its weight number " + std::to_string(i) + " is not a finite number.");
        }
    }
}

}  // namespace zprl
