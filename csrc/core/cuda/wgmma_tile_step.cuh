// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Throughput on Hopper: the tile kernel for 64 rows with the velocity field's products on wgmma (wgmma.cuh).
//
// Two warpgroups take turns at a layer's outputs, up to 128 at once, for all 64 rows: 64 sums of a thread. A third one
// has the producer, a thread that asks for weights (producer_ring.cuh), and gives its registers to the other two. A
// layer of 256 outputs and four slabs takes
//
//   producer       | slabs for warpgroup 0 | slabs for warpgroup 1 | those of the next layer ...
//   warpgroup 0            | products              | epilogue              | meet
//   warpgroup 1            | waits for its slabs   | products              | epilogue | meet
//
// so that the matrix units work for one while the other finishes its outputs, and a single warpgroup keeps them busy: a
// warp has the units of its quarter of the multiprocessor to itself. Nothing tells warpgroup 1 to begin later but that
// its weights come later. Within its turn a warpgroup does
//
//   slab i      wait for its stage | start its products | wait for the products of slab i - 1 | release its stage
//
// Two things order what the matrix units read: the barrier that counts a slab's bytes, and, for activations, each
// writer's fence before the warpgroups meet (sync()). Operands may be overwritten once the products are waited for.
// Where the branch's and the inner operand have one place (Placement::kStream), an epilogue would write what products
// of its own layer read: there results stay in registers, of turns of 64 outputs, and both warpgroups meet before they
// put them. Why no wait lasts for ever is said in producer_ring.cuh.
//
// Embedding, encoder, actor and decoder stay with mma.sync (tile_step.cuh), since they are float32: wgmma has no place
// for operands that are split on their way from shared memory. There both warpgroups read every slab.
//
// Memory: shared memory as memory.h says, 1024-byte aligned; a kernel for each placement, so that loads and stores are
// those of their memory. A thread begins with 168 registers, and a consumer has 232, but the compiler leaves products
// asynchronous only where 168 are enough: 64 sums, which begin with the bias; or 32, and up to 96 of results that wait.
// The epilogue's time is loaded after the products, from the level-1 cache.
//
// Roofline per slab of 128 outputs, bf16: 0.5 M multiply-adds, 256 cycles at the dense rate, for (16 + 8) KiB read from
// shared memory: 192 cycles at 128 bytes. With 64 outputs, the rows would be read too often: (8 + 8) KiB for 128
// cycles. tf32 has half of the rate and of the numbers to a slab: the same cycles.

#pragma once

#include <type_traits>

#include "tile_step.cuh"
#include "wgmma.cuh"

namespace zprl {
namespace cuda {

constexpr int kWarpgroups = kWarps / 4;
constexpr int kWgmmaRows = 64;
constexpr int kConsumerRegisters = 232, kProducerRegisters = 40;
static_assert(kThreads * kConsumerRegisters + kProducerWarpgroup * kProducerRegisters <= 64 * 1024,
              "the registers of a multiprocessor");

#if ZPRL_HAS_WGMMA

template <typename Unit>
struct GroupProduct;
template <>
struct GroupProduct<Bf16Unit> {
    template <int kTiles, int kAllTiles>
    static ZPRL_DEVICE void add(float (&c)[kAllTiles][4], uint64_t a, uint64_t b, bool accumulate) {
        device::multiply_group_bf16<kTiles>(c, a, b, accumulate);
    }
};
template <>
struct GroupProduct<Tf32Unit> {
    template <int kTiles, int kAllTiles>
    static ZPRL_DEVICE void add(float (&c)[kAllTiles][4], uint64_t a, uint64_t b, bool accumulate) {
        device::multiply_group_tf32<kTiles>(c, a, b, accumulate);
    }
};

template <typename Unit, Placement kPlacement>
class WgmmaTileEngine : public TileEngine<ProducerRing<Unit, true>, kWgmmaRows / 16, kMaxWgmmaOutputs> {
    typedef TileEngine<ProducerRing<Unit, true>, kWgmmaRows / 16, kMaxWgmmaOutputs> Base;

