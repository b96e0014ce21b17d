// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Replay of a bundle's recording: what the policy did in the simulator, in training's own program.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backend.h"
#include "bundle.h"

namespace zprl {

struct GoldenResult {
    int64_t steps = 0, plans = 0, episodes = 0;
    std::vector<double> error;      // largest absolute error of each action dimension of the chunks, in its unit
    std::vector<double> tolerance;  // likewise, from the contract
    double relative_error = 0.0;    // largest error of the chunks, of their root mean square
    double latent_error = 0.0;      // likewise of the latent's mean; NaN if the back end does not give it
    double action_error = 0.0;      // largest absolute difference of the actions that went out in the loop
    int64_t misplaced_plans = 0;    // plans of the loop where the recording has none, or the other way round
    bool passed = false;
};

// The recorded observations, one per control step. Images are recorded of those alone that were planned on.
class GoldenObservations {
 public:
    GoldenObservations(GoldenObservations&&) = default;  // not a copy, whose images would be the original's

    int64_t steps() const { return static_cast<int64_t>(newest_plan_.size()); }

    // What was observed before a step; as to images, before the last step until then that was planned on, if any was.
    Observation at(int64_t step) const;

 private:
    friend class Recording;
    GoldenObservations() = default;

    size_t obs_dim_ = 0, image_count_ = 0;
    std::vector<float> state_;               // [steps][obs_dim]
    std::vector<std::vector<char>> pixels_;  // by image: of all plans
    std::vector<Image> images_;              // [plans][images], of the pixels
    std::vector<int64_t> newest_plan_;       // [steps], -1 for none
};

// Plan on all recorded observations, then run the recorded episodes through a ChunkController as training ran them.
// Throws std::invalid_argument with one sentence if there is no recording or it does not fit the contract.
//
//   make_backend  called twice
//   file          the back end's file in the bundle, whose tolerance counts
GoldenResult replay_golden(const Bundle& bundle, const std::string& file,
                           const std::function<std::unique_ptr<Backend>()>& make_backend);

// The observations alone, of one step at least. Throws likewise.
GoldenObservations golden_observations(const Bundle& bundle);

}  // namespace zprl
