// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Throughput: a block takes 16 kTilesM rows through the whole step, and the weights stream by (weight_ring.cuh).
//
// Activations stay in the block's shared memory (memory.h). Warps share the outputs: warp w takes the tiles w, w + 8,
// ... of 8 outputs, for all rows, so that a narrow layer still gives every warp something to do, and every row's sums
// are added in the same order. A slab's stage is handed over by the ring, multiplied, and released; after the last slab
// of up to 256 outputs an epilogue takes the sums out of the registers.
//
// Memory: shared memory as memory.h says. Of a thread's registers 16 kTilesM hold sums, which begin with the bias, and
// 8 the epilogue's time.
//
// Roofline per slab of 256 outputs and 64 rows, bf16: 1 M multiply-adds, 1024 cycles at the dense rate of sm_80 and
// half of that on sm_90 (of which mma.sync reaches two thirds), against 32 KiB from the level-2 cache: 512 cycles at
// the 64 bytes per cycle that one multiprocessor can take, but 1400 at its share when all of them read. Hence as many
// rows as shared memory allows, and on Hopper clusters that read every slab once.

#pragma once

#include "producer_ring.cuh"
#include "step.cuh"
#include "weight_ring.cuh"

namespace zprl {
namespace cuda {

template <typename WeightRing, int kTilesM, int kMaxOutputs = kMaxTileOutputs>
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
    ZPRL_DEVICE bool computes(const DeviceLayer&, int) const { return true; }
    ZPRL_DEVICE void sync() const {
        if constexpr (Ring::kHasProducer) {
            device::sync_first<kThreads>();
        } else {
            device::sync_block();
        }
    }
    ZPRL_DEVICE void exchange() const { sync(); }

    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        add_up<LayerUnit>(layer, input, epilogue);
        sync();
    }

 protected:
    // Pairs of columns, kTileStride numbers apart: loaded before the products, so that nobody waits for them after.
    // Sums begin with the bias; an epilogue needs the time. Zero past `tiles`.
    template <int kTileStride, int kTilesN>
    static ZPRL_DEVICE void load_pairs(Float2 (&pairs)[kTilesN], const float* values, int tiles) {
        ZPRL_UNROLL
        for (int n = 0; n < kTilesN; ++n) {
            pairs[n] = {0.0f, 0.0f};
            if (n < tiles) pairs[n] = load_pair(values + kTileStride * n);
        }
    }
    // The same of an epilogue's time from `column` on; zero of a kind that takes none.
    template <int kTileStride, int kTilesN, typename Epilogue>
    static ZPRL_DEVICE void load_time(Float2 (&pairs)[kTilesN], const Epilogue& epilogue, int column, int tiles) {
        constexpr bool kTakesTime = takes_time(Epilogue::kKind);
        load_pairs<kTileStride>(pairs, kTakesTime ? epilogue.time + column : nullptr, kTakesTime ? tiles : 0);
    }

    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void add_up(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        constexpr int kTilesN = kMaxOutputs / 8 / kWarps, kTileStride = 8 * kWarps;
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, LayerUnit::kElementBytes);
        for (int first = 0, tiles = 0; first < outputs; first += tiles * kTileStride) {
            tiles = outputs_of_slab(outputs - first, at_once_) / kTileStride;
            const int column = first + warp * 8 + 2 * (lane % 4);
            Float2 bias[kTilesN], time[kTilesN];
            load_pairs<kTileStride>(bias, bias_of(layer) + column, tiles);
            load_time<kTileStride>(time, epilogue, column, tiles);
            float sum[kTilesM][kTilesN][4];
            ZPRL_UNROLL
            for (int m = 0; m < kTilesM; ++m) {
                ZPRL_UNROLL
                for (int n = 0; n < kTilesN; ++n) begin(sum[m][n], bias[n]);
            }
            for (int slab = 0; slab < slabs; ++slab) {
                const char* const weights = ring_.next();
                LayerUnit::template add_products<kTilesM, kTilesN>(sum, input + slab * (kRows * kSlabBytes),
                                                                   weights + warp * 8 * kSlabBytes,
                                                                   kWarps * 8 * kSlabBytes, tiles);
            }
            ZPRL_UNROLL
            for (int i = 0; i < 2 * kTilesM; ++i) {
                const auto place = epilogue.place(8 * i + lane / 4, column);
                ZPRL_UNROLL
                for (int n = 0; n < kTilesN; ++n) {
                    if (n >= tiles) continue;
                    const float* const pair = &sum[i / 2][n][i % 2 * 2];
                    epilogue.finish(place, kTileStride * n, pair[0], pair[1], time[n]);
                }
            }
        }
    }

    static ZPRL_DEVICE void begin(float (&sum)[4], Float2 bias) {
        sum[0] = sum[2] = bias.x;
        sum[1] = sum[3] = bias.y;
    }

    ZPRL_DEVICE const float* bias_of(const DeviceLayer& layer) const {
        return reinterpret_cast<const float*>(blob_ + layer.bias);
    }

    static_assert(kPanel % (8 * kWarps) == 0, "a panel has whole tiles for every warp");

    const char* const blob_;
    const int at_once_;
    Ring& ring_;
};

// What the threads do that take the rows through the step.
template <typename Unit, typename Engine, typename Placed = PlacedByPlan>
ZPRL_DEVICE void run_consumers(const KernelArguments& arguments, typename Engine::Ring& ring) {
    Engine engine(arguments, ring);
    char* const workspace = arguments.call.workspace + device::block_index() * arguments.memory.workspace_bytes;
    Step<Unit, Engine, Placed> step(arguments, engine, device::block_index() * Engine::kRows, workspace);
    step.run();
}

template <typename Unit, typename Engine>
ZPRL_DEVICE void run_tile(const KernelArguments& arguments, int cluster_size) {
    typename Engine::Ring ring(arguments, cluster_size);
    if constexpr (Engine::Ring::kHasProducer) {
        if (device::thread_index() < kThreads) {
            run_consumers<Unit, Engine>(arguments, ring);
        } else {
            if (device::thread_index() == kThreads) ring.produce();
            device::sync_warp();
        }
    } else {
        run_consumers<Unit, Engine>(arguments, ring);
    }
    ring.close();
}

}  // namespace cuda
}  // namespace zprl