 public:
    using Base::Base;

    // Of the consumers, as is everything here.
    ZPRL_DEVICE void sync() const {
        device::fence_async();
        device::sync_first<kThreads>();
    }
    ZPRL_DEVICE void exchange() const { sync(); }

    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        if constexpr (std::is_same_v<LayerUnit, Unit>) {
            multiply_layer(layer, input, epilogue);
        } else {
            this->template add_up<LayerUnit>(layer, input, epilogue);
            this->ring_.end();
        }
        sync();
    }

 private:
    // Where operands have one place, turns are of 64 outputs, and results of so many turns are kept until the last one.
    static constexpr bool kHolds = one_operand(kPlacement);
    static constexpr int kPanelTiles = kPanel / 8, kAllTiles = kHolds ? kPanelTiles : 2 * kPanelTiles;
    static constexpr int kKeptTurns = kMaxHeldOutputs / kPanel / kWarpgroups - 1;

    template <typename Epilogue>
    ZPRL_DEVICE void multiply_layer(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        using Operand [[maybe_unused]] = typename Epilogue::Operand;
        const int warpgroup = device::thread_index() / 128, turns_apart = kWarpgroups * this->at_once_;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, Unit::kElementBytes);
        constexpr bool kHoldsOperands = kHolds && puts_operands(Epilogue::kKind);
        [[maybe_unused]] Operand kept[kKeptTurns][2][kAllTiles];
        int first = warpgroup * this->at_once_;
        if (first > 0) this->ring_.skip(slabs);
        ZPRL_NO_UNROLL
        for (; first < outputs; first += turns_apart) {
            const int tiles = outputs_of_slab(outputs - first, this->at_once_) / 8;
            float sum[kAllTiles][4];
            multiply_turn(sum, layer, first, epilogue, input, slabs, tiles);
            if (first + this->at_once_ < outputs) this->ring_.skip(slabs);
            if constexpr (!kHoldsOperands) {
                for_each_pair(epilogue, first, tiles, [&](const auto& place, int half, int n, Float2 time) {
                    epilogue.finish(place, 8 * n, sum[n][2 * half], sum[n][2 * half + 1], time);
                });
            } else {
                Operand last[2][kAllTiles];
                for_each_pair(epilogue, first, tiles, [&](const auto& place, int half, int n, Float2) {
                    last[half][n] = epilogue.operand_of(place, 8 * n, sum[n][2 * half], sum[n][2 * half + 1]);
                });
                if (first + turns_apart >= outputs) {
                    sync();  // all products of the layer are through
                    put_operands(last, epilogue, first);
                    ZPRL_UNROLL
                    for (int turn = 0; turn < kKeptTurns; ++turn) {
                        first -= turns_apart;
                        if (first >= 0) put_operands(kept[turn], epilogue, first);
                    }
                    return;
                }
                ZPRL_UNROLL
                for (int turn = kKeptTurns - 1; turn >= 0; --turn) {
                    ZPRL_UNROLL
                    for (int n = 0; n < kAllTiles; ++n) {
                        kept[turn][0][n] = turn > 0 ? kept[turn - 1][0][n] : last[0][n];
                        kept[turn][1][n] = turn > 0 ? kept[turn - 1][1][n] : last[1][n];
                    }
                }
            }
        }
        if constexpr (kHoldsOperands) sync();  // with the other warpgroup, which alone has a turn
    }

    // function(place, half, n, time) for each pair of this thread's sums of a turn.
    template <typename Epilogue, typename Function>
    ZPRL_DEVICE void for_each_pair(const Epilogue& epilogue, int first, int tiles, const Function& function) const {
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int column = first + 2 * (lane % 4);
        Float2 time[kAllTiles];
        this->template load_time<8>(time, epilogue, column, tiles);
        ZPRL_UNROLL
        for (int half = 0; half < 2; ++half) {
            const auto place = epilogue.place(16 * (warp % 4) + 8 * half + lane / 4, column);
            ZPRL_UNROLL
            for (int panel = 0; panel < kAllTiles; panel += kPanelTiles) {
                if (panel >= tiles) continue;
                ZPRL_UNROLL
                for (int n = panel; n < panel + kPanelTiles; ++n) function(place, half, n, time[n]);
            }
        }
    }

