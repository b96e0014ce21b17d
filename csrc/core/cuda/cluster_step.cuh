// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Latency: a cluster of blocks takes 8 rows through the whole step, and holds the weights of the velocity field.
//
// A step of one row is a chain of some hundred layers, each far too small for a GPU: what counts is the way from one
// layer to the next. Every block keeps its share of each layer's outputs (groups of 16) in its shared memory for the
// whole launch, multiplies them with all rows, and sends its results into the shared memory of every block of the
// cluster, those of live rows alone. What is needed of whole rows, the layer norm, is done by every block for itself, a
// warp per row: cheaper than another exchange.
//
// Within a block, warps share the groups of outputs, and what is left over splits the sum over inputs; their partial
// sums meet in shared memory in a fixed order. Weights are the 16-row operand of mma.sync and the batch its 8 columns,
// so that no row is computed in vain: 8 rows cost what one costs.
//
// Resident weights arrive by bulk copies, all requested at the start, while the layers that run once work. Weights that
// do not fit (layers from `resident` on), or are used once, are streamed through three stages of each warp's own. The
// first slabs of the next layer are requested as soon as a warp is done with the products of the one before: while
// results are on their way.
//
// Memory: as memory.h says; of a block's 227 KiB, resident weights have what activations of 8 rows, partial sums (4
// KiB) and the stages of streamed weights (48 KiB) leave.
//
// How layers are kept apart. Each block has a barrier for the layers with even numbers and one for the others. A phase
// ends when every block of the cluster has arrived, and when all bytes of the layer's results are there, which are
// counted as they arrive (st.async): data and signal travel together, in one way. A block arrives everywhere when it
// has read the layer's input, before it sends results.
//
//   * Results of layer l + 1 may reach a block that still waits for some of layer l: hence two barriers. None of layer
//     l + 2 can: they follow their sender's wait for l + 1, so this block's arrival there, so its own wait for l.
//   * One copy of each buffer is enough. What layer l writes, every block has read for the last time in layer l - 1 at
//     the latest (`inner` and the once-buffers in the layer before, the stream in the layer norm before that), and its
//     arrival there precedes the sender's wait for l - 1. Step::take_latents() reads outside of a layer: an exchange
//     without bytes follows it.
//   * Partial sums are not written again before all of the block's own results have arrived at itself.
//
// Time of a layer, of which the exchange is a third or more: 16 inputs by 16 outputs per mma, so that 256 x 256 weights
// on 8 blocks are 2 groups x 16 k-steps, 4 mma for each of 8 warps, one after the other; then partial sums and results
// to peers. Bound by latencies; the bandwidth of shared memory (16 KB per layer) and of the exchange (a few KB) is not
// used up.

#pragma once

#include "step.cuh"

namespace zprl {
namespace cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

template <typename Unit>
class ClusterEngine {
 public:
    static constexpr int kRows = kClusterRows;

    ZPRL_DEVICE ClusterEngine(const KernelArguments& arguments, int size, int64_t first_row)
        : p_(arguments.policy),
          m_(arguments.memory),
          blob_(arguments.call.blob),
          shared_(device::shared_memory()),
          size_(size),
          size_log2_(log2_of(size)),
          rank_(device::cluster_rank()),
          rows_(live_rows(arguments.call, first_row, kRows)),
          next_(arguments.policy, arguments.call.operation) {
        if (device::thread_index() == 0) {
            for (int i = 0; i < 2; ++i) device::init_arrivals(exchanged(i), size_);
            if (arguments.call.operation != Operation::kEncode) request_resident();
        }
        device::sync_cluster();  // nobody sends to a block that has not begun, or to a barrier that is not set up
        prefetch();
    }

    template <typename T>
    ZPRL_DEVICE void put(void* at, T value) const {
        ZPRL_NO_UNROLL
        for (int rank = 0; rank < size_; ++rank) device::store_async(at, rank, value, exchanged(number_));
    }
    ZPRL_DEVICE bool writes() const { return rank_ == 0; }
    ZPRL_DEVICE bool computes(const DeviceLayer& layer, int column) const {
        const Share share = share_of(layer);
        return column / kGroupOutputs >= share.first && column / kGroupOutputs < share.first + share.groups;
    }
    ZPRL_DEVICE void sync() const { device::sync_block(); }
    ZPRL_DEVICE void exchange() {
        device::sync_block();
        arrive(0);
        wait();
    }

