// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "cost_model.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "memory.h"

namespace zprl {
namespace cuda {
namespace {

// Of one multiprocessor and cycle, unless it says otherwise. [V] the vendor states it; [M] others have measured it on
// an H100 or H200 (Luo et al., arXiv 2402.13499 and 2501.12084, if not named); [H] measured with these kernels on an
// H200; [E] our estimate.
constexpr double kCyclesPerMicrosecond = 1980.0;  // [V] H200's boost clock; under load it is lower
constexpr double kLaunch = 4.0;                   // [E] launch and drain [us]
// Multiply-adds of bf16; tf32 has half of them.
constexpr double kDenseMacs = 1024.0;        // [V] compute capability 8.0
constexpr double kDenseMacsHopper = 2048.0;  // [V] 9.0 and newer
constexpr double kWgmmaShare = 0.738;        // [M] torch's matrix product on an H200: 790 Tflop/s at our clock
constexpr double kMmaShare = 0.629;          // [M] mma.sync on an H100
constexpr double kSplitProducts = 3.0;       // of tf32, for one of float32: see unit.cuh
// Bytes.
constexpr double kLevel2Bytes = 64.0;         // [V] to one multiprocessor
constexpr double kLevel2BytesOfAll = 2778.0;  // [M] to 132 of them: 5.5 TB/s (Chips and Cheese, H100)
constexpr double kSharedBytes = 128.0;        // [V]
constexpr double kPeerBytes = 10.1;           // [M] into one block of a cluster of 4: 2.65 TB/s of a whole H100
// Cycles.
constexpr double kSharedLatency = 29.0, kPeerLatency = 180.0, kLevel2Latency = 263.0;  // [M]
constexpr double kMmaLatency = 33.0;  // [M] mma.sync m16n8k16, one after the other
// Two halves of a slab: operands, then two products that wait for each other.
constexpr double kSlabChain = 2.0 * (kSharedLatency + 2.0 * kMmaLatency);
constexpr double kHandOver = 60.0;  // [E] of a slab of the ring
constexpr double kArrival = 10.0;   // [E] of one block of a cluster at the barrier of another
constexpr double kBarrier = 30.0;   // [E] of a block
constexpr double kLayer = 600.0;    // [E] of a tile: barriers, bias, the first slab and the last products
// Instructions of a warp.
constexpr double kIssued = 4.0;             // [V]
constexpr double kPairInstructions = 23.0;  // [V] finishing: SiLU's in float32, fewer for the others
constexpr double kPutInstructions = 3.0;    // [E] address and store of a pair that is finished already
// A cluster's layer, in instructions of a warp on the way from one exchange to the next, read in sm_90a's code. Such a
// warp has a scheduler to itself or shares it with one other: kAlone cycles each.
constexpr double kAlone = 8.8;        // [H] with waits for the pipeline, for instructions and at branches
constexpr double kIndependent = 2.0;  // [E] of those that do not wait for each other
constexpr double kToOperands = 47.0;  // [V] from the exchange's end; after a layer norm:
constexpr double kToOperandsNormed = 70.0;
constexpr double kToPartial = 37.0, kToSums = 30.0,
                 kToSend = 60.0;  // [V] of the products, of a round's sums, of a pair
constexpr double kPeer = 6.0;     // [E] cycles: four instructions for each peer that a thread sends to
// Its layer norm: on the way; of a piece of 64 columns that a warp writes beyond the first one; beyond four pieces; and
// what is left of the reciprocal root.
constexpr double kClusterNorm = 82.0, kPiece = 11.0, kMorePieces = 40.0;  // [V] instructions
constexpr double kRoot = 40.0, kAdd = 4.0;                                // [E] cycles
// Four products that do not wait for each other. Of float32, operands are split before, and each is three products
// that wait for each other.
constexpr double kClusterSlab = kSharedLatency + kMmaLatency + 8.0;
constexpr double kClusterSplit = 72.0;  // [V] instructions: three for each of 24 numbers
constexpr double kClusterSplitSlab = kSharedLatency + kClusterSplit * kIndependent + 3.0 * kMmaLatency + 8.0;
constexpr double kRequest = 300.0;  // [H] of a slab that is streamed, and for the one that takes its place

// Layer norm of a row by a warp: two sums by five shuffles each, and three passes over the row.
constexpr double kShuffle = 25.0;                     // [M]
constexpr double kNorm = 600.0, kNormOfNumber = 2.4;  // [E]
constexpr double kNormInstructions = 41.0;            // [E] for 64 numbers of a row
// float32: each half of a slab loads and splits operands, then come three products that wait for each other, of its two
// k-steps at once.
constexpr double kSplit = 20.0;  // [E]
constexpr double kSplitSlabChain = 2.0 * (kSharedLatency + kSplit + 3.0 * kMmaLatency);

// What tiles take of the sum of their parts, and of the level-2 cache's time, which is not all hidden behind them. [H]
// least squares over 190 plans of two policies in bf16, from 64 to 8192 rows: 13 %, 14 % and 21 % off.
struct Shares {
    double work, level2;
};
constexpr Shares kOfNarrow = {1.59, 0.37}, kOfTile = {2.17, 0.17}, kOfWgmma = {1.95, 0.78};

int element_bytes(const DevicePolicy& p) { return p.precision == Precision::kBfloat16 ? 2 : 4; }

double tf32_macs(const DeviceProperties& device) { return (device.major >= 9 ? kDenseMacsHopper : kDenseMacs) / 2.0; }

double dense_macs(const DevicePolicy& p, const DeviceProperties& device) {
    return tf32_macs(device) * (p.precision == Precision::kBfloat16 ? 2.0
                                : p.precision == Precision::kTf32   ? 1.0
                                                                    : 1.0 / kSplitProducts);
}

// float32 of a tile, by the matrix unit's rate or by the instructions around it: for each k-step of 8, a warp splits
// the numbers of its fragments, four of a thread for 16 rows and two for 8 columns, by three instructions, and adds the
// sums of each pair of tiles by four, beside three products.
double split_macs(const Plan& plan, const DeviceProperties& device) {
    const bool narrow = plan.tile_rows == kNarrowRows;  // the weights are the rows, of one tile
    const double rows = narrow ? 1.0 : plan.tile_rows / 16.0, columns = narrow ? 1.0 : plan.tile_outputs / 8.0 / kWarps;
    const double instructions = 3.0 * (4.0 * rows + 2.0 * columns) + 7.0 * rows * columns;
    return std::min(tf32_macs(device) * kMmaShare / kSplitProducts,
                    16.0 * 8.0 * 8.0 * rows * columns / instructions * kIssued);
}

// A layer as the kernels see it: with padding, and how often it runs.
struct Layer {
    double in, out, times;
    int element;
    bool once;       // float32, before the velocity field
    bool normed;     // a layer norm precedes it
    double results;  // bytes of an output that go to other blocks of a cluster
    double weights() const { return in * out * element; }
    double slabs() const { return in * element / kSlabBytes; }
};

template <typename Function>
void for_each_layer(const DevicePolicy& p, const Function& function) {
    const auto make = [](const DeviceLayer& layer, double times, int element, bool once, bool normed, double results) {
        const double in = static_cast<double>(slabs_of(layer.in, element)) * kSlabBytes / element;
        return Layer{in, static_cast<double>(padded_width(layer.out)), times, element, once, normed, results};
    };
    const int element = element_bytes(p), once = p.num_embedding + p.num_encoder + p.num_actor + p.num_decoder;
    for (int i = 0; i < once; ++i) function(i, make(p.once[i], 1.0, 4, true, false, 4.0));
    function(-1, make(p.modulation, 1.0, element, false, false, element));
    const double evaluations = static_cast<double>(p.num_steps) * p.solver.stages;
    for (int i = 0; i < field_layers(p); ++i) {
        const bool first = i == 0, last = i + 1 == field_layers(p), block_in = i % 2 == 1 && !last;
        const DeviceLayer& layer = first ? p.input : last ? p.output : p.first_block_layer;
        function(i, make(layer, evaluations, element, false, i % 2 == 1, block_in || last ? element : 4.0));
    }
}

// Bytes that a row reads from and writes to the workspace.
double workspace_traffic(const DevicePolicy& p, const Plan& plan) {
    const double evaluations = static_cast<double>(p.num_steps) * p.solver.stages, blocks = p.num_blocks;
    const double hidden = padded_width(p.hidden_dim), chunk = padded_width(p.chunk_dim());
    double bytes = 0.0;
    if (plan.placement != Placement::kShared) {  // bias, and for each block shift, scale and gate; and the final norm
        bytes += (4.0 + evaluations * (3.0 * blocks + 3.0)) * hidden * element_bytes(p);
    }
    // The stream: written by the input, read by every norm, read and written by every block.
    if (stream_in_workspace(plan.placement)) bytes += evaluations * (3.0 * blocks + 2.0) * hidden * 4.0;
    if (state_in_workspace(plan.placement)) bytes += evaluations * 2.0 * chunk * 4.0;
    if (once_in_workspace(plan.placement)) {
        for_each_layer(p, [&](int, const Layer& layer) {
            if (layer.once) bytes += 2.0 * layer.out * 4.0;
        });
    }
    return bytes;
}

// What the blocks of a wave share the level-2 cache for: bytes per cycle of one of them.
double level2_rate(const Plan& plan, const DeviceProperties& device, int64_t at_once) {
    const double readers = static_cast<double>(std::min(plan.blocks, at_once * plan.cluster_size));
    return std::min(kLevel2Bytes, kLevel2BytesOfAll * device.multiprocessors / 132.0 / readers);
}

// Layer norms of a warp's rows, up to four of them at once: as long as one takes, with its waits for what is not in
// shared memory, or as all warps need to issue their instructions.
double norm_cycles(const DevicePolicy& p, Placement placement, double rows) {
    const double waits =
        (modulation_in_workspace(placement) ? 1.0 : 0.0) + (stream_in_workspace(placement) ? 1.0 : 0.0);
    const double hidden = padded_width(p.hidden_dim), at_once = std::min(4.0, rows);
    const double latency = kNorm + kNormOfNumber * hidden + waits * kLevel2Latency;
    const double issue = at_once * kWarps * kNormInstructions * hidden / 64.0 / kIssued;
    return rows / at_once * std::max(latency, issue);
}

// Cycles of a wave; floors with them.
Cost tile_cycles(const DevicePolicy& p, const Plan& plan, const DeviceProperties& device, int64_t at_once) {
    const double rows = plan.tile_rows;
    const bool wgmma = plan.kernel == Kernel::kWgmmaTile;
    const double split = split_macs(plan, device);
    const double macs =
        p.precision == Precision::kFloat32 ? split : dense_macs(p, device) * (wgmma ? kWgmmaShare : kMmaShare);
    double weight_bytes = 0.0;
    Cost c{};
    for_each_layer(p, [&](int, const Layer& layer) {
        // Each warp reads its weights once and all rows, for every pass over outputs; with wgmma, a warpgroup, in
        // turns. A narrow tile's weights are the 16-row operand, of the same size.
        const double passes = std::max(1.0, layer.out / plan.tile_outputs),
                     readers = wgmma && !layer.once ? 1.0 : kWarps;
        const double read = (layer.out + passes * readers * rows) * layer.in * layer.element / kSharedBytes;
        const bool on_wgmma = wgmma && !layer.once, float32 = layer.once || p.precision == Precision::kFloat32;
        const double unit = rows * layer.in * layer.out / (layer.once ? split : macs);
        // Every slab waits for the ring, and its products with mma.sync for those of the slab before.
        const double chain =
            on_wgmma ? 0.0 : passes * layer.slabs() * ((float32 ? kSplitSlabChain : kSlabChain) + kHandOver);
        const double products = std::max({unit, read, chain});
        (layer.once ? c.once : c.products) += layer.times * products;
        // On wgmma a warpgroup finishes its outputs beside the other one's products: but for the last turn of all, and
        // for what takes longer than they do.
        const double finishing = rows * layer.out / 2.0 / 32.0 * kPairInstructions / kIssued;
        const double turns = std::ceil(passes);
        c.finishing += layer.times * (on_wgmma && turns > 1.0
                                          ? std::max(finishing / turns, (finishing - products) / 2.0 + products / turns)
                                          : finishing);
        if (one_operand(plan.placement) && layer.normed) {  // its results wait for all products, and are put then
            c.finishing += layer.times * (rows * layer.out / 2.0 / 32.0 * kPutInstructions / kIssued + kBarrier);
        }
        if (layer.normed) c.norms += layer.times * norm_cycles(p, plan.placement, rows / kWarps);
        c.latency += layer.times * kLayer;
        weight_bytes += layer.times * layer.weights();
        c.shared_floor += layer.times * read;
        c.chain_floor += layer.times * (2.0 * kBarrier + 2.0 * kSharedLatency + 4.0 * kMmaLatency);
    });
    const double rate = level2_rate(plan, device, at_once);
    // A block of a cluster takes in all weights, of which the cache gives it its part and its peers the others.
    const double own = workspace_traffic(p, plan) * rows;
    c.level2 = std::max((weight_bytes + own) / kLevel2Bytes, (weight_bytes / plan.cluster_size + own) / rate);
    c.level2_floor = c.level2;
    const Shares shares = wgmma ? kOfWgmma : plan.tile_rows == kNarrowRows ? kOfNarrow : kOfTile;
    for (double* part : {&c.products, &c.once, &c.finishing, &c.norms, &c.latency}) *part *= shares.work;
    c.level2 *= shares.level2;
    c.total = c.products + c.once + c.finishing + c.norms + c.latency + c.level2;
    return c;
}

// A layer norm of a cluster's rows, with the barrier after it.
double cluster_norm_cycles(const DevicePolicy& p, double rows) {
    const double pieces = padded_width(p.hidden_dim) / 64.0;
    const double warps = rows > 4.0 ? 1.0 : rows > 2.0 ? 2.0 : rows > 1.0 ? 4.0 : 8.0;  // of a row
    double instructions = kClusterNorm + (std::max(1.0, pieces / warps) - 1.0) * kPiece;
    if (pieces > 4.0) instructions += kMorePieces;
    // Pieces past the eighth are read again for each pass.
    const double again = std::max(0.0, pieces - 8.0) * 2.0 * (kSharedLatency + kPiece * kAlone);
    // Mean and variance on one way through the warp, of which each of five steps adds, squares and adds; or one after
    // the other where lanes have not as many numbers, or more than are held.
    const bool merged = p.hidden_dim % 64 == 0 && pieces <= 8.0;
    const double sums = merged ? 5.0 * (kShuffle + 4.0 * kAdd) : 10.0 * (kShuffle + kAdd);
    return instructions * kAlone + kSharedLatency + sums + kRoot + again + kBarrier;
}

Cost cluster_cycles(const DevicePolicy& p, const Plan& plan, int64_t rows, const DeviceProperties& device,
                    int64_t at_once) {
    // Rows that are sent, and the threads that share the peers of a pair.
    const double live = static_cast<double>(std::min<int64_t>(rows, plan.tile_rows));
    const double senders = live == 1.0 ? 8.0 : live == 2.0 ? 4.0 : live == 4.0 ? 2.0 : 1.0;
    const double sends = std::max(1.0, plan.cluster_size / senders);
    const double rate = level2_rate(plan, device, at_once);
    const double slab_arrival = kWarps * kGroupBytes / rate;  // of each warp's slab, when all ask for one
    double level2_bytes = 0.0;
    Cost c{};
    for_each_layer(p, [&](int index, const Layer& layer) {
        const bool resident = !layer.once && index >= 0 && index < plan.resident;
        const int groups = groups_per_block(static_cast<int>(layer.out), plan.cluster_size);
        const bool float32 = layer.once || p.precision == Precision::kFloat32;
        double products = 0.0, all_slabs = 0.0, finishing = 0.0, latency = 0.0;
        for (int base = 0; base < groups; base += kWarps) {
            const int now = std::min(groups - base, kWarps);
            const int parts = now > 4 ? 1 : now > 2 ? 2 : now > 1 ? 4 : 8;
            const double slabs = (static_cast<int>(layer.slabs()) + parts - 1) / parts;
            products += slabs * ((float32 ? kClusterSplitSlab : kClusterSlab) + (resident ? 0.0 : kRequest));
            all_slabs += slabs;
            // A thread has two pairs where more than four groups have a row each.
            finishing += (now > 4 ? 2.0 : 1.0) * (kToSend * kAlone + sends * kPeer);
            latency += ((layer.normed ? kToOperandsNormed : kToOperands) + kToPartial + kToSums) * kAlone + kBarrier +
                       std::max(1.0, parts / 4.0) * kSharedLatency;
        }
        // Arrivals are on their way while results are finished.
        const double arriving = live * layer.out * layer.results / kPeerBytes;
        latency +=
            std::max(0.0, plan.cluster_size * kArrival - finishing) + kPeerLatency + 2.0 * kSharedLatency + arriving;
        const double norm = layer.normed ? cluster_norm_cycles(p, live) : 0.0;
        // Of streamed weights, all stages but one are on their way while the layer before is finished.
        const double ahead = kGroupStages - 1.0;
        if (!resident) {
            products = std::max({products, kLevel2Latency + all_slabs * slab_arrival - (finishing + latency + norm),
                                 (all_slabs - ahead) * slab_arrival});
        }
        (layer.once ? c.once : c.products) += layer.times * products;
        c.finishing += layer.times * finishing;
        c.latency += layer.times * latency;
        c.norms += layer.times * norm;
        const double own = layer.weights() / plan.cluster_size;
        level2_bytes += (resident ? 1.0 : layer.times) * own;
        c.shared_floor += layer.times * (own + groups * kClusterRows * layer.in * layer.element) / kSharedBytes;
        c.chain_floor += layer.times * (kPeerLatency + 2.0 * kSharedLatency + kMmaLatency);
        if (layer.normed) c.chain_floor += layer.times * (5.0 * kShuffle + 2.0 * kSharedLatency);
    });
    c.level2_floor = c.level2 = level2_bytes / rate;
    c.total = std::max(c.products + c.once + c.finishing + c.norms + c.latency, c.level2);
    return c;
}

}  // namespace

double Cost::floor() const { return std::max({tensor_floor, level2_floor, shared_floor, chain_floor}); }

const char* Cost::bound() const {
    constexpr const char* kNames[] = {"products", "layers that run once", "finishing", "layer norms",
                                      "latency",  "level-2 cache"};
    const std::array<double, 6> parts = {products, once, finishing, norms, latency, level2};
    // The cache's time passes beside that of all others together.
    const double others = products + once + finishing + norms + latency;
    if (level2 >= others) return kNames[5];
    return kNames[std::max_element(parts.begin(), parts.begin() + 5) - parts.begin()];
}

Cost cost_of(const DevicePolicy& p, const Plan& plan, int64_t rows, const DeviceProperties& device, int64_t at_once) {
    Cost c = plan.kernel == Kernel::kCluster ? cluster_cycles(p, plan, rows, device, at_once)
                                             : tile_cycles(p, plan, device, at_once);
    const int64_t clusters = plan.blocks / plan.cluster_size;
    c.waves = std::max<int64_t>(1, (clusters + at_once - 1) / at_once);
    double field = 0.0;
    for_each_layer(p, [&](int, const Layer& layer) {
        if (!layer.once) field += layer.times * layer.in * layer.out;
    });
    c.tensor_floor = field * static_cast<double>(rows) / device.multiprocessors / (dense_macs(p, device) * kWgmmaShare);
    const double waves = static_cast<double>(c.waves);
    for (double* floor : {&c.level2_floor, &c.shared_floor, &c.chain_floor}) *floor *= waves;
    for (double* time : {&c.tensor_floor, &c.level2_floor, &c.shared_floor, &c.chain_floor, &c.products, &c.once,
                         &c.finishing, &c.norms, &c.latency, &c.level2, &c.total}) {
        *time /= kCyclesPerMicrosecond;
    }
    c.total = kLaunch + waves * c.total;
    return c;
}

DeviceProperties h200() { return {9, 0, 132, 232448, 16, true}; }

ActiveClusters h200_clusters() { return split_over({18, 18, 18, 18, 18, 18, 16, 8}); }

}  // namespace cuda
}  // namespace zprl
