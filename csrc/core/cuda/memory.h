// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Where a block keeps what, in its shared memory and its part of the workspace. Computed on the host, by plan.cpp.
//
//   what                      bytes per row                          lifetime
//   modulation                kept numbers: 4 W', and 8 banks        from the condition on
//   layers that run once (2)  slabs of the widest, float32           until the modulation; the second one may be in
//                                                                    the workspace (Placement::kOnce and later ones)
//   latent                    4 Z, of a policy with an actor         while the actor works
//   residual stream           4 (W' + 8)                             from the modulation on, in the place of
//   branch, inner             slabs of W' (inner: or the chunk);     the layers that run once
//                             one of them where one_operand()
//   state, end                4 (C' + 8) each; end not for Euler
//   tile: barriers, ring      96, and stages of up to 32 KiB (16 KiB on wgmma), per block
//   cluster: barriers         24, per block
//            partial sums     4 KiB, per block
//            weights streamed 8 warps x 3 stages of 2 KiB, per block
//            work             160 of each layer, or part of one, per block
//            bias             512 of each of the velocity field's, per block
//            weights resident slices of the first `resident` layers, per block
//
// with Z the width of the latent, W' and C' the padded ones of a block's layer and of the chunk. Operands (layers that
// run once, branch, inner) of a cluster have 8 rows, the columns of mma.sync, however many of them it takes. The 8
// numbers at the end of a row shift the next one by 8 banks, so that the threads of an accumulator (8 rows, 4 pairs of
// columns) do not conflict.

#pragma once

#include "layout.h"
#include "policy_step.h"

namespace zprl {
namespace cuda {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
// On Hopper a tile's block has another warp, of which one thread asks for weights (producer_ring.cuh), or on wgmma
// another warpgroup: it gives its registers to the others.
constexpr int kProducerWarp = 32, kProducerWarpgroup = 128;

// Threads of a block.
constexpr int threads_of(Kernel kernel, int cluster_size) {
    if (kernel == Kernel::kCluster) return kThreads;
    if (kernel == Kernel::kWgmmaTile) return kThreads + kProducerWarpgroup;
    return cluster_size > 1 ? kThreads + kProducerWarp : kThreads;
}

constexpr int kRowShift = 8;  // numbers

// Tile kernel: outputs that a block works on at once, at most: a slab of them is 32 KiB.
constexpr int kMaxTileOutputs = 256;
constexpr int kMaxWgmmaOutputs = 128;  // of a warpgroup, whose 64 rows of them are 64 sums of a thread
constexpr int kMaxHeldOutputs = 512;   // of a layer whose results stay in registers until all its products are through
constexpr int kMaxStages = 4;
constexpr int kRingBarriers = 3;  // of a stage, at most

// Rows of a narrow tile, which the multiprocessors that a batch of a thousand rows would leave idle make up for.
constexpr int kNarrowRows = 8;

// Cluster kernel: rows of a cluster, at most, outputs that a warp works on at once, and the slabs of them that are on
// their way.
constexpr int kClusterRows = 8;
constexpr int kGroupOutputs = 16;
constexpr int kGroupStages = 3;
constexpr int kGroupBytes = kGroupOutputs * kSlabBytes;
constexpr int kPartialBytes = kWarps * kGroupOutputs * kClusterRows * 4;
constexpr int kWorkBytes = 32 + kWarps * 16;
constexpr int kBiasBytes = kWarps * kGroupOutputs * 4;

// Barriers of the cluster kernel: for resident weights, and for every other exchange.
constexpr int kClusterBarriers = 3;

static_assert(kMaxTileOutputs * kSlabBytes == 32 * 1024 && kGroupBytes == 2 * 1024 && kPartialBytes == 4 * 1024,
              "the table above");
static_assert(kMaxTileOutputs % (8 * kWarps) == 0 && kPanel % kGroupOutputs == 0, "whole tiles");

struct Memory {
    int32_t rows;
    // Numbers from one row to the next.
    int32_t modulation_stride, stream_stride, state_stride;
    // Bytes from the start of shared memory, or of the block's part of the workspace.
    int32_t modulation, once[2], latent, stream, branch, inner, state, end;
    int32_t ring, partial, streamed_weights, work, bias, barrier, resident_weights;
    int32_t stages, tile_outputs, resident;
    // Cluster: parts of a layer that runs once, of the modulation, and of a layer of the velocity field, at most; in
    // the list of all, that of the modulation comes after those that run once, and then the field's.
    int32_t once_parts, modulation_parts, field_parts, modulation_work;
    ZPRL_HOST_DEVICE constexpr int field_work() const { return modulation_work + modulation_parts; }
    Placement placement;
    int64_t shared_bytes, workspace_bytes;  // of a block
};

Memory lay_out_memory(const DevicePolicy& policy, const Plan& plan);

// What a placement means. Whether a layer's operand takes the place of the one before it: all sums of a layer are in
// registers before that.
ZPRL_HOST_DEVICE constexpr bool one_operand(Placement placement) {
    return placement == Placement::kStream || placement == Placement::kOneOperand;
}
ZPRL_HOST_DEVICE constexpr bool modulation_in_workspace(Placement placement) { return placement != Placement::kShared; }
ZPRL_HOST_DEVICE constexpr bool once_in_workspace(Placement placement) {
    return placement == Placement::kOnce || one_operand(placement);
}
ZPRL_HOST_DEVICE constexpr bool state_in_workspace(Placement placement) {
    return placement == Placement::kWorkspace || once_in_workspace(placement);
}
ZPRL_HOST_DEVICE constexpr bool stream_in_workspace(Placement placement) {
    return state_in_workspace(placement) && placement != Placement::kStream;
}

// Layers of the velocity field.
ZPRL_HOST_DEVICE constexpr int field_layers(const DevicePolicy& policy) { return 2 * policy.num_blocks + 2; }

// Outputs of a layer that one block of a cluster computes: at most these groups of 16.
ZPRL_HOST_DEVICE constexpr int groups_per_block(int outputs, int cluster_size) {
    return (padded_width(outputs) / kGroupOutputs + cluster_size - 1) / cluster_size;
}

// Parts of such a layer: up to a group for each warp.
ZPRL_HOST_DEVICE constexpr int parts_of_layer(int groups) { return (groups + kWarps - 1) / kWarps; }

}  // namespace cuda
}  // namespace zprl
