// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Calls of the core's functions on a batch, and what each should return.

#pragma once

#include <string>
#include <vector>

#include "core_reference.h"
#include "policy_step.h"

namespace core_check {

struct Batch {
    int64_t rows = 0;
    std::vector<float> obs, residual, noise, condition;
    std::vector<uint64_t> seeds;

    // Rows [first, first + count).
    Batch part(const Shape& s, int64_t first, int64_t count) const {
        const auto cut = [&](const auto& values, int width) {
            return std::decay_t<decltype(values)>(values.begin() + first * width,
                                                  values.begin() + (first + count) * width);
        };
        Batch result;
        result.rows = count;
        result.obs = cut(obs, s.obs);
        result.residual = cut(residual, s.latent);
        result.noise = cut(noise, s.chunk());
        result.condition = cut(condition, s.embed);
        result.seeds = cut(seeds, 1);
        return result;
    }
};

Batch random_batch(const Shape& shape, int64_t rows, Random& random);

enum class Call {
    kStep,
    kSampledStep,
    kPlainStep,
    kLatents,
    kEncode,
    kHalves,  // latent(), plus the residual, and act() in double precision: kStep, but for an actor
    kAct,     // act() on the residual
    kActFromCondition,
    kIntegrate,
    kPlainIntegrate,
};
constexpr Call kCalls[] = {Call::kStep,      Call::kSampledStep,   Call::kPlainStep, Call::kLatents,
                           Call::kEncode,    Call::kHalves,        Call::kAct,       Call::kActFromCondition,
                           Call::kIntegrate, Call::kPlainIntegrate};
const char* name(Call call);

// What it starts at, and whether a policy of these parts starts there.
enum class Start { kObservation, kLatent, kCondition };
Start start_of(Call call);
bool can(int32_t parts, Call call);

// Whether its result is two latents per row, rather than a chunk.
bool gives_latents(Call call);
int width_of(Call call, const Shape& shape);

// Call the core on copies of the arguments, `shift` bytes off malloc's alignment. The result of encode is per row mean
// and log-variance, one after the other, and that of a step's latents the mean and the decoded latent.
std::vector<float> run(const zprl::Policy& policy, const Shape& shape, const Batch& batch, Call call, size_t shift,
                       int threads = 1);

// What one row of the result should be.
Numbers reference_row(const Reference& reference, const Shape& shape, const Batch& batch, Call call, int64_t row);

// Multiply-adds of one row of a whole step.
double multiply_adds(const zprl::Policy& policy);

}  // namespace core_check
