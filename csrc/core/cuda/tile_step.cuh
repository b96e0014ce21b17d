// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Throughput: a block takes 16 kTilesM rows through the whole step, and the weights stream by.
//
// Activations stay in the block's shared memory (memory.h). Weights come from the level-2 cache, 256 outputs by one
// slab (32 KiB) at a time, through a ring of stages that all threads fill with cp.async. The ring does not know layers:
// its cursor runs through the whole step's weights in the order in which they are multiplied, so that the first slabs
// of a layer arrive while the one before is still at work. One barrier per slab both hands over the slab that has
// arrived and frees the one that was multiplied.
//
// Warps share the outputs: warp w takes the tiles w, w + 8, ... of 8 outputs, for all rows, so that a narrow layer
// still gives every warp something to do, and every row's sums are added in the same order.
//
// Roofline per block and slab of 256 outputs, 64 rows, bf16: 256 mma of m16n8k16 per warp quarter, 1 M multiply-adds:
// 1024 cycles at the dense rate of sm_80, against 32 KiB from the level-2 cache: 512 cycles at 64 bytes per cycle.
// Fewer rows are bound by the cache: the planner takes as many as the batch and shared memory allow.

#pragma once

#include "step.cuh"

namespace zprl {
namespace cuda {

// Runs through the slabs of the layers [begin, end), `at_once` outputs at a time.
template <typename Unit>
class WeightCursor {
 public:
    ZPRL_DEVICE WeightCursor(const DevicePolicy& policy, int begin, int end, int at_once)
        : p_(policy), layer_(begin), end_(end), at_once_(at_once) {
        enter();
    }
    ZPRL_DEVICE bool done() const { return layer_ >= end_; }
    ZPRL_DEVICE int bytes() const { return tile_outputs() * kSlabBytes; }
    ZPRL_DEVICE uint32_t offset() const {
        return weight_ + (static_cast<uint32_t>(slab_) * outputs_ + first_output_) * kSlabBytes;
    }
    ZPRL_DEVICE void advance() {
        if (++slab_ < slabs_) return;
        slab_ = 0;
        first_output_ += at_once_;
        if (first_output_ < outputs_) return;
        ++layer_;
        enter();
    }

 private:
    ZPRL_DEVICE int tile_outputs() const {
        return outputs_ - first_output_ < at_once_ ? outputs_ - first_output_ : at_once_;
    }
    ZPRL_DEVICE void enter() {
        if (done()) return;
        const int once = layers_once(p_);
        const bool runs_once = layer_ < once;
        const DeviceLayer layer = runs_once        ? p_.once[layer_]
                                  : layer_ == once ? p_.modulation
                                                   : field_layer(p_, (layer_ - once - 1) % layers_per_evaluation(p_));
        weight_ = layer.weight;
        outputs_ = padded_width(layer.out);
        slabs_ = slabs_of(layer.in, runs_once ? 4 : Unit::kElementBytes);
        slab_ = first_output_ = 0;
    }

    const DevicePolicy& p_;
    int layer_;
    const int end_, at_once_;
    uint32_t weight_ = 0;
    int outputs_ = 0, slabs_ = 0, first_output_ = 0, slab_ = 0;
};

template <typename Unit, int kTilesM>
class TileEngine {
 public:
    ZPRL_DEVICE TileEngine(const KernelArguments& arguments, int begin, int end)
        : blob_(arguments.call.blob),
          ring_(device::shared_memory() + arguments.memory.ring),
          stages_(arguments.memory.stages),
          at_once_(arguments.memory.tile_outputs),
          cursor_(arguments.policy, begin, end, at_once_) {
        // All stages but one; the last one is free for the slab that is asked for when the first one is handed over.
        for (int i = 0; i + 1 < stages_; ++i) request(i);
    }

    ZPRL_DEVICE int copies() const { return 1; }
    template <typename T>
    ZPRL_DEVICE T* copy(T* pointer, int) const {
        return pointer;
    }
    ZPRL_DEVICE bool writes() const { return true; }
    ZPRL_DEVICE void exchange() const { device::sync_block(); }

