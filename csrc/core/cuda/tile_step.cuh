// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Throughput: a block takes 16 kTilesM rows through the whole step, and the weights stream by (weight_ring.cuh).
//
// Activations stay in the block's shared memory (memory.h). Warps share the outputs: warp w takes the tiles w, w + 8,
// ... of 8 outputs, for all rows, so that a narrow layer still gives every warp something to do, and every row's sums
// are added in the same order.
//
// Roofline per slab of 256 outputs and 64 rows, bf16: 1 M multiply-adds, 1024 cycles at the dense rate of sm_80 and
// half of that on sm_90 (of which mma.sync reaches two thirds), against 32 KiB from the level-2 cache: 512 cycles at
// the 64 bytes per cycle that one multiprocessor can take, but 1400 at its share when all of them read. Hence as many
// rows as shared memory allows, and on Hopper clusters that read every slab once.

#pragma once

#include "step.cuh"
#include "weight_ring.cuh"

namespace zprl {
namespace cuda {

template <typename WeightRing, int kTilesM>
class TileEngine {
 public:
    typedef WeightRing Ring;
    static constexpr int kRows = 16 * kTilesM;

    ZPRL_DEVICE TileEngine(const KernelArguments& arguments, Ring& ring)
        : blob_(arguments.call.blob), at_once_(arguments.memory.tile_outputs), ring_(ring) {}

    template <typename T>
    ZPRL_DEVICE void put(void* at, T value) const {
        device::store_operand(at, value);
    }
    ZPRL_DEVICE bool writes() const { return true; }
    ZPRL_DEVICE void sync() const { device::sync_block(); }
    ZPRL_DEVICE void exchange() const { sync(); }

    template <typename LayerUnit, typename Finisher>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, int, const char* input, int, const Finisher& finish) {
        add_up<LayerUnit>(layer, input, finish);
        sync();
    }

 protected:
    template <typename LayerUnit, typename Finisher>
    ZPRL_DEVICE void add_up(const DeviceLayer& layer, const char* input, const Finisher& finish) {
        constexpr int kTilesN = kMaxTileOutputs / 8 / kWarps;
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, LayerUnit::kElementBytes);
        const float* const bias = reinterpret_cast<const float*>(blob_ + layer.bias);
        for (int first = 0; first < outputs; first += at_once_) {
            const int left = outputs - first;
            const int tiles = (left < at_once_ ? left : at_once_) / 8 / kWarps;  // panels: never a remainder
            float sum[kTilesM][kTilesN][4] = {};
            for (int slab = 0; slab < slabs; ++slab) {
                const char* const weights = ring_.next();
                LayerUnit::template add_products<kTilesM, kTilesN>(sum, input + slab * (kRows * kSlabBytes),
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

    static_assert(kPanel % (8 * kWarps) == 0, "a panel has whole tiles for every warp");

    const char* const blob_;
    const int at_once_;
    Ring& ring_;
};

template <typename Unit, typename Engine>
ZPRL_DEVICE void run_tile(const KernelArguments& arguments, int cluster_size) {
    const DevicePolicy& p = arguments.policy;
    const Operation operation = arguments.call.operation;
    const int once = layers_once(p);
    const int begin = first_layer(p, operation);
    const int end = operation == Operation::kEncode
                        ? layers_to_moments(p)
                        : once + 1 + p.num_steps * p.solver.stages * layers_per_evaluation(p);
    typename Engine::Ring ring(arguments, begin, end, cluster_size);
    Engine engine(arguments, ring);
    char* const workspace = arguments.call.workspace + device::block_index() * arguments.memory.workspace_bytes;
    Step<Unit, Engine> step(arguments, engine, device::block_index() * Engine::kRows, workspace);
    step.run();
    ring.close();
}

}  // namespace cuda
}  // namespace zprl
