// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step for one instruction set: what step_*.cpp compile, and dispatch.h chooses from.

#pragma once

#include <cstddef>
#include <cstdint>

#include "../policy_blob.h"

namespace zprl {

// Arguments of a policy step; see policy_step.h.
struct StepArguments {
    const float* obs;
    const float* residual;        // or null
    const float* noise;           // or null
    const uint64_t* latent_seed;  // or null
    int64_t rows;
    float* chunk;
    float* latent_mean;     // or null
    float* decoded_latent;  // or null
};

// Parts of a step, for the profiler.
enum class Stage : int { kEncode, kCondition, kInput, kLayerNorm, kBlockIn, kBlockOut, kOutput, kSolver, kCount };

// One instruction set's functions. Those of bf16 are null where the processor does not multiply it.
struct StepFunctions {
    const char* name;
    struct OfDtype {
        size_t (*workspace_floats)(const Policy&, int64_t rows);
        void (*policy_step)(const Policy&, const StepArguments&, float* workspace);
        void (*encode)(const Policy&, const float* obs, int64_t rows, float* mean, float* logvar, float* workspace);
        void (*integrate)(const Policy&, const float* condition, const float* noise, int64_t rows, float* chunk,
                          float* workspace);
        void (*run_stage)(const Policy&, Stage, int rows, float* workspace);
        // As many dependent-free multiply-adds as a matrix product makes; returns their number of operations.
        double (*peak)(int repeats, float* result);
    } float32, bfloat16;
    // Read memory over and over, as the product with a single row does.
    void (*stream)(const float* data, size_t floats, float* result);
};

extern const StepFunctions kPortableStep;
#if defined(__x86_64__)
extern const StepFunctions kAvx2Step, kAvx512Step, kAvx512Bf16Step, kAmxStep;
#endif

}  // namespace zprl
