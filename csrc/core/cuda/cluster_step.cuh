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
// between the two it loads what does not depend on them.
//
//   * Results of layer l + 1 may reach a block that still waits for some of layer l: hence two barriers. None of layer
//     l + 2 can: they follow their sender's wait for l + 1, so this block's arrival there, so its own wait for l.
//   * One copy of each buffer is enough. What layer l writes, every block has read for the last time in layer l - 1 at
//     the latest (`inner` and the once-buffers in the layer before, the stream in the layer norm before that), and its
//     arrival there precedes the sender's wait for l - 1. Step::take_latents() reads outside of a layer: an exchange
//     without bytes follows it.
//   * Partial sums are not written again before all of the block's own results have arrived at itself.
//
// What a block and each of its warps have to do in a layer is the same in all evaluations, and worked out once, at the
// start (LayerWork, WarpWork): with two warps to a scheduler, an instruction on a layer's way takes 9 cycles.
//
// Time of a layer, of which waiting for an exchange is a fifth: 16 inputs by 16 outputs per mma, so that 256 x 256
// weights on 8 blocks are 2 groups x 16 k-steps, 4 mma for each of 8 warps, none of which waits for another; then
// partial sums and results to peers. Bound by latencies; the bandwidth of shared memory (16 KB per layer) and of the
// exchange (a few KB) is not used up.

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
          next_(first_layer(arguments.policy, arguments.call.operation) * arguments.memory.once_parts) {
        const int first = device::thread_index() & ((1 << senders_log2_) - 1);
        sends_ = first < size_ ? (size_ + (1 << senders_log2_) - 1) >> senders_log2_ : 0;
        ZPRL_UNROLL
        for (int i = 0; i < kHeldPeers; ++i) {
            const int number = first + (i << senders_log2_);
            peers_[i] = peer(number < size_ ? number : 0);
        }
        if (device::thread_index() == 0) {
            for (uint32_t i = 0; i < 2; ++i) device::init_arrivals(exchanged(i), size_);
            if (arguments.call.operation != Operation::kEncode) request_resident();
        }
        list_work(arguments.call.operation);
        device::sync_block();
        copy_bias();
        prefetch(next_);
        device::sync_cluster();  // nobody sends to a block that has not begun, or to a barrier that is not set up
    }

    template <typename T>
    ZPRL_DEVICE void put(void* at, T value) const {
        meet();
        send<0, 1>(at, value);
        send<1, 2>(at, value);
        send<2, 4>(at, value);
        send<4, 8>(at, value);
        send<8, 16>(at, value);
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
        receive();
    }
    // What the last layer put is there. To be called once for each layer, but where linear() does.
    ZPRL_DEVICE void receive() {
        device::wait_for_phase<Scope::kCluster>(exchanged(number_), number_ / 2 % 2);
        device::sync_warp();  // matrix instructions follow, which want the warp together
        ++number_;
    }
    ZPRL_DEVICE void layer_norm(const NormOperands<typename Unit::Kept>& operands) {
        modulated_layer_norm_of_cluster<Unit>(operands, rows_, [this] { receive(); });
    }

    // A block must not end while others may send to it.
    ZPRL_DEVICE void close() const { device::sync_cluster(); }

    // The next layer, which the engine knows: results are there after the next receive(), with which layer_norm()
    // begins, and linear() where it receives_first().
    template <typename LayerUnit, typename Epilogue>
    ZPRL_DEVICE void linear(const DeviceLayer&, const char* input, const Epilogue& epilogue) {
        constexpr EpilogueKind kKind = Epilogue::kKind;
        constexpr bool kOfField = of_field(kKind);  // or weights are streamed, and the bias is where it was
        float* const partial = reinterpret_cast<float*>(shared_ + m_.partial);
        const int thread = device::thread_index(), lane = thread % 32;
        // Sums of this thread: pairs of outputs of row thread % 8; or, where 1, 2 or 4 rows leave whole warps of
        // threads together, the same pairs as the threads beside it, with which it shares the peers to send them to.
        const int row = thread % kRows >> senders_log2_;
        [[maybe_unused]] bool is_first = true;
        bool is_last = false;
        ZPRL_NO_UNROLL
        while (!is_last) {
            const LayerWork layer = layer_work(next_);
            const WarpWork mine = warp_work(next_);
            is_last = layer.is_last;
            const auto column_of = [&](int i) { return 2 * ((thread + i * kThreads) / kRows); };
            const bool has_pair[kPairs] = {row < rows_ && column_of(0) < layer.columns,
                                           row < rows_ && column_of(1) < layer.columns};
            // What the epilogue needs is loaded before the products, so that nobody waits for it after them.
            Float2 bias[kPairs], time[kPairs] = {};
            ZPRL_UNROLL
            for (int i = 0; i < kPairs; ++i) {
                if (!has_pair[i]) continue;
                const char* const of_layer = kOfField ? bias_at(next_) : blob_ + layer.bias;
                bias[i] = load_pair(reinterpret_cast<const float*>(of_layer) + column_of(i));
                if constexpr (takes_time(kKind)) time[i] = load_pair(epilogue.time + layer.first_column + column_of(i));
            }
            if constexpr (kKind == EpilogueKind::kInput) {
                if (layer.is_resident) wait_for_resident();
            }
            if constexpr (receives_first(kKind)) {
                if (is_first) receive();
                is_first = false;
            }

            if (mine.partial != kNoGroup) {
                float sums[kChains][4] = {};
                if (kOfField && layer.is_resident) {
                    const char *weights = shared_ + mine.weights, *rows = input + mine.input;
                    ZPRL_NO_UNROLL
                    for (int slab = 0; slab < mine.slabs; ++slab) {
                        multiply<LayerUnit>(sums, weights, rows);
                        weights += layer.stride;
                        rows += kRows * kSlabBytes;
                    }
                } else {
                    multiply_streamed<LayerUnit>(sums, mine, layer.stride, input + mine.input);
                }
                // [part of the inputs][group][output][row]
                float* const to = partial + mine.partial + lane / 4 * kRows + lane % 4 * 2;
                *reinterpret_cast<Float2*>(to) = {sum_of_chains(sums, 0), sum_of_chains(sums, 1)};
                *reinterpret_cast<Float2*>(to + 8 * kRows) = {sum_of_chains(sums, 2), sum_of_chains(sums, 3)};
            }
            // Past the last layer there is nothing to ask for.
            const bool is_end = kKind == EpilogueKind::kOutput && epilogue.pair_bytes == 0 && is_last;
            next_ = is_end ? kNoWork : layer.next;
            prefetch(next_);
            // Without sums, too: all threads must have seen the exchange before, or a phase could pass them by.
            device::sync_block();
            if (is_last) arrive(epilogue.pair_bytes * (layer.outputs / 2) * rows_);
            ZPRL_UNROLL
            for (int i = 0; i < kPairs; ++i) {
                if (!has_pair[i]) continue;
                const float* const from = partial + column_of(i) * kRows + row;
                add_parts(&bias[i], from, layer.columns * kRows, layer.parts);
                epilogue.finish(epilogue.place(row, layer.first_column + column_of(i)), 0, bias[i].x, bias[i].y,
                                time[i]);
            }
            if (!is_last) device::sync_block();
        }
    }

 private:
    static_assert(kClusterRows == 8, "the rows are the 8 columns of mma.sync");

    // Of a thread, in the sums of all warps.
    static constexpr int kPairs = kWarps * kGroupOutputs / 2 * kClusterRows / kThreads;
    // The four k-steps of a slab: sums of their own, since an mma.sync waits 33 cycles for the one that it adds to.
    static constexpr int kChains = 4;
    static constexpr int kNotResident = -1, kNotInField = -1;
    static constexpr int kAddedAtOnce = 4;
    static constexpr int kHeldPeers = 8;  // of a thread, in registers

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

    // What this block has to do in a layer, or in a part of it: up to kWarps groups of outputs.
    struct alignas(16) LayerWork {
        int outputs;                   // of the whole layer, padded
        int first_column, columns;     // of this block
        uint32_t bias, stride;         // [bytes] of its columns, from the blob's start; and from one slab to the next
        int16_t is_resident, is_last;  // is_last: part of the layer
        int parts;                     // of the inputs
        int next;                      // what follows, or kNoWork
    };
    // And each of its warps: of one of the groups, or none, a part of the inputs' slabs. Its first weights, from the
    // start of shared memory or of the blob, and its first inputs, from the operand's start [bytes]. Where its sums go
    // among the partial ones [numbers], or kNoGroup.
    struct alignas(16) WarpWork {
        uint32_t weights;
        int slabs, input, partial;
    };
    static_assert(sizeof(LayerWork) + kWarps * sizeof(WarpWork) == kWorkBytes, "the memory");
    static constexpr int kNoWork = -1, kNoGroup = -1;

    ZPRL_DEVICE char* work(int i) const { return shared_ + m_.work + i * kWorkBytes; }
    ZPRL_DEVICE LayerWork& layer_work(int i) const { return *reinterpret_cast<LayerWork*>(work(i)); }
    ZPRL_DEVICE WarpWork& warp_work(int i) const {
        return reinterpret_cast<WarpWork*>(work(i) + sizeof(LayerWork))[device::thread_index() / 32];
    }
    // Of layers of the velocity field: copies of this block's.
    ZPRL_DEVICE char* bias_at(int i) const { return shared_ + m_.bias + (i - m_.field_work()) * kBiasBytes; }

    // List the work of all layers, which is the same in all evaluations: each warp its own, the first one the block's
    // as well, and each lane some of it.
    ZPRL_DEVICE void list_work(Operation operation) const {
        const int end = m_.field_work() + field_layers(p_) * m_.field_parts;
        ZPRL_NO_UNROLL
        for (int i = device::thread_index() % 32; i < end; i += 32) {
            if (i < m_.modulation_work) {
                const int index = i / m_.once_parts, part = i % m_.once_parts;
                const bool ends = operation == Operation::kEncode && index + 1 == layers_to_moments(p_);
                list(i, p_.once[index], kNotInField, true, part,
                     ends                           ? kNoWork
                     : index + 1 == layers_once(p_) ? m_.modulation_work
                                                    : i - part + m_.once_parts);
            } else if (i < m_.field_work()) {
                list(i, p_.modulation, kNotInField, false, i - m_.modulation_work, m_.field_work());
            } else {
                const int index = (i - m_.field_work()) / m_.field_parts, part = (i - m_.field_work()) % m_.field_parts;
                const bool wraps = index + 1 == field_layers(p_);
                list(i, field_layer(p_, index), index, false, part,
                     wraps ? m_.field_work() : i - part + m_.field_parts);
            }
        }
    }
    // A part of a layer; `next_layer` is what follows its last one.
    ZPRL_DEVICE void list(int i, const DeviceLayer& layer, int field_index, bool runs_once, int part_of_layer,
                          int next_layer) const {
        static_assert(kWarps == 8, "the cases below");
        const Share share = share_of(layer);
        const int resident = place_of_resident(field_index), next_group = part_of_layer * kWarps;
        const int left = share.groups - next_group, first_group = share.first + next_group;
        const int groups = left < 0 ? 0 : left < kWarps ? left : kWarps;
        const int parts_log2 = groups > 4 ? 0 : groups > 2 ? 1 : groups > 1 ? 2 : 3, parts = 1 << parts_log2;
        const bool is_resident = resident != kNotResident, is_last = next_group + kWarps >= most_groups(layer);
        const uint32_t stride = is_resident ? share.groups * kGroupBytes : padded_width(layer.out) * kSlabBytes;
        const int warp = device::thread_index() / 32;
        if (warp == 0) {
            layer_work(i) = {padded_width(layer.out),
                             first_group * kGroupOutputs,
                             groups * kGroupOutputs,
                             layer.bias + first_group * (kGroupOutputs * static_cast<int>(sizeof(float))),
                             stride,
                             is_resident,
                             is_last,
                             parts,
                             is_last ? next_layer : i + 1};
        }
        const int slabs = slabs_of(layer.in, runs_once ? Fp32Unit::kElementBytes : Unit::kElementBytes);
        const int group = warp >> parts_log2, part = warp & (parts - 1);
        const int begin = (slabs * part) >> parts_log2, end = (slabs * (part + 1)) >> parts_log2;
        const bool has_group = group < groups;
        warp_work(i) = {(is_resident ? resident + next_group * kGroupBytes : layer.weight + first_group * kGroupBytes) +
                            group * kGroupBytes + begin * stride,
                        has_group ? end - begin : 0,  // of a narrow layer, none for some
                        begin * (kRows * kSlabBytes),
                        has_group ? (part * groups + group) * (kGroupOutputs * kRows) : kNoGroup};
    }
    ZPRL_DEVICE void copy_bias() const {
        constexpr int kColumns = kBiasBytes / static_cast<int>(sizeof(float));
        const int count = field_layers(p_) * m_.field_parts * kColumns;
        ZPRL_NO_UNROLL
        for (int i = device::thread_index(); i < count; i += kThreads) {
            const int at = m_.field_work() + i / kColumns, column = i % kColumns;
            const LayerWork& layer = layer_work(at);
            if (column >= layer.columns) continue;
            reinterpret_cast<float*>(bias_at(at))[column] = reinterpret_cast<const float*>(blob_ + layer.bias)[column];
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
        const device::OperandAddress rows_at = device::operand_address(rows);
        const device::OperandAddress weights_at = device::operand_address(weights);
        ZPRL_UNROLL
        for (int half = 0; half < 2; ++half) {
            device::load_matrices(of_rows[half], rows_at + (columns_of_lane(lane) ^ 4 * half * kPieceBytes));
        }
        ZPRL_UNROLL
        for (int step = 0; step < kChains; ++step) {
            device::load_matrices(of_weights[step], weights_at + (rows_of_lane(lane) ^ 2 * step * kPieceBytes));
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

    // To those of this thread's peers. A thread has a power of two of them, or none.
    template <int kFirst, int kEnd, typename T>
    ZPRL_DEVICE void send(void* at, T value) const {
        if (sends_ <= kFirst) return;
        ZPRL_UNROLL
        for (int i = kFirst; i < kEnd; ++i) {
            // So many only where a thread sends to all.
            device::store_async(at, i < kHeldPeers ? peers_[i] : peer(i), value, exchanged(number_));
        }
    }
    // Each block begins with another one, or all would send to the same at once.
    ZPRL_DEVICE device::Peer peer(int number) const { return device::peer(number ^ rank_); }

    // Request a slab of a layer whose weights are streamed, in a group of copies of its own; an empty one past the end.
    ZPRL_DEVICE void request(const WarpWork& work, uint32_t stride, int slab) const {
        if (slab < work.slabs) {
            const int lane = device::thread_index() % 32;
            const char* const from = blob_ + (work.weights + static_cast<uint32_t>(slab) * stride);
            char* const to = stage_of(slab);
            ZPRL_UNROLL
            for (int i = 0; i < kGroupBytes / (32 * kPieceBytes); ++i) {
                const int at = (i * 32 + lane) * kPieceBytes;
                device::copy_async(to + at, from + at);
            }
        }
        device::commit_copies();
    }
    ZPRL_DEVICE char* stage_of(int slab) const {
        const int warp = device::thread_index() / 32, stage = slab % kGroupStages;
        return shared_ + m_.streamed_weights + (warp * kGroupStages + stage) * kGroupBytes;
    }

    // Request the first slabs of what comes next, if this warp streams any: all stages but one.
    ZPRL_DEVICE void prefetch(int next) const {
        if (next == kNoWork || layer_work(next).is_resident) return;
        const WarpWork mine = warp_work(next);
        if (mine.slabs == 0) return;
        device::sync_warp();  // nobody reads what the stages held
        for (int i = 0; i + 1 < kGroupStages; ++i) request(mine, layer_work(next).stride, i);
    }

    // After its prefetch().
    template <typename LayerUnit>
    ZPRL_DEVICE void multiply_streamed(float (&sums)[kChains][4], const WarpWork& work, uint32_t stride,
                                       const char* input) const {
        for (int slab = 0; slab < work.slabs; ++slab) {
            device::wait_for_copies<kGroupStages - 2>();
            device::sync_warp();
            request(work, stride, slab + kGroupStages - 1);
            multiply<LayerUnit>(sums, stage_of(slab), input + slab * (kRows * kSlabBytes));
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
    int sends_;                                  // of this thread, for each pair
    device::Peer peers_[kHeldPeers];             // the first to which it sends them
    int next_;                                   // work: of the next linear()
    uint32_t number_ = 0;                        // of the exchange
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
