// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What computes an action chunk.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bundle.h"
#include "observation.h"

namespace zprl {

class Backend {
 public:
    virtual ~Backend() = default;

    virtual const char* name() const = 0;

    // One policy step, from a raw observation to an action chunk in the action's own units. Called by one thread at a
    // time, and any number of times. A back end that fails throws std::exception; the caller keeps the chunk it has.
    //
    //   obs      with its images, which need not last longer than the call
    //   chunk    [horizon * action_dim], written
    //   mean     [latent_dim], written: the latent's mean, or NaN if the back end does not give it
    //   decoded  [latent_dim], written: the latent that was decoded, after steering, or NaN likewise
    virtual void plan(const Observation& obs, float* chunk, float* mean, float* decoded) = 0;
};

// Our own core on policy.zprl, on the calling thread. plan() neither allocates nor locks nor throws.
// Throws std::invalid_argument if the policy sees images, of which the core has no encoder, or if the file is missing,
// damaged, does not fit the contract or this processor.
std::unique_ptr<Backend> make_native_backend(const Bundle& bundle);

// Name of the file that it runs. Throws likewise if there is none, or the policy sees images.
const std::string& native_file(const Bundle& bundle);

}  // namespace zprl
