// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What a policy sees at one control step.

#pragma once

#include <cstddef>

#include "bundle.h"

namespace zprl {

// One image as its camera gives it: raw and row-major, of the shape and dtype of its group in the contract. Colours are
// bytes, depths [m] are floats.
struct Image {
    const void* data = nullptr;
    size_t bytes = 0;
};

// The state and the images, which stay the caller's.
struct Observation {
    // Implicit: a policy without images is asked with its state alone.
    Observation(const float* state, const Image* images = nullptr) : state(state), images(images) {}

    const float* state;   // [obs_dim], raw, in the contract's order and units; not looked at if obs_dim is 0
    const Image* images;  // one for each of the contract's images, in their order; null if there are none
};

// Whether an image is missing or has another size than the contract's, and which, in words, into `text` of `size`
// bytes. Allocates nothing.
bool images_are_wrong(const Contract& contract, const Observation& obs, char* text, size_t size);

}  // namespace zprl
