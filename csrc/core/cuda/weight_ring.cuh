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
//   MulticastRing  Hopper and later: the blocks of a cluster, which all need the same slab, each request a part of it
//                  for all of them, so that the level-2 cache is read once per cluster. Slabs are handed over by a
//                  barrier ("full") that counts bytes, and freed by one ("empty") where every warp of the cluster
//                  arrives: warps wait for data, and never for each other. A single block is a cluster of one.

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
    ZPRL_DEVICE bool runs_once() const { return layers_.runs_once(); }
    // How many times the layer's slabs have begun anew, for other outputs.
    ZPRL_DEVICE int turn() const { return first_output_ >> log2_of(at_once_); }
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

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

// Thread 0 is the producer: it refills a stage one release after the stage has become empty, so that it seldom has to
// wait for the slowest warp of the cluster. All warps are consumers.
template <typename Unit>
class MulticastRing {
 public:
    ZPRL_DEVICE MulticastRing(const KernelArguments& arguments, int cluster_size)
        : blob_(arguments.call.blob),
          ring_(device::shared_memory() + arguments.memory.ring),
          full_(reinterpret_cast<uint64_t*>(device::shared_memory() + arguments.memory.barrier)),
          empty_(full_ + kMaxStages),
          stages_(arguments.memory.stages),
          stage_bytes_(arguments.memory.tile_outputs * kSlabBytes),
          size_(cluster_size),
          size_log2_(log2_of(cluster_size)),
          rank_(device::cluster_rank()),
          cursor_(arguments) {
        if (device::thread_index() == 0) {
            ZPRL_NO_UNROLL
            for (int i = 0; i < stages_; ++i) {
                device::init_arrivals(full_ + i, 1);
                device::init_arrivals(empty_ + i, size_ * kWarps);
            }
        }
        device::sync_cluster();  // nobody sends to a barrier that is not set up
        ZPRL_NO_UNROLL
        for (int i = 0; i < stages_; ++i) produce();
        device::sync_warp();
    }

    // The next slab, for this warp, which is done with those before it.
    ZPRL_DEVICE const char* next() {
        consumer_release(0);
        return consumer_wait();
    }

    // The next slab, for this warp, which keeps those that it has.
    ZPRL_DEVICE const char* consumer_wait() {
        device::wait_for_phase<Scope::kCta>(full_ + consumed_.stage, consumed_.round % 2);
        device::sync_warp();  // matrix instructions follow, which want the warp together
        const char* const slab = ring_ + consumed_.stage * stage_bytes_;
        consumed_.advance(stages_);
        ++kept_;
        return slab;
    }

    // This warp is done with the oldest slab that it has, if it has more than `keep`.
    ZPRL_DEVICE void consumer_release(int keep) {
        if (kept_ <= keep) return;
        --kept_;
        const int lane = device::thread_index() % 32;
        device::sync_warp();  // all lanes have read it
        if (lane < size_) device::arrive_at_peer<Scope::kCta>(empty_ + released_to_.stage, lane);
        released_to_.advance(stages_);
        if (++released_ > 1) produce();
        device::sync_warp();
    }

    // A block must not end while others may arrive at its barriers.
    ZPRL_DEVICE void close() const { device::sync_cluster(); }

 private:
    // A place in the sequence of slabs.
    struct Position {
        int stage = 0;
        uint32_t round = 0;  // through all stages
        ZPRL_DEVICE void advance(int stages) {
            if (++stage < stages) return;
            stage = 0;
            ++round;
        }
    };

    // Request this block's part of the cursor's slab, once all consumers of the cluster have released the stage.
    ZPRL_DEVICE void produce() {
        if (device::thread_index() != 0 || cursor_.done()) return;
        const int stage = produced_.stage;
        if (produced_.round > 0) device::wait_for_phase<Scope::kCta>(empty_ + stage, (produced_.round - 1) % 2);
        const int bytes = cursor_.bytes(), part = bytes >> size_log2_, first = rank_ * part;
        device::expect_tx(full_ + stage, bytes);
        char* const to = ring_ + stage * stage_bytes_ + first;
        const char* const from = blob_ + cursor_.offset() + first;
        if (size_ > 1) {
            device::copy_bulk_to_all(to, from, part, full_ + stage, size_);
        } else {
            device::copy_bulk(to, from, part, full_ + stage);
        }
        cursor_.advance();
        produced_.advance(stages_);
    }

    const char* const blob_;
    char* const ring_;
    uint64_t *const full_, *const empty_;  // of each stage
    const int stages_, stage_bytes_, size_, size_log2_, rank_;
    WeightCursor<Unit> cursor_;  // of thread 0, as is `produced_`
    Position produced_, consumed_, released_to_;
    int kept_ = 0, released_ = 0;  // slabs
};

#endif

}  // namespace cuda
}  // namespace zprl
