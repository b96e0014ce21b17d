// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Latency: a cluster of blocks takes up to 8 rows through the whole step, and holds the weights of the velocity field.
//
// A step of one row is a chain of some hundred layers, each far too small for a GPU: what counts is the way from one
// layer to the next. Every block keeps its share of each layer's outputs (groups of 16) in its shared memory for the
// whole launch, multiplies them with all rows, and sends its results into the shared memory of every block of the
// cluster, those of live rows alone. What is needed of whole rows, the layer norm, is done by every block for itself
// (cluster_norm.cuh): cheaper than another exchange.
//
// Within a block, warps share the groups of outputs, and what is left over splits the sum over inputs; their partial
// sums meet in shared memory in a fixed order. Weights are the 16-row operand of mma.sync and the batch its 8 columns,
// so that 8 rows cost the products of one. They do not cost the same exchange: how many rows a cluster takes is
// plan()'s choice. In float32 a product is three of split operands (unit.cuh).
//
// Resident weights arrive by bulk copies, all requested at the start, while the layers that run once work. Weights that
// do not fit (layers from `resident` on), or are used once, are streamed through three stages of each warp's own. The
// first slabs of the next layer are requested as soon as a warp is done with the products of the one before: while
// results are on their way.
//
// Memory: as memory.h says; of a block's 227 KiB, resident weights have what activations, partial sums (4 KiB) and the
// stages of streamed weights (48 KiB) leave.
//
// How layers are kept apart. Each block has a barrier for the layers with even numbers and one for the others. A phase
// ends when every block of the cluster has arrived, and when all bytes of the layer's results are there, which are
// counted as they arrive (st.async): data and signal travel together, in one way. A block arrives everywhere when it
// has read the layer's input, before it sends results. It waits for the others' not before it needs them, in receive():
// between the two it does what does not depend on them, as to work out what it has to do in the layers to come and to
// load their bias.
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
// on 8 blocks are 2 groups x 16 k-steps, 4 mma for each of 8 warps, none of which waits for another; then partial sums
// and results to peers. Bound by latencies; the bandwidth of shared memory (16 KB per layer) and of the exchange (a few
// KB) is not used up.

#pragma once

#include "cluster_norm.cuh"
#include "step.cuh"

namespace zprl {
namespace cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

template <typename Unit>
class ClusterEngine : public OfCluster {
 public:
    static constexpr int kRows = kClusterRows;

    ZPRL_DEVICE ClusterEngine(const KernelArguments& arguments, int size, int64_t first_row)
        : p_(arguments.policy),
          m_(arguments.memory),
          blob_(arguments.call.blob),
          shared_(device::shared_memory()),
          barriers_(reinterpret_cast<uint64_t*>(shared_ + arguments.memory.barrier)),
          size_(size),
          size_log2_(log2_of(size)),
          rank_(device::cluster_rank()),
          rows_(live_rows(arguments.call, first_row, arguments.memory.rows)),
          senders_log2_(rows_ == 1   ? 3
                        : rows_ == 2 ? 2
                        : rows_ == 4 ? 1
                                     : 0),
          input_bytes_(share_bytes(p_.input)),
          block_layer_bytes_(share_bytes(p_.first_block_layer)),
          cursor_(arguments.policy, arguments.call.operation) {
        if (device::thread_index() == 0) {
            for (uint32_t i = 0; i < 2; ++i) device::init_arrivals(exchanged(i), size_);
            if (arguments.call.operation != Operation::kEncode) request_resident();
        }
        next_ = next_work();
        prefetch(next_);
        go_on();
        device::sync_cluster();  // nobody sends to a block that has not begun, or to a barrier that is not set up
    }