    // A block must not end while others may send to it.
    ZPRL_DEVICE void close() const { device::sync_cluster(); }

    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, const char* input, const Epilogue& epilogue) {
        const int thread = device::thread_index(), lane = thread % 32;
        const Share share = share_of(layer);
        const char* const resident = place_of_resident(next_.field_index());
        next_.advance();
        if (resident != nullptr && !has_resident_) {
            device::wait_for_phase<Scope::kCta>(resident_full(), 0);
            device::sync_warp();
            has_resident_ = true;
        }
        const int bytes = epilogue.pair_bytes * (padded_width(layer.out) / 2) * rows_;
        const float* const layer_bias = reinterpret_cast<const float*>(blob_ + layer.bias);

        float* const partial = reinterpret_cast<float*>(shared_ + m_.partial);
        // Once at least: without sums, too, all threads must have seen the exchange before, or a phase could pass them
        // by.
        bool is_last = false;
        for (int base = 0; !is_last; base += kWarps) {
            is_last = base + kWarps >= share.groups;
            const int groups = is_last ? share.groups - base : kWarps;
            // Sums of this thread: pairs of outputs of row thread % 8. What the epilogue needs is loaded before the
            // products, so that nobody waits for it after them.
            const int row = thread % kRows;
            const auto column_of = [&](int i) {
                return (share.first + base) * kGroupOutputs + 2 * ((thread + i * kThreads) / kRows);
            };
            const auto has_pair = [&](int i) {
                return row < rows_ && thread + i * kThreads < groups * (kGroupOutputs / 2 * kRows);
            };
            Float2 bias[kPairs], time[kPairs];
            ZPRL_UNROLL
            for (int i = 0; i < kPairs; ++i) {
                bias[i] = time[i] = {0.0f, 0.0f};
                if (!has_pair(i)) continue;
                bias[i] = load_pair(layer_bias + column_of(i));
                if (epilogue.time != nullptr) time[i] = load_pair(epilogue.time + column_of(i));
            }

            const Split split = split_of(groups, slabs_of(layer.in, LayerUnit::kElementBytes));
            if (split.group < groups) {
                float sum[1][1][4] = {};
                if (resident != nullptr) {
                    for (int slab = split.begin; slab < split.end; ++slab) {
                        multiply<LayerUnit>(sum, resident + (slab * share.groups + base + split.group) * kGroupBytes,
                                            input, slab);
                    }
                } else {
                    const Stream stream = stream_of(layer, share.first + base, split);
                    if (base > 0) start(stream);
                    multiply_streamed<LayerUnit>(sum, stream, input);
                }
                // [part of the inputs][group][output][row]
                float* const to = partial + (split.part * groups + split.group) * (kGroupOutputs * kRows);
                const int at = lane / 4 * kRows + lane % 4 * 2;
                *reinterpret_cast<Float2*>(to + at) = {sum[0][0][0], sum[0][0][1]};
                *reinterpret_cast<Float2*>(to + at + 8 * kRows) = {sum[0][0][2], sum[0][0][3]};
            }
            if (is_last) prefetch();
            device::sync_block();
            if (is_last) arrive(bytes);
            Float2 sums[kPairs];
            ZPRL_UNROLL
            for (int i = 0; i < kPairs; ++i) {
                sums[i] = {0.0f, 0.0f};
                if (!has_pair(i)) continue;
                const float* from = partial + 2 * ((thread + i * kThreads) / kRows) * kRows + row;
                for (int part = 0; part < split.parts; ++part, from += groups * kGroupOutputs * kRows) {
                    sums[i].x += from[0];
                    sums[i].y += from[kRows];
                }
            }
            epilogue.choose([&](auto kind) {
                ZPRL_UNROLL
                for (int i = 0; i < kPairs; ++i) {
                    if (!has_pair(i)) continue;
                    epilogue.finish(kind, epilogue.place(row, column_of(i)), 0, sums[i].x + bias[i].x,
                                    sums[i].y + bias[i].y, time[i]);
                }
            });
            if (!is_last) device::sync_block();
        }
        wait();
    }

