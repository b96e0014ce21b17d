// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// What a plan is expected to take: the model by which plan() chooses, and which the profiler prints.
//
// Every constant is a rate that a vendor states, that others have measured on such a GPU, an estimate from the kernels'
// instructions, or what makes the model agree with what these kernels took of an H200, and says which (cost_model.cpp).
// What is asked of the model is which of two plans is the faster one, and what to look at first.
//
// A block works through its layers one after the other. A layer takes
//
//   products      the longest of the matrix unit's time, that of reading operands from shared memory, and the chain of
//                 a warp's slabs
//   finishing     bias, activation, gate and solver: instructions per pair of outputs
//   norms         layer norms: a warp's way through a row, as often as its warp has rows
//   latency       barriers and the first operands of a layer; in a cluster, the way of the results to all of its blocks
//
// while weights, and activations that have no place in shared memory, come from the level-2 cache: a cluster takes the
// longer of both, and a tile more, since they are not all hidden. Blocks that do not run at once come in waves.

#pragma once

#include <vector>

#include "policy_step.h"

namespace zprl {
namespace cuda {

// All times in microseconds.
struct Cost {
    // What the plan cannot beat, whatever its instructions: its products at the matrix unit's rate, its traffic from
    // the level-2 cache and from shared memory at theirs, and its chain of dependent layers at bare latencies.
    double tensor_floor, level2_floor, shared_floor, chain_floor;
    // What the kernels as they are take of one wave. `once` are the products of embedding, encoder, actor and decoder.
    double products, once, finishing, norms, latency, level2;
    int64_t waves;
    double total;  // with the launch

    double floor() const;
    // The largest part: "products", ..., "level-2 cache".
    const char* bound() const;
};

// `at_once` are the clusters (or single blocks) of the plan that run at once, at least 1.
Cost cost_of(const DevicePolicy& policy, const Plan& plan, int64_t rows, const DeviceProperties& device,
             int64_t at_once);

// A plan that a device can run, and what it is expected to take.
struct Candidate {
    Plan plan;
    Cost cost;
};

// The one that plan() chooses, or its exception.
Candidate choose(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice,
                 const ActiveClusters& active_clusters);

// All of a batch, that one first; none where it throws.
std::vector<Candidate> candidates(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device,
                                  KernelChoice choice, const ActiveClusters& active_clusters);

// Those of the current device, as current_plan() has them. Throws std::runtime_error as it does.
std::vector<Candidate> current_candidates(const DevicePolicy& policy, int64_t rows);

// An H200, for estimates without a GPU: its properties, and a split of its 132 multiprocessors with which as many
// clusters run at once as one H200 has said: 66 of 2, 30 of 4, 15 of 8 and 7 of 16. (Which multiprocessors are disabled
// differs from one GPU to the next.)
DeviceProperties h200();
ActiveClusters h200_clusters();

}  // namespace cuda
}  // namespace zprl