    template <typename T>
    ZPRL_DEVICE void put(void* at, T value) const {
        meet();
        if (senders_log2_ == 0 && size_ >= kSentAtOnce) {
            ZPRL_NO_UNROLL
            for (int first = 0; first < size_; first += kSentAtOnce) {
                ZPRL_UNROLL
                for (int i = 0; i < kSentAtOnce; ++i) send(at, first + i, value);
            }
        } else {
            ZPRL_NO_UNROLL
            for (int i = device::thread_index() & ((1 << senders_log2_) - 1); i < size_; i += 1 << senders_log2_) {
                send(at, i, value);
            }
        }
    }
    // The threads that finish the same pair have read all that it is made from, before one of them writes there.
    ZPRL_DEVICE void meet() const {
        if (senders_log2_ > 0) device::sync_warp();
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
    // What the last layer put is there.
    ZPRL_DEVICE void receive() {
        if (!expects_) return;
        expects_ = false;
        wait();
    }
    ZPRL_DEVICE void layer_norm(const NormOperands<typename Unit::Kept>& operands) {
        modulated_layer_norm_of_cluster<Unit>(operands, rows_, [this] { receive(); });
    }

    // A block must not end while others may send to it.
    ZPRL_DEVICE void close() const { device::sync_cluster(); }

    // The next layer, which the engine knows: results are there after the next receive(), with which linear(),
    // layer_norm() and exchange() begin.
    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer&, const char* input, const Epilogue& epilogue) {
        float* const partial = reinterpret_cast<float*>(shared_ + m_.partial);
        const int thread = device::thread_index(), lane = thread % 32;
        bool is_last = false;
        ZPRL_NO_UNROLL
        while (!is_last) {
            const Work work = work_;
            is_last = work.is_last;
            // Sums of this thread: pairs of outputs of row thread % 8; or, where 1, 2 or 4 rows leave whole warps of
            // threads together, the same pairs as the threads beside it, with which it shares the peers to send them
            // to. What the epilogue needs is loaded before the products, so that nobody waits for it after them.
            const int row = thread % kRows >> senders_log2_;
            const auto column_of = [&](int i) {
                return work.first_group * kGroupOutputs + 2 * ((thread + i * kThreads) / kRows);
            };
            const auto has_pair = [&](int i) {
                return row < rows_ && thread + i * kThreads < work.groups * (kGroupOutputs / 2 * kRows);
            };
            Float2 time[kPairs] = {};
            if (epilogue.time != nullptr) {
                ZPRL_UNROLL
                for (int i = 0; i < kPairs; ++i) {
                    if (has_pair(i)) time[i] = load_pair(epilogue.time + column_of(i));
                }
            }
            receive();

            if (work.group < work.groups) {
                float sums[kChains][4] = {};
                if (work.is_resident) {
                    const char* weights = shared_ + work.weights;
                    ZPRL_UNROLL_BY(2)
                    for (int slab = work.begin; slab < work.end; ++slab, weights += work.stride) {
                        multiply<LayerUnit>(sums, weights, input + slab * (kRows * kSlabBytes));
                    }
                } else {
                    multiply_streamed<LayerUnit>(sums, work, input);
                }
                // [part of the inputs][group][output][row]
                float* const to = partial + (work.part * work.groups + work.group) * (kGroupOutputs * kRows) +
                                  lane / 4 * kRows + lane % 4 * 2;
                *reinterpret_cast<Float2*>(to) = {sum_of_chains(sums, 0), sum_of_chains(sums, 1)};
                *reinterpret_cast<Float2*>(to + 8 * kRows) = {sum_of_chains(sums, 2), sum_of_chains(sums, 3)};
            }
            prefetch(next_);
            // Without sums, too: all threads must have seen the exchange before, or a phase could pass them by.
            device::sync_block();
            Float2 sums[kPairs];
            ZPRL_UNROLL
            for (int i = 0; i < kPairs; ++i) {
                sums[i] = bias_[i];
                if (!has_pair(i)) continue;
                const float* const from = partial + 2 * ((thread + i * kThreads) / kRows) * kRows + row;
                add_parts(&sums[i], from, work.groups * (kGroupOutputs * kRows), work.parts);
            }
            if (is_last) arrive(epilogue.pair_bytes * (work.outputs / 2) * rows_);
            epilogue.choose([&](auto kind) {
                ZPRL_UNROLL
                for (int i = 0; i < kPairs; ++i) {
                    if (!has_pair(i)) continue;
                    epilogue.finish(kind, epilogue.place(row, column_of(i)), 0, sums[i].x, sums[i].y, time[i]);
                }
            });
            go_on();
            if (!is_last) device::sync_block();
        }
        expects_ = true;
    }

