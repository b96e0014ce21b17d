// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: the cluster kernel with a mistake planted in what it asks of the hardware.

#pragma once

#include "cuda_check_steps.h"

namespace core_check {
namespace {

using zprl::cuda::emulation::Mistake;

// Whether a mistake ends in an error or in another result than without it, in some order of threads.
bool is_noticed(const Case& c, Mistake mistake) {
    auto& machine = zprl::cuda::emulation::machine();
    Random random(7);
    const Model model = random_model(c.shape, random);
    Blob blob = pack_for_cuda(pack(model), c.precision);
    const DevicePolicy policy = zprl::cuda::parse_header(blob.header(), blob.bytes);
    const Plan plan = plan_of(c, policy);
    const Batch batch = random_batch(c.shape, c.rows, random);
    const std::vector<float> right = run(blob, plan, c.shape, batch, Call::kStep, 1);
    bool noticed = false;
    machine.mistake = mistake;
    for (uint64_t seed = 1; seed <= 5 && !noticed; ++seed) {
        try {
            const std::vector<float> result = run(blob, plan, c.shape, batch, Call::kStep, seed);
            noticed = !same_bits(result.data(), right.data(), right.size());
        } catch (const std::exception&) {
            noticed = true;
        }
    }
    machine.mistake = Mistake::kNone;
    return noticed;
}

// A mistake in the kernel itself must be found out wherever what was left out is needed.
void check_planted_mistakes() {
    Shape shape = shape_of(64, 2, 1, 2, 3, 4, 10, 32, 8, {}, {32});
    shape.dtype = Dtype::kBfloat16;
    const auto cluster = [&](int tile_rows, int64_t rows, int resident) {
        return Case{
            "", Precision::kBfloat16, Kernel::kCluster, tile_rows, 4, rows, shape, Placement::kShared, 0, 0, resident};
    };
    const Case resident = cluster(8, 5, 6), streamed = cluster(8, 5, 0), alone = cluster(1, 1, 6);
    require(!is_noticed(alone, Mistake::kNone), "a step is not the same in another order of threads");
    const struct {
        const char* what;
        Mistake mistake;
        const Case& c;
    } mistakes[] = {
        {"an arrival at too small a scope", Mistake::kBlockScopeArrival, resident},
        {"a wait at too small a scope", Mistake::kBlockScopeWait, resident},
        {"results that nobody waits for", Mistake::kNoWaitForPeers, resident},
        {"resident weights that nobody waits for", Mistake::kNoWaitForBulkCopies, resident},
        {"slabs ahead that nobody waits for", Mistake::kNoWaitForCopies, streamed},
        {"too few expected bytes", Mistake::kTooFewBytes, resident},
        {"too many expected bytes", Mistake::kTooManyBytes, resident},
        {"an exchange before all of the block have read", Mistake::kNoBlockBarrier, resident},
        {"threads that write a pair before others have read it", Mistake::kNoWarpBarrier, alone},
    };
    for (const auto& each : mistakes) {
        require(is_noticed(each.c, each.mistake), text("the emulation does not notice %s", each.what));
    }
    std::printf("cuda_check: the emulation notices mistakes planted in the cluster kernel\n");
}

}  // namespace
}  // namespace core_check
