// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// An exported policy in a control loop: an observation in, the next action out, at every control step.
//
// Plans. A chunk that was planned from the observation of step r holds the actions of steps r, r + 1, ..., r + H - 1.
// Ta steps after r the next chunk is planned from the observation of that step. With synchronous planning step() waits
// for it, and its first action goes out in the same step: what training and evaluation did. With asynchronous planning
// a thread of the controller computes it while the old chunk goes on, and it takes over lead_steps later: from its
// action number lead_steps on, which is the one for that step. It takes over at once if it comes later than that.
//
// Hand-over. For blend_steps steps after a chunk takes over, the action is (1 - w) * old + w * new with
// w = 1 / (blend_steps + 1), 2 / (blend_steps + 1), ...; old is what would have been sent without the new chunk: the
// old chunk's continuation, or its last action where it ends, or after a hold the last action that was sent.
//
// Faults. A hold is the contract's safe action, whose null dimensions repeat the last action, also that of the episode
// before. Where none is known yet, they are NaN: leave that element of the robot as it is. Until a fault is over:
//
// - Planning is late or fails, or its thread is stuck or dead: the old chunk goes on to its end, then hold. The next
//   plan that comes, and is not too old, takes over; a dead thread never comes back.
// - A plan holds NaN or infinity: it is thrown away, as if planning had failed.
// - An image is missing or has another size where a plan is to begin: as if planning had failed, until it is there.
// - An observation holds NaN or infinity: options.on_not_finite; nothing is planned from it.
// - An observation is out of training's range: options.on_out_of_range; nothing is planned from it unless that is
//   kReport.
// - A step comes more than stale_steps after the last one, or planning within step() took that long: chunk, plan and
//   observation are of another time. Hold in that step, and plan anew in the next.
//
// Limits. Every action, held ones as well, is kept within the contract's limits, and no further from the last one than
// rate_margin times the largest change of training: also the first one of an episode, whose last one is that of the
// episode before, or at the very first the safe action, which is what a robot at rest does. For kCatchUpSteps from a
// reset, and from where a hold begins or ends, the limit is wide enough to reach the wanted action by then, however
// little the dimension moved in training; once it is reached, training's limit holds again. lambda bounds the residual
// by construction (see policy_blob.h).
//
// After the constructor nothing here allocates, locks or logs, unless the back end does. (The planning thread waits on
// a semaphore, and step() posts it: one system call.)

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "bundle.h"

namespace zprl {

enum class OnBadObservation {
    kReport,    // a flag in the status, nothing else (NaN: as kContinue, since no plan can come of it)
    kContinue,  // the old chunk goes on to its end, then hold
    kHold,      // hold, and plan anew afterwards
    kStop,      // hold until reset()
};

struct ControllerOptions {
    int execute_steps = 0;  // Ta [control steps]; 0 for the contract's
    int blend_steps = 0;    // [control steps], at most Ta; 0 hands over at once
    bool asynchronous = false;
    int lead_steps = 1;  // [control steps]; asynchronous planning only; Ta + lead_steps at most H

    // An observation is out of range if an element is outside of training's range by more than this part of the range's
    // width, plus range_slack in its unit for elements that never moved. Infinite: never.
    double range_margin = 0.5;
    double range_slack = 0.01;
    OnBadObservation on_not_finite = OnBadObservation::kContinue;
    OnBadObservation on_out_of_range = OnBadObservation::kHold;

    double rate_margin = 2.0;  // of the contract's max_change; infinite for no limit

    double stale_steps = 3.0;  // time after which chunk and observation are stale [control steps]; infinite: never

    // Monotonic time [s], asked for by step() and by the planning thread; empty for std::chrono::steady_clock.
    std::function<double()> clock;

    // Called once by the planning thread, for example with make_realtime(). What it throws, the constructor throws.
    std::function<void()> on_thread_start;
};

// Steps within which the limit on the change lets the action catch up with the wanted one, after a hold or a reset.
constexpr int kCatchUpSteps = 20;

enum StatusFlag : uint32_t {
    kPlanned = 1u << 0,     // a new chunk took over
    kHolding = 1u << 1,     // the action is the safe one
    kBlending = 1u << 2,    // the action is a mixture of two chunks
    kLate = 1u << 3,        // a plan is overdue; synchronous: planning took longer than a period
    kPlanFailed = 1u << 4,  // planning failed, its result was not finite, or an image was missing; see last_error()
    kPlanTooOld = 1u << 5,  // a plan came so late that nothing was left of it
    kThreadDead = 1u << 6,  // the planning thread ended
    kObservationNotFinite = 1u << 7,
    kObservationOutOfRange = 1u << 8,
    kStopped = 1u << 9,       // until reset()
    kLimited = 1u << 10,      // a limit changed the action
    kRateLimited = 1u << 11,  // so did the limit on its change
    kStale = 1u << 12,        // too much time passed since the last step, or within this one
    kNoCommand = 1u << 13,    // elements of the action are NaN: leave them as they are
};

// Of one step.
struct Status {
    uint32_t flags = 0;
    int64_t step = 0;      // number of this step, from 0
    int chunk_index = -1;  // index of the action within its chunk, which is the chunk's age [control steps]; -1: hold
    int observation_index = -1;     // first element of the observation that is not finite or out of range; -1: none
    int64_t plans = 0;              // chunks that took over so far
    double planning_time = 0.0;     // of the newest chunk [s]
    float latent_distance = 0.0f;   // of the newest chunk's latent, see latent_distance(); NaN: not known
    float decoded_distance = 0.0f;  // likewise after steering
};

// Root mean square of (z - mean) / std over the latent's dimensions: about 1 for latents as in training, and larger the
// further an observation is from those of training.
float latent_distance(const Contract& contract, const float* z);

// Names of a status's flags, for logs.
std::vector<std::string> flag_names(uint32_t flags);

class ChunkController {
 public:
    // Allocates everything, plans once on an observation of zeros or the middle of its range, and black images, to warm
    // up, and starts the planning thread. Throws std::invalid_argument with one sentence if an option does not fit the
    // contract, or the contract's limits are none.
    ChunkController(const Contract& contract, std::unique_ptr<Backend> backend, const ControllerOptions& options = {});
    // Waits for a plan that is under way.
    ~ChunkController();
    ChunkController(const ChunkController&) = delete;
    ChunkController& operator=(const ChunkController&) = delete;

    // One control step, by one thread at a time.
    //
    //   obs     the state alone will do where needs_images() was false, or the policy sees none
    //   action  [action_dim], written
    Status step(const Observation& obs, float* action) noexcept;

    // Whether the next step may plan, for which it looks at the images (and copies them). In other steps it does not.
    bool needs_images() const;

    // Begin a new episode: forget the chunk and a stop. A plan that is under way is thrown away. The limit on the
    // change still counts from the last action.
    //
    //   last_action  [action_dim], what the robot was commanded since by others, NaN where it is not known; or null, if
    //                nothing else commanded it
    void reset(const float* last_action = nullptr) noexcept;

    // Whether the planning thread is at work (or died at it).
    bool planning() const;

    const Contract& contract() const;
    const Backend& backend() const;

    // Why planning failed last; empty if it never did.
    const char* last_error() const;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace zprl