 private:
    static_assert(kClusterRows == 8, "the rows are the 8 columns of mma.sync");

    // Of a thread, in the sums of all warps.
    static constexpr int kPairs = kWarps * kGroupOutputs / 2 * kClusterRows / kThreads;
    // The four k-steps of a slab: sums of their own, since an mma.sync waits 33 cycles for the one that it adds to.
    static constexpr int kChains = 4;
    static constexpr int kNotResident = -1;
    static constexpr int kSentAtOnce = 8, kAddedAtOnce = 4;

    // This block's groups of a layer's outputs.
    struct Share {
        int first, groups;
    };
    // The most that a block has of them. Sizes are powers of two: a division would take as long as the products.
    ZPRL_DEVICE int most_groups(const DeviceLayer& layer) const {
        return (padded_width(layer.out) / kGroupOutputs + size_ - 1) >> size_log2_;
    }
    ZPRL_DEVICE Share share_of(const DeviceLayer& layer) const {
        const int most = most_groups(layer), first = rank_ * most;
        const int left = padded_width(layer.out) / kGroupOutputs - first;
        return {first, left < 0 ? 0 : left < most ? left : most};
    }

    // What this block, and this warp in it, have to do in a layer, or in a part of it: up to kWarps groups of outputs.
    struct Work {
        int outputs;              // of the whole layer, padded
        int first_group, groups;  // of this block
        uint32_t bias;            // [bytes] of the layer, from the blob's start
        bool is_resident;
        bool is_last;  // part of the layer
        // Of this warp: one of the groups, or none, and of the inputs one of so many parts, slabs [begin, end). Weights
        // of the first one, from the start of shared memory or of the blob, and from one to the next [bytes].
        int group, part, parts, begin, end;
        uint32_t weights, stride;
    };
    // What comes next; the cursor goes on. Nothing in it depends on what other blocks send.
    ZPRL_DEVICE Work next_work() {
        static_assert(kWarps == 8, "the cases below");
        if (cursor_.done()) return {};
        const DeviceLayer layer = cursor_.layer();
        const Share share = share_of(layer);
        const int resident = place_of_resident(cursor_.field_index());
        Work work{};
        work.outputs = padded_width(layer.out);
        work.first_group = share.first + next_group_;
        work.groups = share.groups - next_group_ < kWarps ? share.groups - next_group_ : kWarps;
        work.bias = layer.bias;
        work.is_resident = resident != kNotResident;
        work.is_last = next_group_ + kWarps >= most_groups(layer);

        const int slabs = slabs_of(layer.in, cursor_.runs_once() ? Fp32Unit::kElementBytes : Unit::kElementBytes);
        const int parts_log2 = work.groups > 4 ? 0 : work.groups > 2 ? 1 : work.groups > 1 ? 2 : 3;
        const int warp = device::thread_index() / 32;
        work.parts = 1 << parts_log2;
        work.group = warp >> parts_log2;
        work.part = warp & (work.parts - 1);
        work.begin = (slabs * work.part) >> parts_log2;
        work.end = (slabs * (work.part + 1)) >> parts_log2;
        work.stride = work.is_resident ? share.groups * kGroupBytes : work.outputs * kSlabBytes;
        work.weights =
            (work.is_resident ? resident + next_group_ * kGroupBytes : layer.weight + work.first_group * kGroupBytes) +
            work.group * kGroupBytes + work.begin * work.stride;
        next_group_ = work.is_last ? 0 : next_group_ + kWarps;
        if (work.is_last) cursor_.advance();
        return work;
    }
    ZPRL_DEVICE void go_on() {
        work_ = next_;
        load_bias();
        if (work_.is_resident) wait_for_resident();
        next_ = next_work();
    }
    // Of the outputs which this thread adds up.
    ZPRL_DEVICE void load_bias() {
        const int first = device::thread_index() / kRows;
        const float* const bias =
            reinterpret_cast<const float*>(blob_ + work_.bias) + work_.first_group * kGroupOutputs;
        ZPRL_UNROLL
        for (int i = 0; i < kPairs; ++i) {
            const int pair = first + i * (kThreads / kRows);
            bias_[i] = {0.0f, 0.0f};
            if (pair < work_.groups * (kGroupOutputs / 2)) bias_[i] = load_pair(bias + 2 * pair);
        }
    }

