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
// writer's fence before the warpgroups meet (sync()). Operands may be overwritten once the products are waited for: no
// epilogue writes what a product of the same layer reads. Why no wait lasts for ever is said in producer_ring.cuh.
//
// Embedding, encoder, actor and decoder stay with mma.sync (tile_step.cuh), since they are float32: wgmma has no place
// for operands that are split on their way from shared memory. There both warpgroups read every slab.
//
// Memory: shared memory as memory.h says, 1024-byte aligned. A thread begins with 168 registers; 64 of a consumer's 232
// hold sums, which begin with the bias, and 32 the epilogue's time.
//
// Roofline per slab of 128 outputs, bf16: 0.5 M multiply-adds, 256 cycles at the dense rate, for (16 + 8) KiB read from
// shared memory: 192 cycles at 128 bytes. With 64 outputs, the rows would be read too often: (8 + 8) KiB for 128
// cycles. tf32 has half of the rate and of the numbers to a slab: the same cycles.

#pragma once

#include <type_traits>

#include "producer_ring.cuh"
#include "tile_step.cuh"
#include "wgmma.cuh"

namespace zprl {
namespace cuda {

constexpr int kWarpgroups = kWarps / 4;
constexpr int kWgmmaRows = 64;
constexpr int kConsumerRegisters = 232, kProducerRegisters = 40;
static_assert(kThreads * kConsumerRegisters + kProducerThreads * kProducerRegisters <= 64 * 1024,
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

template <typename Unit>
class WgmmaTileEngine : public TileEngine<ProducerRing<Unit>, kWgmmaRows / 16, kMaxWgmmaOutputs> {
    typedef TileEngine<ProducerRing<Unit>, kWgmmaRows / 16, kMaxWgmmaOutputs> Base;

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
    static constexpr int kAllTiles = kMaxWgmmaOutputs / 8;  // of a turn, 8 outputs each
    static constexpr int kPanelTiles = kPanel / 8;          // of which there are whole panels

    template <typename Epilogue>
    ZPRL_DEVICE void multiply_layer(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, Unit::kElementBytes);
        int turn = 0;
        for (int first = 0, at_once = 0; first < outputs; first += at_once) {
            at_once = outputs_of_slab(outputs - first, this->at_once_);
            if (turn++ % kWarpgroups != warp / 4) {
                this->ring_.skip(slabs);
                continue;
            }
            const int tiles = at_once / 8, column = first + 2 * (lane % 4);
            Float2 bias[kAllTiles], time[kAllTiles];
            this->template load_pairs<8>(bias, this->bias_of(layer) + column, tiles);
            this->template load_pairs<8>(time, this->time_of(epilogue, column), tiles);
            float sum[kAllTiles][4];
            ZPRL_UNROLL
            for (int n = 0; n < kAllTiles; ++n) this->begin(sum[n], bias[n]);
            if (tiles == kAllTiles) {
                multiply_slabs<kAllTiles>(sum, input, slabs);
            } else {
                multiply_slabs<kPanelTiles>(sum, input, slabs);
            }
            device::fence_operand(sum);
            epilogue.choose([&](auto kind) {
                ZPRL_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const auto place = epilogue.place(16 * (warp % 4) + 8 * half + lane / 4, column);
                    ZPRL_UNROLL
                    for (int panel = 0; panel < kAllTiles; panel += kPanelTiles) {
                        if (panel >= tiles) continue;
                        ZPRL_UNROLL
                        for (int n = panel; n < panel + kPanelTiles; ++n) {
                            epilogue.finish(kind, place, 8 * n, sum[n][2 * half], sum[n][2 * half + 1], time[n]);
                        }
                    }
                }
            });
        }
    }

    // All products of kTiles tiles of outputs, waited for.
    template <int kTiles>
    ZPRL_DEVICE void multiply_slabs(float (&sum)[kAllTiles][4], const char* input, int slabs) {
        constexpr int kSteps = 4, kStepBytes = kSlabBytes / kSteps;
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
        this->ring_.release_of_group(0);
    }

    static_assert(kWarpgroups == 2 && kAllTiles == 2 * kPanelTiles, "the cases of turns and tiles above");
};

template <typename Unit>
ZPRL_DEVICE void run_wgmma_tile(const KernelArguments& arguments, int cluster_size) {
    typename WgmmaTileEngine<Unit>::Ring ring(arguments, cluster_size);
    if (device::thread_index() < kThreads) {
        device::take_registers<kConsumerRegisters>();
        run_consumers<Unit, WgmmaTileEngine<Unit>>(arguments, ring);
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
