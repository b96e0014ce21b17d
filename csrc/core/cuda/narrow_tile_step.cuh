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
        constexpr int kGroups = kMaxTileOutputs / kGroupOutputs / kWarps;  // of a warp: w and w + 8
        constexpr int kStride = 8;                                         // outputs of a half of a group
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, LayerUnit::kElementBytes);
        // A thread has two rows of output g and of g + 8; with its neighbour in g it trades one row's for the other's,
        // so that both have a pair of outputs.
        const int row = 2 * (lane % 4) + lane / 4 % 2;
        const bool odd = lane / 4 % 2 == 1;
        for (int first = 0, at_once = 0; first < outputs; first += at_once) {
            at_once = outputs_of_slab(outputs - first, this->at_once_);
            const int groups = at_once / kGroupOutputs, column = first + warp * kGroupOutputs + lane / 8 * 2;
            float sum[kGroups][1][1][4] = {};
            for (int slab = 0; slab < slabs; ++slab) {
                const char* const weights = this->ring_.next();
                ZPRL_UNROLL
                for (int i = 0; i < kGroups; ++i) {
                    const int group = warp + kWarps * i;
                    if (group >= groups) continue;
                    LayerUnit::template add_products<1, 1>(sum[i], weights + group * kGroupBytes,
                                                           input + slab * (kRows * kSlabBytes), 0, 1);
                }
            }
            Float2 pairs[kGroups][2];
            ZPRL_UNROLL
            for (int i = 0; i < kGroups; ++i) {
                ZPRL_UNROLL
                for (int half = 0; half < 2; ++half) {
                    const float even_row = sum[i][0][0][2 * half], odd_row = sum[i][0][0][2 * half + 1];
                    const float kept = odd ? odd_row : even_row;
                    const float traded = device::shuffle_xor(odd ? even_row : odd_row, 4);
                    pairs[i][half] = {odd ? traded : kept, odd ? kept : traded};
                }
            }
            epilogue.choose([&](auto kind) {
                const auto place = epilogue.place(row, column);
                ZPRL_UNROLL
                for (int i = 0; i < kGroups; ++i) {
                    if (warp + kWarps * i >= groups) continue;
                    ZPRL_UNROLL
                    for (int half = 0; half < 2; ++half) {
                        const int offset = kWarps * kGroupOutputs * i + kStride * half;
                        const Float2 bias = load_pair(this->bias_of(layer) + column + offset);
                        const Float2 time =
                            epilogue.time == nullptr ? Float2{0.0f, 0.0f} : load_pair(epilogue.time + column + offset);
                        epilogue.finish(kind, place, offset, pairs[i][half].x + bias.x, pairs[i][half].y + bias.y,
                                        time);
                    }
                }
            });
        }
        this->sync();
    }

    static_assert(kNarrowRows == 8 && kPanel % kGroupOutputs == 0, "the rows are the 8 columns of mma.sync");
};

}  // namespace cuda
}  // namespace zprl
