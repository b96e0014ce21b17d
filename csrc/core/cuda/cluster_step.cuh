// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Latency: a cluster of blocks takes 8 rows through the whole step, and holds the weights of the velocity field.
//
// A step of one row is a chain of some hundred layers, each far too small for a GPU: what counts is the way from one
// layer to the next. Every block keeps its share of each layer's outputs (groups of 16) in its shared memory for the
// whole launch, multiplies them with all rows, and sends its results into the shared memory of every block of the
// cluster. What is needed of whole rows, the layer norm, is done by every block for itself, a warp per row: cheaper
// than another exchange.
//
// Within a block, warps share the groups of outputs, and what is left over splits the sum over inputs; their partial
// sums meet in shared memory in a fixed order. Weights are the 16-row operand of mma.sync and the batch its 8 columns,
// so that no row is computed in vain: 8 rows cost what one costs.
//
// Weights that stay arrive by bulk copies, all requested at the start, while the layers that run once work. Weights
// that do not fit (layers from `resident` on), or are used once, pass through three slabs of each warp's own.
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
    ZPRL_DEVICE ClusterEngine(const KernelArguments& arguments, int size)
        : p_(arguments.policy),
          m_(arguments.memory),
          blob_(arguments.call.blob),
          shared_(device::shared_memory()),
          size_(size),
          rank_(device::cluster_rank()) {
        if (device::thread_index() == 0) {
            for (int i = 0; i < 2; ++i) device::init_arrivals(exchanged(i), size_);
            if (arguments.call.operation != Operation::kEncode) request_resident();
        }
        device::sync_cluster();  // nobody sends to a block that has not begun, or to a barrier that is not set up
    }

    template <typename T>
    ZPRL_DEVICE void put(void* at, T value) const {
        for (int rank = 0; rank < size_; ++rank) device::store_async(at, rank, value, exchanged(number_));
    }
    ZPRL_DEVICE bool writes() const { return rank_ == 0; }
    ZPRL_DEVICE void sync() const { device::sync_block(); }
    ZPRL_DEVICE void exchange() {
        device::sync_block();
        arrive(0);
        wait();
    }

    // A block must not end while others may send to it.
    ZPRL_DEVICE void close() const { device::sync_cluster(); }

    template <typename LayerUnit, typename Finisher>
    ZPRL_DEVICE void linear(const DeviceLayer& layer, int index, const char* input, int bytes, const Finisher& finish) {
        const int thread = device::thread_index(), warp = thread / 32, lane = thread % 32;
        const int outputs = padded_width(layer.out), slabs = slabs_of(layer.in, LayerUnit::kElementBytes);
        const int share = groups_per_block(layer.out, size_), first = rank_ * share;
        const int left = outputs / kGroupOutputs - first;
        const int mine = left < 0 ? 0 : (left < share ? left : share);
        const char* const resident = place_of_resident(index);
        if (resident != nullptr) {
            device::wait_for_phase<Scope::kCta>(resident_full(), 0);
            device::sync_warp();
        }
        bytes *= outputs / 2 * kClusterRows;

        float* const partial = reinterpret_cast<float*>(shared_ + m_.partial);
        for (int base = 0; base < mine; base += kWarps) {
            const int groups = mine - base < kWarps ? mine - base : kWarps;
            const int splits = kWarps / groups < slabs ? kWarps / groups : slabs;
            const int group = warp % groups, split = warp / groups;
            if (split < splits) {
                float sum[1][1][4] = {};
                const int begin = slabs * split / splits, end = slabs * (split + 1) / splits;
                if (resident != nullptr) {
                    for (int slab = begin; slab < end; ++slab) {
                        multiply<LayerUnit>(sum, resident + (slab * mine + base + group) * kGroupBytes, input, slab);
                    }
                } else {
                    const char* const weights = blob_ + layer.weight + (first + base + group) * kGroupBytes;
                    multiply_streamed<LayerUnit>(sum, weights, outputs * kSlabBytes, input, begin, end);
                }
                // [split][group][output][row]
                float* const to = partial + (split * groups + group) * (kGroupOutputs * kClusterRows);
                const int at = lane / 4 * kClusterRows + lane % 4 * 2;
                *reinterpret_cast<Float2*>(to + at) = {sum[0][0][0], sum[0][0][1]};
                *reinterpret_cast<Float2*>(to + at + 8 * kClusterRows) = {sum[0][0][2], sum[0][0][3]};
            }
            device::sync_block();
            if (base + kWarps >= mine) arrive(bytes);
            for (int i = thread; i < groups * kGroupOutputs / 2 * kClusterRows; i += kThreads) {
                const int row = i % kClusterRows, pair = i / kClusterRows;  // of outputs, of all groups
                float x = 0.0f, y = 0.0f;
                for (int s = 0; s < splits; ++s) {
                    const float* const from = partial + (s * groups * kGroupOutputs + 2 * pair) * kClusterRows + row;
                    x += from[0];
                    y += from[kClusterRows];
                }
                const int column = (first + base) * kGroupOutputs + 2 * pair;
                const float* const bias = reinterpret_cast<const float*>(blob_ + layer.bias) + column;
                finish(row, column, x + bias[0], y + bias[1]);
            }
            if (base + kWarps < mine) device::sync_block();
        }
        if (mine == 0) {  // no sums, but all threads must have seen the exchange before, or a phase could pass them by
            device::sync_block();
            arrive(bytes);
        }
        wait();
    }

 private:
    static_assert(kClusterRows == 8, "the rows are the 8 columns of mma.sync");

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

    // The same for slabs [begin, end) of weights that are in global memory, `stride` bytes apart.
    template <typename LayerUnit>
    ZPRL_DEVICE void multiply_streamed(float (&sum)[1][1][4], const char* weights, int stride, const char* input,
                                       int begin, int end) const {
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        char* const streamed = shared_ + m_.streamed_weights + warp * (kGroupStages * kGroupBytes);
        const auto request = [&](int slab) {
            if (slab < end) {
                const char* const from = weights + static_cast<int64_t>(slab) * stride;
                char* const to = streamed + (slab - begin) % kGroupStages * kGroupBytes;
                ZPRL_UNROLL
                for (int i = 0; i < kGroupBytes / (32 * kPieceBytes); ++i) {
                    const int at = (i * 32 + lane) * kPieceBytes;
                    device::copy_async(to + at, from + at);
                }
            }
            device::commit_copies();
        };
        device::sync_warp();  // nobody reads what passed before
        for (int i = 0; i + 1 < kGroupStages; ++i) request(begin + i);
        for (int slab = begin; slab < end; ++slab) {
            device::wait_for_copies<kGroupStages - 2>();
            device::sync_warp();
            request(slab + kGroupStages - 1);
            multiply<LayerUnit>(sum, streamed + (slab - begin) % kGroupStages * kGroupBytes, input, slab);
        }
        device::wait_for_copies<0>();
    }

    // This block's share of a layer of the velocity field: its slabs, of `mine` groups each, one after the other.
    ZPRL_DEVICE int share_bytes(const DeviceLayer& layer) const {
        return slabs_of(layer.in, Unit::kElementBytes) * groups_per_block(layer.out, size_) * kGroupBytes;
    }

    // Where the layer that is number `index` of the step stays, or null if it does not.
    ZPRL_DEVICE const char* place_of_resident(int index) const {
        const int first = layers_once(p_) + 1;
        if (index < first) return nullptr;
        const int layer = (index - first) % layers_per_evaluation(p_);
        if (layer >= m_.resident) return nullptr;
        const char* const start = shared_ + m_.resident_weights;
        if (layer == 0) return start;
        return start + share_bytes(p_.input) + (layer - 1) * share_bytes(p_.first_block_layer);
    }

    // By one thread.
    ZPRL_DEVICE void request_resident() const {
        device::init_arrivals(resident_full(), 1);
        uint32_t bytes = 0;
        for (int pass = 0; pass < 2; ++pass) {  // count, announce, request
            if (pass == 1) device::expect_tx(resident_full(), bytes);
            for (int i = 0; i < m_.resident; ++i) {
                const DeviceLayer layer = field_layer(p_, i);
                const int outputs = padded_width(layer.out), share = groups_per_block(layer.out, size_);
                const int left = outputs / kGroupOutputs - rank_ * share;
                const int mine = left < 0 ? 0 : (left < share ? left : share);
                const int slabs = slabs_of(layer.in, Unit::kElementBytes);
                if (mine == 0) continue;
                if (pass == 0) {
                    bytes += slabs * mine * kGroupBytes;
                    continue;
                }
                char* to = const_cast<char*>(place_of_resident(layers_once(p_) + 1 + i));
                const char* from = blob_ + layer.weight + rank_ * share * kGroupBytes;
                for (int slab = 0; slab < slabs; ++slab) {
                    device::copy_bulk(to, from, mine * kGroupBytes, resident_full());
                    to += mine * kGroupBytes;
                    from += static_cast<int64_t>(outputs) * kSlabBytes;
                }
            }
        }
    }

    const DevicePolicy& p_;
    const Memory& m_;
    const char* const blob_;
    char* const shared_;
    const int size_, rank_;
    int number_ = 0;  // of the exchange
};

template <typename Unit>
ZPRL_DEVICE void run_cluster(const KernelArguments& arguments, int cluster_size) {
    ClusterEngine<Unit> engine(arguments, cluster_size);
    const int64_t cluster = device::block_index() / cluster_size;
    Step<Unit, ClusterEngine<Unit>> step(arguments, engine, cluster * kClusterRows, nullptr);
    step.run();
    engine.close();
}

#endif

}  // namespace cuda
}  // namespace zprl
