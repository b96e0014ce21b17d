// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Throughput on Hopper: the tile kernel for 64 rows with the velocity field's products on wgmma (wgmma.cuh).
//
// Two warpgroups share a slab's outputs, half each, for all 64 rows; up to 128 outputs are 64 sums of a thread, in the
// registers. Both operands stay in shared memory, in the layout that the blob and all activations have (layout.h).
// Embedding, encoder, actor and decoder stay with mma.sync (tile_step.cuh), since they are float32: wgmma has no place
// for operands that are split on their way from shared memory.
//
//   slab i      wait for its stage | start its products | wait for the products of slab i - 1 | release its stage
//
// so that the matrix units work while warps wait for bytes, release a stage and produce the next slab. Two things order
// what the matrix units read: the barrier that counts a slab's bytes, and, for activations, each writer's fence before
// the block's barrier (sync()). Operands may be overwritten once the products are waited for.
//
// Memory: shared memory as memory.h says, 1024-byte aligned. Of a thread's registers 64 hold sums and 64 the epilogue's
// vectors of 16 tiles, bias and time, which are loaded before the products.
//
// Roofline per slab of 256 outputs, bf16: 1 M multiply-adds, 512 cycles at the dense rate. Each warpgroup reads its
// weights and all rows, 2 x (16 + 8) KiB of shared memory: 384 cycles at 128 bytes. Hence 128 outputs to a warpgroup:
// with 32, the rows would be read too often (2 x (4 + 8) KiB for 128 cycles). tf32 has half of the rate and of the
// numbers to a slab: the same cycles.

#pragma once

#include <type_traits>

#include "tile_step.cuh"
#include "wgmma.cuh"

namespace zprl {
namespace cuda {

constexpr int kWarpgroups = kWarps / 4;
constexpr int kWgmmaRows = 64;

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

// The ring refills a stage as soon as it is released: the wait for the cluster's slowest warp is hidden by products.
template <typename Unit>
class WgmmaTileEngine : public TileEngine<MulticastRing<Unit, 0>, kWgmmaRows / 16> {
    typedef TileEngine<MulticastRing<Unit, 0>, kWgmmaRows / 16> Base;

 public:
    using Base::Base;

    ZPRL_DEVICE void sync() const {
        device::fence_async();
        device::sync_block();
    }
    ZPRL_DEVICE void exchange() const { sync(); }

    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        if constexpr (std::is_same_v<LayerUnit, Unit>) {
            multiply_layer(layer, input, epilogue);
        } else {
            this->template add_up<LayerUnit>(layer, input, epilogue);
        }
        sync();
    }

 private:
    static constexpr int kAllTiles = kMaxTileOutputs / 8 / kWarpgroups;  // of a warpgroup, 8 outputs each
    static constexpr int kPanelTiles = kPanel / 8 / kWarpgroups;         // of which there are whole panels

    template <typename Epilogue>
    ZPRL_DEVICE void multiply_layer(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, Unit::kElementBytes);
        for (int first = 0, tiles = 0; first < outputs; first += tiles * 8 * kWarpgroups) {
            tiles = outputs_of_slab(outputs - first, this->at_once_) / (8 * kWarpgroups);
            const int column = first + warp / 4 * tiles * 8 + 2 * (lane % 4);
            Float2 bias[kAllTiles], time[kAllTiles];
            this->template load_vectors<8>(bias, time, this->bias_of(layer) + column, epilogue, tiles, column);
            float sum[kAllTiles][4] = {};
            switch (tiles) {
                case 4:
                    multiply_slabs<4>(sum, input, slabs);
                    break;
                case 8:
                    multiply_slabs<8>(sum, input, slabs);
                    break;
                default:
                    multiply_slabs<16>(sum, input, slabs);
            }
            device::wait_for_products<0>();
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
                            epilogue.finish(kind, place, 8 * n, sum[n][2 * half] + bias[n].x,
                                            sum[n][2 * half + 1] + bias[n].y, time[n]);
                        }
                    }
                }
            });
        }
    }

    // All products of kTiles tiles of outputs. Those of the last slab are not waited for, and its stage is released
    // only beside the next products: a release is also what produces slabs, so that every place of one is much code.
    template <int kTiles>
    ZPRL_DEVICE void multiply_slabs(float (&sum)[kAllTiles][4], const char* input, int slabs) {
        constexpr int kSteps = 4, kStepBytes = kSlabBytes / kSteps;
        const int warpgroup = device::thread_index() / 128;
        for (int slab = 0; slab < slabs; ++slab) {
            const char* const weights = this->ring_.consumer_wait() + warpgroup * (kTiles * 8 * kSlabBytes);
            const char* const rows = input + slab * (kWgmmaRows * kSlabBytes);
            const uint64_t a = matrix_descriptor(device::shared_address(rows));
            const uint64_t b = matrix_descriptor(device::shared_address(weights));
            device::begin_products();
            ZPRL_UNROLL
            for (int step = 0; step < kSteps; ++step) {
                const int offset = step * kStepBytes / kPieceBytes;
                GroupProduct<Unit>::template add<kTiles>(sum, a + offset, b + offset, slab > 0 || step > 0);
            }
            device::commit_products();
            device::wait_for_products<1>();
            this->ring_.consumer_release(1);
        }
    }

    static_assert(kPanel / 8 % kWarpgroups == 0 && kPanelTiles == 4, "the cases of tiles above, and Step::Place");
    static_assert(kMaxTileOutputs / kPanel == 4, "the cases of tiles above");
};

#endif

}  // namespace cuda
}  // namespace zprl