 private:
    static_assert(kClusterRows == 8, "the rows are the 8 columns of mma.sync");

    // Of a thread, in the sums of all warps.
    static constexpr int kPairs = kWarps * kGroupOutputs / 2 * kClusterRows / kThreads;

    // This block's groups of a layer's outputs.
    struct Share {
        int first, groups;
    };
    ZPRL_DEVICE Share share_of(const DeviceLayer& layer) const {
        const int all = padded_width(layer.out) / kGroupOutputs;
        const int most = (all + size_ - 1) >> size_log2_, first = rank_ * most, left = all - first;
        return {first, left < 0 ? 0 : left < most ? left : most};
    }

    // What a warp multiplies of up to kWarps groups: one of them, or none, and of the inputs one of so many parts,
    // slabs [begin, end).
    struct Split {
        int group, part, parts, begin, end;
    };
    ZPRL_DEVICE static Split split_of(int groups, int slabs) {
        static_assert(kWarps == 8, "the cases below");
        const int parts_log2 = groups > 4 ? 0 : groups > 2 ? 1 : groups > 1 ? 2 : 3;
        const int warp = device::thread_index() / 32, part = warp & ((1 << parts_log2) - 1);
        return {warp >> parts_log2, part, 1 << parts_log2, (slabs * part) >> parts_log2,
                (slabs * (part + 1)) >> parts_log2};
    }

    // Weights that a warp streams: slabs [begin, end) of a group.
    struct Stream {
        const char* weights;
        int stride;  // [bytes] from one slab to the next
        int begin, end;
    };
    ZPRL_DEVICE Stream stream_of(const DeviceLayer& layer, int first_group, const Split& split) const {
        return {blob_ + layer.weight + (first_group + split.group) * kGroupBytes, padded_width(layer.out) * kSlabBytes,
                split.begin, split.end};
    }

    ZPRL_DEVICE uint64_t* resident_full() const { return reinterpret_cast<uint64_t*>(shared_ + m_.barrier); }
    ZPRL_DEVICE uint64_t* exchanged(int number) const { return resident_full() + 1 + number % 2; }

    // This block, whose threads have met, has read what it needs; it expects this many bytes.
    ZPRL_DEVICE void arrive(int bytes) const {
        const int thread = device::thread_index();
        if (thread >= size_) return;
        if (thread == rank_) {
            device::expect_tx(exchanged(number_), bytes);
        } else {
            device::arrive_at_peer<Scope::kCluster>(exchanged(number_), thread);
        }
    }
    ZPRL_DEVICE void wait() {
        device::wait_for_phase<Scope::kCluster>(exchanged(number_), number_ / 2 % 2);
        device::sync_warp();  // matrix instructions follow, which want the warp together
        ++number_;
    }

    // Weights [16 outputs][128 bytes] times rows.
    template <typename LayerUnit>
    ZPRL_DEVICE void multiply(float (&sum)[1][1][4], const char* weights, const char* input, int slab) const {
        LayerUnit::template add_products<1, 1>(sum, weights, input + slab * (kClusterRows * kSlabBytes), 0, 1);
    }

    // Request a slab of the stream, in a group of copies of its own; an empty one past the stream's end.
    ZPRL_DEVICE void request(const Stream& stream, int slab) const {
        if (slab < stream.end) {
            const int lane = device::thread_index() % 32;
            const char* const from = stream.weights + static_cast<int64_t>(slab) * stream.stride;
            char* const to = stage_of(stream, slab);
            ZPRL_UNROLL
            for (int i = 0; i < kGroupBytes / (32 * kPieceBytes); ++i) {
                const int at = (i * 32 + lane) * kPieceBytes;
                device::copy_async(to + at, from + at);
            }
        }
        device::commit_copies();
    }
    ZPRL_DEVICE char* stage_of(const Stream& stream, int slab) const {
        const int warp = device::thread_index() / 32, stage = (slab - stream.begin) % kGroupStages;
        return shared_ + m_.streamed_weights + (warp * kGroupStages + stage) * kGroupBytes;
    }