    template <typename Epilogue>
    ZPRL_DEVICE void put_operands(const typename Epilogue::Operand (&operands)[2][kAllTiles], const Epilogue& epilogue,
                                  int first) const {
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        ZPRL_UNROLL
        for (int half = 0; half < 2; ++half) {
            const auto place = epilogue.place(16 * (warp % 4) + 8 * half + lane / 4, first + 2 * (lane % 4));
            ZPRL_UNROLL
            for (int n = 0; n < kAllTiles; ++n) epilogue.put_operand(place, 8 * n, operands[half][n]);
        }
    }

    // The sums of a turn's outputs, from `first` on: all products, waited for.
    template <typename Epilogue>
    ZPRL_DEVICE void multiply_turn(float (&sum)[kAllTiles][4], const DeviceLayer& layer, int first,
                                   const Epilogue& epilogue, const char* input, int slabs, int tiles) {
        const int lane = device::thread_index() % 32;
        if constexpr (takes_time(Epilogue::kKind)) {
            if (4 * lane < tiles) device::prefetch(epilogue.time + first + 32 * lane);
        }
        Float2 bias[kAllTiles];
        this->template load_pairs<8>(bias, this->bias_of(layer) + first + lane % 4 * 2, tiles);
        ZPRL_UNROLL
        for (int n = 0; n < kAllTiles; ++n) this->begin(sum[n], bias[n]);
        if (tiles == kAllTiles) {
            multiply_slabs<kAllTiles>(sum, input, slabs);
        } else {
            multiply_slabs<kPanelTiles>(sum, input, slabs);
        }
    }

    template <int kTiles>
    ZPRL_DEVICE void multiply_slabs(float (&sum)[kAllTiles][4], const char* input, int slabs) {
        constexpr int kSteps = 4, kStepBytes = kSlabBytes / kSteps;
        ZPRL_NO_UNROLL
        for (int slab = 0; slab < slabs; ++slab) {
            const uint64_t b = matrix_descriptor(device::shared_address(this->ring_.next_of_group()));
            const uint64_t a = matrix_descriptor(device::shared_address(input + slab * (kWgmmaRows * kSlabBytes)));
            device::begin_products();
            ZPRL_UNROLL
            for (int step = 0; step < kSteps; ++step) {
                const int offset = step * kStepBytes / kPieceBytes;
                GroupProduct<Unit>::template add<kTiles>(sum, a + offset, b + offset, true);
            }
            device::commit_products();
            device::wait_for_products<1>();
            this->ring_.release_of_group(1);
        }
        device::wait_for_products<0>();
        device::fence_operand(sum);
        this->ring_.release_of_group(0);
    }

    static ZPRL_DEVICE int min_of(int a, int b) { return a < b ? a : b; }

    static_assert(kWarpgroups == 2 && kMaxWgmmaOutputs == 2 * kPanel, "the cases above");
};

template <typename Unit, Placement kPlacement>
ZPRL_DEVICE void run_wgmma_tile(const KernelArguments& arguments, int cluster_size) {
    ProducerRing<Unit, true> ring(arguments, cluster_size);
    if (device::thread_index() < kThreads) {
        device::take_registers<kConsumerRegisters>();
        run_consumers<Unit, WgmmaTileEngine<Unit, kPlacement>, PlacedAs<kPlacement>>(arguments, ring);
    } else {
        device::give_registers<kProducerRegisters>();
        if (device::thread_index() == kThreads) ring.produce();
        device::sync_warp();
    }
    ring.close();
}

#endif

}  // namespace cuda
}  // namespace zprl
