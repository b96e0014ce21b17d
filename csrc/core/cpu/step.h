// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step for one instruction set: what step_*.cpp compile, and policy_step.cpp chooses from.

#pragma once

#include <cstddef>
#include <cstdint>

#include "../policy_blob.h"

namespace zprl {

// Parts of a step, for the profiler.
enum class Stage : int {
    kEncode,  // with the normaliser and the embedding
    kActor,
    kDecode,
    kModulate,
    kInput,
    kLayerNorm,
    kBlockIn,
    kBlockOut,
    kDown,  // of a U-Net, with what changes the level
    kMiddle,
    kUp,
    kOutput,
    kSolver,
    kChunk,  // the flow's start, and the way back to the task's units
    kCount
};

// Adds up the time that a step spends in each part.
struct StageClock {
    double (*now)();  // [s]
    double last;      // end of the part before, to begin with of nothing
    double seconds[static_cast<int>(Stage::kCount)];
};

// Time since the last call belongs to a stage.
ZPRL_ALWAYS_INLINE void end_stage(StageClock* clock, Stage stage) {
    if (clock == nullptr) return;
    const double now = clock->now();
    clock->seconds[static_cast<int>(stage)] += now - clock->last;
    clock->last = now;
}

// Threads that go through one step together: each makes the same call, with the same workspace. Between the loops they
// change local variables alone, since a thread may come late and skip some; see SharedLoops.
struct StepTeam {
    // Call work(context, i) for every i < count, in whichever thread is free; return when all are done.
    void (*for_each)(void* team, int count, void (*work)(const void* context, int i), const void* context);
    void* team;
};

// Call work(i) for every i < count, in a team's threads or, without one, here.
template <typename Work>
ZPRL_ALWAYS_INLINE void for_each(const StepTeam* team, int count, const Work& work) {
    if (team == nullptr) {
        for (int i = 0; i < count; ++i) work(i);
        return;
    }
    const auto call = [](const void* context, int i) { (*static_cast<const Work*>(context))(i); };
    team->for_each(team->team, count, call, &work);
}

// Call work() in one of a team's threads; the others wait.
template <typename Work>
ZPRL_ALWAYS_INLINE void alone(const StepTeam* team, const Work& work) {
    for_each(team, 1, [&](int) { work(); });
}

// Arguments of a policy step, or of its end; see policy_step.h. What is null is not there.
struct StepArguments {
    // Where it starts: one of these.
    const float* obs = nullptr;
    const double* latent = nullptr;
    const float* rounded_latent = nullptr;
    const float* condition = nullptr;

    // Of a step that starts at observations.
    const float* residual = nullptr;
    const uint64_t* latent_seed = nullptr;
    float* latent_mean = nullptr;
    float* decoded_latent = nullptr;

    const float* noise = nullptr;
    int64_t rows = 0;
    float* chunk = nullptr;
    bool normalised = false;  // whether the chunk stays in the flow's units
    StageClock* clock = nullptr;
    const StepTeam* team = nullptr;  // of a policy with a U-Net
};

// Arguments of an encoding: mean and log-variance of the latent, or the mean alone as it is computed.
struct EncodeArguments {
    const float* obs;
    int64_t rows;
    float *mean = nullptr, *logvar = nullptr;  // both or none
    double* exact_mean = nullptr;              // or null
};

// One instruction set's functions. Those of bf16 are null where the processor does not multiply it.
struct StepFunctions {
    const char* name;
    struct OfDtype {
        size_t (*workspace_floats)(const Policy&, int64_t rows);
        void (*policy_step)(const Policy&, const StepArguments&, float* workspace);
        void (*encode)(const Policy&, const EncodeArguments&, float* workspace);
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
