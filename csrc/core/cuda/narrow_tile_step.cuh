// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Throughput for batches that leave multiprocessors idle: the tile kernel for 8 rows.
//
// As in the cluster kernel, weights are the 16-row operand of mma.sync and the batch its 8 columns, so that no row is
// computed in vain. Layer norms and epilogues, which take most of a tile's time, are those of half as many rows.

#pragma once

#include "tile_step.cuh"

namespace zprl {
namespace cuda {

template <typename WeightRing>
class NarrowTileEngine : public TileEngine<WeightRing, 1> {
    typedef TileEngine<WeightRing, 1> Base;

 public:
    static constexpr int kRows = kNarrowRows;
    using Base::Base;

    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, LayerUnit::kElementBytes);
        // A thread has two rows of output g and of g + 8; with its neighbour in g it trades one row's for the other's,
        // so that both have a pair of outputs.
        const int row = 2 * (lane % 4) + lane / 4 % 2;
        const bool odd = lane / 4 % 2 == 1;
        for (int first = 0, at_once = 0; first < outputs; first += at_once) {
            at_once = outputs_of_slab(outputs - first, this->at_once_);
            const int groups = at_once / kGroupOutputs, column = first + warp * kGroupOutputs + lane / 8 * 2;
            const int own = warp < groups ? (groups - warp + kWarps - 1) / kWarps : 0;  // groups of this warp
            // Loaded before the products, so that nobody waits for it after them.
            Float2 bias[kGroups][2], time[kGroups][2] = {};
            ZPRL_UNROLL
            for (int half = 0; half < 2; ++half) {
                load_of_groups(bias, half, this->bias_of(layer) + column, own);
                if constexpr (takes_time(Epilogue::kKind)) load_of_groups(time, half, epilogue.time + column, own);
            }
            // Of each half of a slab: sums of their own, since an mma.sync waits 33 cycles for the one that it adds to.
            float sum[kGroups][2][1][1][4] = {};
            for (int slab = 0; slab < slabs; ++slab) {
                const char* const weights = this->ring_.next();
                ZPRL_UNROLL
                for (int i = 0; i < kGroups; ++i) {
                    if (i >= own) continue;
                    ZPRL_UNROLL
                    for (int half = 0; half < 2; ++half) {
                        LayerUnit::template add_half<1, 1>(sum[i][half], weights + (warp + kWarps * i) * kGroupBytes,
                                                           input + slab * (kRows * kSlabBytes), 0, 1, half);
                    }
                }
            }
            Float2 pairs[kGroups][2];
            ZPRL_UNROLL
            for (int i = 0; i < kGroups; ++i) {
                ZPRL_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const auto sum_of = [&](int at) { return sum[i][0][0][0][at] + sum[i][1][0][0][at]; };
                    const float even_row = sum_of(2 * half), odd_row = sum_of(2 * half + 1);
                    const float kept = odd ? odd_row : even_row;
                    const float traded = device::shuffle_xor(odd ? even_row : odd_row, 4);
                    pairs[i][half] = {odd ? traded : kept, odd ? kept : traded};
                }
            }
            const auto place = epilogue.place(row, column);
            ZPRL_UNROLL
            for (int i = 0; i < kGroups; ++i) {
                if (i >= own) continue;
                ZPRL_UNROLL
                for (int half = 0; half < 2; ++half) {
                    epilogue.finish(place, kGroupStride * i + kHalfStride * half, pairs[i][half].x + bias[i][half].x,
                                    pairs[i][half].y + bias[i][half].y, time[i][half]);
                }
            }
        }
        this->sync();
    }

 private:
    static constexpr int kGroups = kMaxTileOutputs / kGroupOutputs / kWarps;  // of a warp: w and w + 8
    static constexpr int kGroupStride = kWarps * kGroupOutputs, kHalfStride = 8;

    // Pairs of a half of each of the warp's `own` groups; zero past them.
    static ZPRL_DEVICE void load_of_groups(Float2 (&pairs)[kGroups][2], int half, const float* values, int own) {
        ZPRL_UNROLL
        for (int i = 0; i < kGroups; ++i) {
            pairs[i][half] = {0.0f, 0.0f};
            if (i < own) pairs[i][half] = load_pair(values + kGroupStride * i + kHalfStride * half);
        }
    }

    static_assert(kNarrowRows == 8 && kPanel % kGroupOutputs == 0, "the rows are the 8 columns of mma.sync");
};

}  // namespace cuda
}  // namespace zprl