    template <typename LayerUnit, typename Finisher>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, int, const char* input, const Finisher& finish) {
        constexpr int kTilesN = kMaxTileOutputs / 8 / kWarps;
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, LayerUnit::kElementBytes);
        const float* const bias = reinterpret_cast<const float*>(blob_ + layer.bias);
        for (int first = 0; first < outputs; first += at_once_) {
            const int left = outputs - first;
            const int tiles = (left < at_once_ ? left : at_once_) / 8 / kWarps;  // panels: never a remainder
            float sum[kTilesM][kTilesN][4] = {};
            for (int slab = 0; slab < slabs; ++slab) {
                const char* const weights = next_slab();
                LayerUnit::template add_products<kTilesM, kTilesN>(sum, input + slab * (16 * kTilesM * kSlabBytes),
                                                                   weights + warp * 8 * kSlabBytes,
                                                                   kWarps * 8 * kSlabBytes, tiles);
            }
            ZPRL_UNROLL
            for (int n = 0; n < kTilesN; ++n) {
                if (n >= tiles) continue;
                const int column = first + (warp + kWarps * n) * 8 + 2 * (lane % 4);
                const float x = bias[column], y = bias[column + 1];
                ZPRL_UNROLL
                for (int m = 0; m < kTilesM; ++m) {
                    ZPRL_UNROLL
                    for (int half = 0; half < 2; ++half) {
                        finish(16 * m + 8 * half + lane / 4, column, sum[m][n][2 * half] + x,
                               sum[m][n][2 * half + 1] + y);
                    }
                }
            }
        }
    }

 private:
    static_assert(kPanel % (8 * kWarps) == 0, "a panel has whole tiles for every warp");

    // The slab that the cursor asked for first has arrived, and all threads are done with the one before it.
    ZPRL_DEVICE const char* next_slab() {
        // Each request is one group of copies: all but those of the later stages are through.
        if (stages_ == 2) {
            device::wait_for_copies<0>();
        } else if (stages_ == 3) {
            device::wait_for_copies<1>();
        } else {
            device::wait_for_copies<2>();
        }
        device::sync_block();
        const int here = stage_;
        request(here == 0 ? stages_ - 1 : here - 1);
        stage_ = here + 1 == stages_ ? 0 : here + 1;
        return ring_ + here * at_once_ * kSlabBytes;
    }

    // Ask for the cursor's slab. An empty group keeps the count at the end of the stream.
    ZPRL_DEVICE void request(int stage) {
        if (!cursor_.done()) {
            const char* const from = blob_ + cursor_.offset();
            char* const to = ring_ + stage * at_once_ * kSlabBytes;
            const int bytes = cursor_.bytes();
            for (int i = device::thread_index() * kPieceBytes; i < bytes; i += kThreads * kPieceBytes) {
                device::copy_async(to + i, from + i);
            }
            cursor_.advance();
        }
        device::commit_copies();
    }

    const char* const blob_;
    char* const ring_;
    const int stages_, at_once_;
    WeightCursor<Unit> cursor_;
    int stage_ = 0;
};

template <typename Unit, int kTilesM>
ZPRL_DEVICE void run_tile(const KernelArguments& arguments) {
    const DevicePolicy& p = arguments.policy;
    const Operation operation = arguments.call.operation;
    const int once = layers_once(p);
    const int begin = operation == Operation::kIntegrate ? once : 0;
    const int end = operation == Operation::kEncode
                        ? p.num_embedding + p.num_encoder
                        : once + 1 + p.num_steps * p.solver.stages * layers_per_evaluation(p);
    TileEngine<Unit, kTilesM> engine(arguments, begin, end);
    char* const workspace = arguments.call.workspace + device::block_index() * arguments.memory.workspace_bytes;
    Step<Unit, TileEngine<Unit, kTilesM>> step(arguments, engine, device::block_index() * (16 * kTilesM), workspace);
    step.run();
}

}  // namespace cuda
}  // namespace zprl