    ZPRL_DEVICE uint64_t* resident_full() const { return barriers_; }
    ZPRL_DEVICE uint64_t* exchanged(uint32_t number) const { return barriers_ + 1 + number % 2; }

    // This block, whose threads have met, has read what it needs; it expects this many bytes. The last warp says so:
    // the first ones have results to send.
    ZPRL_DEVICE void arrive(int bytes) const {
        const int rank = device::thread_index() - (kThreads - 32);
        if (rank < 0 || rank >= size_) return;
        if (rank == rank_) {
            device::expect_tx(exchanged(number_), bytes);
        } else {
            device::arrive_at_peer<Scope::kCluster>(exchanged(number_), rank);
        }
    }
    ZPRL_DEVICE void wait() {
        device::wait_for_phase<Scope::kCluster>(exchanged(number_), number_ / 2 % 2);
        device::sync_warp();  // matrix instructions follow, which want the warp together
        ++number_;
    }
    ZPRL_DEVICE void wait_for_resident() {
        if (has_resident_) return;
        device::wait_for_phase<Scope::kCta>(resident_full(), 0);
        device::sync_warp();
        has_resident_ = true;
    }

    // Adds the products of a slab: weights [16 outputs][128 bytes] times rows.
    template <typename LayerUnit>
    ZPRL_DEVICE static void multiply(float (&sums)[kChains][4], const char* weights, const char* rows) {
        const int lane = device::thread_index() % 32;
        uint32_t of_weights[kChains][4], of_rows[2][4];  // two k-steps of rows at once
        ZPRL_UNROLL
        for (int half = 0; half < 2; ++half) {
            device::load_matrices(of_rows[half], piece_of(rows, lane % 8, 4 * half + lane / 8));
        }
        ZPRL_UNROLL
        for (int step = 0; step < kChains; ++step) {
            device::load_matrices(of_weights[step], piece_of(weights, lane % 16, 2 * step + lane / 16));
        }
        ZPRL_UNROLL
        for (int step = 0; step < kChains; ++step) {
            const uint32_t* const b = of_rows[step / 2] + step % 2 * 2;
            LayerUnit::Instruction::multiply(sums[step], of_weights[step], b[0], b[1]);
        }
    }
    ZPRL_DEVICE static float sum_of_chains(const float (&sums)[kChains][4], int i) {
        return (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
    }

    // Adds partial sums, `stride` numbers apart, of a pair of outputs; of four, all at once.
    ZPRL_DEVICE static void add_parts(Float2* sum, const float* from, int stride, int parts) {
        if (parts >= kAddedAtOnce) {
            ZPRL_NO_UNROLL
            for (; parts > 0; parts -= kAddedAtOnce, from += kAddedAtOnce * stride) {
                float x[kAddedAtOnce], y[kAddedAtOnce];
                ZPRL_UNROLL
                for (int i = 0; i < kAddedAtOnce; ++i) {
                    x[i] = from[i * stride];
                    y[i] = from[i * stride + kRows];
                }
                sum->x += (x[0] + x[1]) + (x[2] + x[3]);
                sum->y += (y[0] + y[1]) + (y[2] + y[3]);
            }
        } else {
            ZPRL_NO_UNROLL
            for (; parts > 0; --parts, from += stride) {
                sum->x += from[0];
                sum->y += from[kRows];
            }
        }
    }

    // The i-th of the peers. Each block begins with another one, or all would send to the same at once.
    template <typename T>
    ZPRL_DEVICE void send(void* at, int i, T value) const {
        device::store_async(at, i ^ rank_, value, exchanged(number_));
    }

    // Request a slab of a layer whose weights are streamed, in a group of copies of its own; an empty one past the end.
    ZPRL_DEVICE void request(const Work& work, int slab) const {
        if (slab < work.end) {
            const int lane = device::thread_index() % 32;
            const char* const from = blob_ + (work.weights + static_cast<uint32_t>(slab - work.begin) * work.stride);
            char* const to = stage_of(work, slab);
            ZPRL_UNROLL
            for (int i = 0; i < kGroupBytes / (32 * kPieceBytes); ++i) {
                const int at = (i * 32 + lane) * kPieceBytes;
                device::copy_async(to + at, from + at);
            }
        }
        device::commit_copies();
    }
    ZPRL_DEVICE char* stage_of(const Work& work, int slab) const {
        const int warp = device::thread_index() / 32, stage = (slab - work.begin) % kGroupStages;
        return shared_ + m_.streamed_weights + (warp * kGroupStages + stage) * kGroupBytes;
    }

    // Request the first slabs, if this warp streams any: all stages but one.
    ZPRL_DEVICE void prefetch(const Work& work) const {
        if (work.is_resident || work.group >= work.groups) return;
        device::sync_warp();  // nobody reads what the stages held
        for (int i = 0; i + 1 < kGroupStages; ++i) request(work, work.begin + i);
    }

    // After its prefetch().
    template <typename LayerUnit>
    ZPRL_DEVICE void multiply_streamed(float (&sums)[kChains][4], const Work& work, const char* input) const {
        for (int slab = work.begin; slab < work.end; ++slab) {
            device::wait_for_copies<kGroupStages - 2>();
            device::sync_warp();
            request(work, slab + kGroupStages - 1);
            multiply<LayerUnit>(sums, stage_of(work, slab), input + slab * (kRows * kSlabBytes));
        }
        device::wait_for_copies<0>();
    }

    // This block's share of a layer of the velocity field: its slabs, of `mine` groups each, one after the other.
    ZPRL_DEVICE int share_bytes(const DeviceLayer& layer) const {
        return slabs_of(layer.in, Unit::kElementBytes) * most_groups(layer) * kGroupBytes;
    }

    // Where a layer of the velocity field is resident, if it is one.
    ZPRL_DEVICE int place_of_resident(int field_index) const {
        if (field_index < 0 || field_index >= m_.resident) return kNotResident;
        const int start = m_.resident_weights;
        if (field_index == 0) return start;
        return start + input_bytes_ + (field_index - 1) * block_layer_bytes_;
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
                char* to = shared_ + place_of_resident(i);
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
    uint64_t* const barriers_;
    const int size_, size_log2_, rank_;
    const int rows_;                             // live ones
    const int senders_log2_;                     // threads that finish the same pair: see linear()
    const int input_bytes_, block_layer_bytes_;  // of this block's share of them
    LayerCursor cursor_;                         // past `next_`
    int next_group_ = 0;                         // of the layer at the cursor
    Work work_, next_;                           // of the next linear(), and what follows it
    Float2 bias_[kPairs];                        // of the next linear()
    uint32_t number_ = 0;                        // of the exchange
    bool expects_ = false;                       // results of it
    bool has_resident_ = false;
};

template <typename Unit>
ZPRL_DEVICE void run_cluster(const KernelArguments& arguments, int cluster_size) {
    const int64_t first_row = (device::block_index() >> log2_of(cluster_size)) * arguments.memory.rows;
    ClusterEngine<Unit> engine(arguments, cluster_size, first_row);
    Step<Unit, ClusterEngine<Unit>, PlacedAs<Placement::kShared>> step(arguments, engine, first_row, nullptr);
    step.run();
    engine.close();
}

#endif

}  // namespace cuda
}  // namespace zprl
