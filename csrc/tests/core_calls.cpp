// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "core_calls.h"

#include <algorithm>

namespace core_check {

namespace {

const char* const kCallNames[] = {
    "policy_step",
    "policy_step with seeds",
    "policy_step with nulls",
    "latents of policy_step",
    "encode",
    "latent and act",
    "act",
    "act_from_condition",
    "integrate",
    "integrate with nulls",
};

}  // namespace

Batch random_batch(const Shape& s, int64_t rows, Random& random) {
    Batch batch;
    batch.rows = rows;
    batch.obs = random.normals(rows * s.obs, 2.0);
    batch.residual = random.normals(rows * s.latent, 0.5);
    batch.noise = random.normals(rows * s.chunk(), 1.0);
    batch.condition = random.normals(rows * s.embed, 1.0);
    for (int64_t i = 0; i < rows; ++i) batch.seeds.push_back(random.bits());
    return batch;
}

const char* name(Call call) { return kCallNames[static_cast<int>(call)]; }

Start start_of(Call call) {
    switch (call) {
        case Call::kAct:
            return Start::kLatent;
        case Call::kActFromCondition:
        case Call::kIntegrate:
        case Call::kPlainIntegrate:
            return Start::kCondition;
        default:
            return Start::kObservation;
    }
}

bool can(int32_t parts, Call call) {
    switch (start_of(call)) {
        case Start::kObservation:
            return (parts & zprl::kPartEncoder) != 0;
        case Start::kLatent:
            return (parts & zprl::kPartBottleneck) != 0;
        default:
            return true;
    }
}

bool gives_latents(Call call) { return call == Call::kEncode || call == Call::kLatents; }

int width_of(Call call, const Shape& s) { return gives_latents(call) ? 2 * s.latent : s.chunk(); }

Numbers reference_row(const Reference& reference, const Shape& s, const Batch& batch, Call call, int64_t row) {
    const float *obs = batch.obs.data() + row * s.obs, *residual = batch.residual.data() + row * s.latent,
                *noise = batch.noise.data() + row * s.chunk(), *condition = batch.condition.data() + row * s.embed;
    switch (call) {
        case Call::kStep:
            return reference.step(obs, residual, noise, nullptr);
        case Call::kSampledStep:
            return reference.step(obs, residual, noise, batch.seeds.data() + row);
        case Call::kPlainStep:
            return reference.step(obs, nullptr, nullptr, nullptr);
        case Call::kLatents: {
            Numbers both = reference.encode(obs);
            const Numbers decoded = reference.latents(obs, residual, batch.seeds.data() + row);
            std::copy(decoded.begin(), decoded.end(), both.begin() + s.latent);
            return both;
        }
        case Call::kEncode:
            return reference.encode(obs);
        case Call::kHalves: {
            Numbers latent = reference.encode(obs);
            latent.resize(s.latent);
            for (int i = 0; i < s.latent; ++i) latent[i] += static_cast<double>(residual[i]);
            return reference.chunk_of(latent, noise);
        }
        case Call::kAct:
            return reference.chunk_of({residual, residual + s.latent}, noise);
        case Call::kActFromCondition:
            return reference.in_units(reference.integrate({condition, condition + s.embed}, noise));
        case Call::kIntegrate:
            return reference.integrate({condition, condition + s.embed}, noise);
        default:
            return reference.integrate({condition, condition + s.embed}, nullptr);
    }
}

}  // namespace core_check
