// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "observation.h"

#include <cstdio>

namespace zprl {

bool images_are_wrong(const Contract& contract, const Observation& obs, char* text, size_t size) {
    for (size_t i = 0; i < contract.images.size(); ++i) {
        const ObservationGroup& group = contract.images[i];
        const bool missing = obs.images == nullptr || obs.images[i].data == nullptr;
        const size_t bytes = missing ? 0 : obs.images[i].bytes;
        if (bytes == group.bytes) continue;
        std::snprintf(text, size, "the image %.100s has %zu bytes instead of %zu", group.name.c_str(), bytes,
                      group.bytes);
        return true;
    }
    return false;
}

}  // namespace zprl
