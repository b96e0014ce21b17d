// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// How weights come to the tile kernel: through a ring of stages in shared memory, a slab of some outputs each.
//
// A ring does not know layers: its cursor runs through the whole step's weights in the order in which they are
// multiplied, so that the first slabs of a layer arrive while the one before is still at work.
//
//   CopyRing       every GPU: all threads copy with cp.async. One barrier of the block per slab both hands over the
//                  slab that has arrived and frees the one that was multiplied.
//   ProducerRing   Hopper and later (producer_ring.cuh): a warp of its own requests bulk copies, for all blocks of a
//                  cluster at once.

#pragma once

#include "arguments.cuh"

namespace zprl {
namespace cuda {

// Runs through the slabs of an operation's layers, `tile_outputs` outputs at a time.
template <typename Unit>
class WeightCursor {
 public:
    ZPRL_DEVICE explicit WeightCursor(const KernelArguments& arguments)
        : layers_(arguments.policy, arguments.call.operation), at_once_(arguments.memory.tile_outputs) {
        enter();
    }
    ZPRL_DEVICE bool done() const { return layers_.done(); }
    ZPRL_DEVICE int bytes() const { return tile_ * kSlabBytes; }
    ZPRL_DEVICE uint32_t offset() const {
        return weight_ + (static_cast<uint32_t>(slab_) * outputs_ + first_output_) * kSlabBytes;
    }
    ZPRL_DEVICE void advance() {
        if (++slab_ < slabs_) return;
        slab_ = 0;
        first_output_ += tile_;
        if (first_output_ == outputs_) {
            layers_.advance();
            enter();
        } else {
            tile_ = outputs_of_slab(outputs_ - first_output_, at_once_);
        }
    }

 private:
    ZPRL_DEVICE void enter() {
        if (done()) return;
        const DeviceLayer layer = layers_.layer();
        weight_ = layer.weight;
        outputs_ = padded_width(layer.out);
        slabs_ = slabs_of(layer.in, layers_.runs_once() ? 4 : Unit::kElementBytes);
        slab_ = first_output_ = 0;
        tile_ = outputs_of_slab(outputs_, at_once_);
    }

    LayerCursor layers_;
    const int at_once_;
    uint32_t weight_ = 0;
    int outputs_ = 0, slabs_ = 0, first_output_ = 0, slab_ = 0, tile_ = 0;  // outputs at once
};

template <typename Unit>
class CopyRing {
 public:
    static constexpr bool kHasProducer = false;

    ZPRL_DEVICE CopyRing(const KernelArguments& arguments, int)
        : blob_(arguments.call.blob),
          ring_(device::shared_memory() + arguments.memory.ring),
          stages_(arguments.memory.stages),
          stage_bytes_(arguments.memory.tile_outputs * kSlabBytes),
          cursor_(arguments) {
        // All stages but one; the last one is free for the slab that is asked for when the first one is handed over.
        ZPRL_NO_UNROLL
        for (int i = 0; i + 1 < stages_; ++i) request(i);
    }

    // The next slab, for all threads of the block, which are done with the one before it.
    ZPRL_DEVICE const char* next() {
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
        return ring_ + here * stage_bytes_;
    }

    ZPRL_DEVICE void close() const {}

 private:
    // Ask for the cursor's slab. An empty group keeps the count at the end of the stream.
    ZPRL_DEVICE void request(int stage) {
        if (!cursor_.done()) {
            const char* const from = blob_ + cursor_.offset();
            char* const to = ring_ + stage * stage_bytes_;
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
    const int stages_, stage_bytes_;
    WeightCursor<Unit> cursor_;
    int stage_ = 0;
};

}  // namespace cuda
}  // namespace zprl