    // Request the first slabs of a stream: all stages but one.
    ZPRL_DEVICE void start(const Stream& stream) const {
        device::sync_warp();  // nobody reads what the stages held
        for (int i = 0; i + 1 < kGroupStages; ++i) request(stream, stream.begin + i);
    }

    // The same of the next layer, if this warp streams any of it.
    ZPRL_DEVICE void prefetch() const {
        if (next_.done() || place_of_resident(next_.field_index()) != nullptr) return;
        const DeviceLayer layer = next_.layer();
        const Share share = share_of(layer);
        const int groups = share.groups < kWarps ? share.groups : kWarps;
        const Split split =
            split_of(groups, slabs_of(layer.in, next_.runs_once() ? Fp32Unit::kElementBytes : Unit::kElementBytes));
        if (split.group < groups) start(stream_of(layer, share.first, split));
    }

    // A stream that has been started.
    template <typename LayerUnit>
    ZPRL_DEVICE void multiply_streamed(float (&sum)[1][1][4], const Stream& stream, const char* input) const {
        for (int slab = stream.begin; slab < stream.end; ++slab) {
            device::wait_for_copies<kGroupStages - 2>();
            device::sync_warp();
            request(stream, slab + kGroupStages - 1);
            multiply<LayerUnit>(sum, stage_of(stream, slab), input, slab);
        }
        device::wait_for_copies<0>();
    }

    // This block's share of a layer of the velocity field: its slabs, of `mine` groups each, one after the other.
    ZPRL_DEVICE int share_bytes(const DeviceLayer& layer) const {
        return slabs_of(layer.in, Unit::kElementBytes) * groups_per_block(layer.out, size_) * kGroupBytes;
    }

    // Where a layer of the velocity field is resident, or null if it is not, or is none.
    ZPRL_DEVICE const char* place_of_resident(int field_index) const {
        if (field_index < 0 || field_index >= m_.resident) return nullptr;
        const char* const start = shared_ + m_.resident_weights;
        if (field_index == 0) return start;
        return start + share_bytes(p_.input) + (field_index - 1) * share_bytes(p_.first_block_layer);
    }

    // By one thread.
    ZPRL_DEVICE void request_resident() const {
        device::init_arrivals(resident_full(), 1);
        uint32_t bytes = 0;
        for (int pass = 0; pass < 2; ++pass) {  // count and expect, then request
            if (pass == 1) device::expect_tx(resident_full(), bytes);
            for (int i = 0; i < m_.resident; ++i) {
                const DeviceLayer layer = field_layer(p_, i);
                const Share share = share_of(layer);
                const int slabs = slabs_of(layer.in, Unit::kElementBytes), part = share.groups * kGroupBytes;
                if (pass == 0 || part == 0) {
                    bytes += slabs * part;
                    continue;
                }
                char* to = const_cast<char*>(place_of_resident(i));
                const char* from = blob_ + layer.weight + share.first * kGroupBytes;
                for (int slab = 0; slab < slabs; ++slab) {
                    device::copy_bulk(to, from, part, resident_full());
                    to += part;
                    from += static_cast<int64_t>(padded_width(layer.out)) * kSlabBytes;
                }
            }
        }
    }

    const DevicePolicy& p_;
    const Memory& m_;
    const char* const blob_;
    char* const shared_;
    const int size_, size_log2_, rank_;
    const int rows_;    // live ones
    LayerCursor next_;  // layer
    int number_ = 0;    // of the exchange
    bool has_resident_ = false;
};

template <typename Unit>
ZPRL_DEVICE void run_cluster(const KernelArguments& arguments, int cluster_size) {
    const int64_t first_row = device::block_index() / cluster_size * kClusterRows;
    ClusterEngine<Unit> engine(arguments, cluster_size, first_row);
    Step<Unit, ClusterEngine<Unit>> step(arguments, engine, first_row, nullptr);
    step.run();
    engine.close();
}

#endif

}  // namespace cuda
}  // namespace zprl
