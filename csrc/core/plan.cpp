// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "plan.h"

#include <unistd.h>

#include <algorithm>

namespace zprl {
namespace {

int max_width(const Mlp& mlp) {
    int width = 0;
    for (int i = 0; i < mlp.count; ++i) width = std::max({width, mlp.layers[i].in, mlp.layers[i].out});
    return width;
}

}  // namespace

size_t activation_bytes_per_row(const Policy& p) {
    const int widest =
        std::max({max_width(p.embedding), max_width(p.encoder), max_width(p.decoder), max_width(p.actor)});
    const size_t hidden = padded(p.hidden_dim), chunk = padded(p.chunk_dim());
    const size_t mlps = 2 * static_cast<size_t>(padded(widest)) * sizeof(double);
    // Of a U-Net, what each block reads and writes: more rows than keep all levels' signals reuse the weights more
    // often.
    const size_t field = p.network == Network::kUNet ? 5 * p.unet.largest_signal() : 7 * hidden + chunk;
    const size_t flow = (field + 4 * chunk) * sizeof(float);
    return std::max(mlps, flow);
}

int plan_block_rows(const Policy& policy, size_t cache_bytes) {
    constexpr int kMultiple = 12, kMost = 96;
    const size_t rows = cache_bytes / activation_bytes_per_row(policy);
    return std::clamp(static_cast<int>(std::min<size_t>(rows, kMost)) / kMultiple * kMultiple, kMultiple, kMost);
}

size_t level2_cache_bytes() {
    // Asked once: the answer comes from the processor itself, and in a virtual machine each question is a trap.
    static const size_t bytes = [] {
#ifdef _SC_LEVEL2_CACHE_SIZE
        const long answer = sysconf(_SC_LEVEL2_CACHE_SIZE);
        if (answer > 0) return static_cast<size_t>(answer);
#endif
        return size_t{1} << 20;
    }();
    return bytes;
}

}  // namespace zprl
