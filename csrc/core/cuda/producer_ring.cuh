// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// How weights come to the tile kernels of Hopper and later: through a ring of stages in shared memory
// (weight_ring.cuh), which a warp fills that does nothing else.
//
// The blocks of a cluster, which all need the same slab, each request a part of it for all of them, so that the level-2
// cache is read once per cluster; a single block is a cluster of one. A barrier ("full") that counts bytes hands a slab
// over, and one ("empty") where every warp of the cluster arrives frees its stage: warps wait for data, and never for
// each other.
//
// On mma.sync every slab is for all warps. On wgmma (kInTurns) a slab of the velocity field is for one warpgroup, by
// turns of a layer's slabs of outputs: while one of them finishes its outputs, the other one multiplies. A slab of a
// float32 layer, all of which come before, is for both. What a stage waits for is
//
//   full[0], full[1]   the bytes of a slab for warpgroup 0 (or all), and for warpgroup 1. A warpgroup waits for its own
//                      slabs alone, so each stage has a barrier per warpgroup: one that the other warpgroup's slabs end
//                      the phases of as well could be two phases ahead, and a wait tells even from odd phases only.
//   empty              kWarps arrivals from each block of the cluster: one of each warp, or two of each of a
//                      warpgroup's four
//
// No wait can last for ever: the slabs have an order, which is the same for all. The producer waits for nothing but the
// release of the slab that the stage had before. A warpgroup releases its slab i when its products are through, for
// which it waits for no slab but, at most, its next one; where that is i + 1, it has a stage of its own, since there
// are at least three; and where it lies further on, the warpgroup has released i before (end()). So whoever waits for
// slab i waits for slabs before it alone. Barriers of the warpgroups, between layers, come after the release of all
// slabs of the layer; on mma.sync, of all but the last one, for which nobody waits before it is released by next().

#pragma once

#include "unit.cuh"
#include "weight_ring.cuh"

namespace zprl {
namespace cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

template <typename Unit, bool kInTurns>
class ProducerRing {
 public:
    static constexpr bool kHasProducer = true;

    ZPRL_DEVICE ProducerRing(const KernelArguments& arguments, int cluster_size)
        : arguments_(arguments), size_(cluster_size) {
        if (device::thread_index() == 0) {
            ZPRL_NO_UNROLL
            for (int i = 0; i < stages(); ++i) {
                device::init_arrivals(full(0, i), 1);
                device::init_arrivals(full(1, i), 1);
                device::init_arrivals(empty(i), size_ * kWarps);
            }
        }
        device::sync_cluster();  // nobody sends to a barrier that is not set up
    }

    // All that the producer does, by one thread: request this block's part of each slab, for all blocks of the cluster,
    // once all of its consumers have released the stage. A slab takes as little as possible: it is often a matter of
    // a few hundred cycles for the consumers.
    ZPRL_DEVICE void produce() const {
        const int rank = device::cluster_rank(), size_log2 = log2_of(size_), at_once = arguments_.memory.tile_outputs;
        int stage = 0;
        uint32_t round = 0;  // through all stages
        ZPRL_NO_UNROLL
        for (LayerCursor cursor(arguments_.policy, arguments_.call.operation); !cursor.done(); cursor.advance()) {
            const DeviceLayer layer = cursor.layer();
            const bool runs_once = cursor.runs_once();
            const int outputs = padded_width(layer.out);
            const int slabs = slabs_of(layer.in, runs_once ? Fp32Unit::kElementBytes : Unit::kElementBytes);
            ZPRL_NO_UNROLL
            for (int first = 0, turn = 0, now = 0; first < outputs; first += now, ++turn) {
                now = outputs_of_slab(outputs - first, at_once);
                const int bytes = now * kSlabBytes, part = bytes >> size_log2;
                const char* from = arguments_.call.blob + layer.weight + first * kSlabBytes + rank * part;
                ZPRL_NO_UNROLL
                for (int slab = 0; slab < slabs; ++slab, from += outputs * kSlabBytes) {
                    if (round > 0) device::wait_for_phase<Scope::kCta>(empty(stage), (round - 1) % 2);
                    uint64_t* const barrier = full(kInTurns && !runs_once ? turn % kConsumerGroups : 0, stage);
                    device::expect_tx(barrier, bytes);
                    char* const to = slab_at(stage) + rank * part;
                    if (size_ > 1) {
                        device::copy_bulk_to_all(to, from, part, barrier, size_);
                    } else {
                        device::copy_bulk(to, from, part, barrier);
                    }
                    if (++stage == stages()) {
                        stage = 0;
                        ++round;
                    }
                }
            }
        }
    }

    // -- consumers, each warp for itself: slabs in their order

    // The next slab, of a layer whose slabs all warps read; the warp is done with the one before it.
    ZPRL_DEVICE const char* next() {
        release<1>(0);
        return wait(0);
    }

    // The next slab, which is for this warpgroup; the warp keeps those that it has.
    ZPRL_DEVICE const char* next_of_group() { return wait(warpgroup()); }

    // The warp is done with the oldest slab that it has of its warpgroup's, if it has more than `keep`.
    ZPRL_DEVICE void release_of_group(int keep) { release<2>(keep); }

    // The warp is done with the last slab of next().
    ZPRL_DEVICE void end() { release<1>(0); }

    // The next slabs are the other warpgroup's. This one has none.
    ZPRL_DEVICE void skip(int slabs) { stage_ = released_to_ = static_cast<unsigned>(stage_ + slabs) % stages(); }

    // A block must not end while others may arrive at its barriers.
    ZPRL_DEVICE void close() const { device::sync_cluster(); }

 private:
    static constexpr int kConsumerGroups = 2;  // warpgroups

    // All of these are computed from the kernel's arguments again and again: a consumer has no register to spare.
    ZPRL_DEVICE int stages() const { return arguments_.memory.stages; }
    ZPRL_DEVICE char* slab_at(int stage) const {
        return device::shared_memory() + arguments_.memory.ring + stage * (arguments_.memory.tile_outputs * kSlabBytes);
    }
    ZPRL_DEVICE uint64_t* full(int group, int stage) const {
        return reinterpret_cast<uint64_t*>(device::shared_memory() + arguments_.memory.barrier) + group * kMaxStages +
               stage;
    }
    ZPRL_DEVICE uint64_t* empty(int stage) const { return full(2, stage); }
    ZPRL_DEVICE static int warpgroup() { return device::thread_index() / 128; }

    ZPRL_DEVICE const char* wait(int group) {
        device::wait_for_phase<Scope::kCta>(full(group, stage_), phases_ >> (group * kMaxStages + stage_) & 1);
        device::sync_warp();  // matrix instructions follow, which want the warp together
        phases_ ^= 1u << (group * kMaxStages + stage_);
        const char* const slab = slab_at(stage_);
        if (++stage_ == stages()) stage_ = 0;
        ++kept_;
        return slab;
    }

    template <int kArrivals>
    ZPRL_DEVICE void release(int keep) {
        if (kept_ <= keep) return;
        --kept_;
        const int lane = device::thread_index() % 32;
        device::sync_warp();  // all lanes have read it
        if (lane < size_) device::arrive_at_peer<Scope::kCta>(empty(released_to_), lane, kArrivals);
        if (++released_to_ == stages()) released_to_ = 0;
    }

    const KernelArguments& arguments_;
    const int size_;
    int stage_ = 0, released_to_ = 0, kept_ = 0;  // of this warp
    uint32_t phases_ = 0;  // parity of the phase that it waits for next, a bit for each barrier of slabs that arrive
};

#endif

}  // namespace cuda
}  // namespace zprl
