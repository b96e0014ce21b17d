// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Which kernel a batch gets, and how it is cut. The choice among tiles minimises a model of the time, in cycles of a
// multiprocessor, whose rates are those that the vendor states; no more than an order is asked of it.

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <stdexcept>

#include "memory.h"
#include "policy_step.h"

namespace zprl {
namespace cuda {
namespace {

// Alignment of everything in shared memory and workspace: a row of a slab, or all that its swizzle takes into account,
// which wgmma computes from addresses.
int alignment_of(Kernel kernel) { return kernel == Kernel::kWgmmaTile ? 8 * kSlabBytes : kSlabBytes; }

int element_bytes(Precision precision) { return precision == Precision::kBfloat16 ? 2 : 4; }

int layers_once(const DevicePolicy& p) { return p.num_embedding + p.num_encoder + p.num_actor + p.num_decoder; }

int widest_once(const DevicePolicy& p) {
    int width = p.embed_dim;  // of the condition, which may be all there is
    for (int i = 0; i < layers_once(p); ++i) width = std::max({width, p.once[i].in, p.once[i].out});
    return padded_width(width);
}

// Hands out consecutive pieces of a memory.
class Pieces {
 public:
    explicit Pieces(int alignment) : alignment_(alignment) {}
    int32_t take(int64_t bytes) {
        const int64_t start = used_;
        used_ += (bytes + alignment_ - 1) / alignment_ * alignment_;
        last_ = std::max(last_, used_);
        // Beyond 2 GiB the plan is refused for its size, whatever the offset.
        return static_cast<int32_t>(std::min<int64_t>(start, INT32_MAX));
    }
    int64_t position() const { return used_; }
    void go_to(int64_t position) { used_ = position; }
    void go_to_end() { used_ = last_; }

 private:
    const int alignment_;
    int64_t used_ = 0, last_ = 0;
};

// Layers of the velocity field, and bytes of what one block of a cluster keeps of one.
int field_layers(const DevicePolicy& p) { return 2 * p.num_blocks + 2; }

int64_t slice_bytes(const DevicePolicy& p, int index, int cluster_size) {
    const DeviceLayer& layer = index == 0 ? p.input : index == field_layers(p) - 1 ? p.output : p.first_block_layer;
    return static_cast<int64_t>(slabs_of(layer.in, element_bytes(p.precision))) *
           groups_per_block(layer.out, cluster_size) * kGroupBytes;
}

// Multiply-adds of one row, with padding: of the layers that run once, and of the others.
void count_products(const DevicePolicy& p, double* once, double* field) {
    const auto of = [](const DeviceLayer& layer) {
        return static_cast<double>(padded_width(layer.in)) * padded_width(layer.out);
    };
    *once = 0.0;
    for (int i = 0; i < layers_once(p); ++i) *once += of(p.once[i]);
    const double evaluations = static_cast<double>(p.num_steps) * p.solver.stages;
    *field =
        of(p.modulation) + evaluations * (of(p.input) + 2.0 * p.num_blocks * of(p.first_block_layer) + of(p.output));
}

// Cycles that the whole batch takes with this tile plan.
double tile_cycles(const DevicePolicy& p, const Plan& plan, const DeviceProperties& device) {
    constexpr double kFp32PerCycle = 64.0;  // multiply-adds: half of the units, which wait for shared memory
    constexpr double kLayerCycles = 600.0;  // barriers, layer norms, epilogues: of a layer, and per 16 rows
    const double per_cycle = p.precision == Precision::kFloat32 ? kFp32PerCycle
                                                                : (p.precision == Precision::kTf32 ? 512.0 : 1024.0) *
                                                                      (plan.kernel == Kernel::kWgmmaTile ? 2.0 : 1.0);
    double once, field;
    count_products(p, &once, &field);
    const double rows = plan.tile_rows;
    const double products = rows * (once / kFp32PerCycle + field / per_cycle);
    double own_bytes = 0.0;  // of the workspace
    const double evaluations = static_cast<double>(p.num_steps) * p.solver.stages, hidden = padded_width(p.hidden_dim);
    if (plan.placement != Placement::kShared) {
        own_bytes += rows * evaluations * (3.0 * p.num_blocks + 3.0) * hidden * element_bytes(p.precision);
    }
    if (plan.placement == Placement::kWorkspace) {
        own_bytes += rows * evaluations * (5.0 * p.num_blocks + 4.0) * hidden * 4.0;
    }
    const double weight_bytes = (once * 4.0 + field * element_bytes(p.precision)) / plan.cluster_size;
    // From the level-2 cache to one multiprocessor: 64 per cycle, but 3200 for all of them.
    const double readers = static_cast<double>(std::min<int64_t>(plan.blocks, device.multiprocessors));
    const double bytes_per_cycle = std::min(64.0, 3200.0 / readers);
    const double layers = evaluations * field_layers(p);
    const double waves = static_cast<double>((plan.blocks + device.multiprocessors - 1) / device.multiprocessors);
    return waves * (std::max(products, (weight_bytes + own_bytes) / bytes_per_cycle) +
                    layers * kLayerCycles * (1.0 + rows / 64.0));
}

void finish(const DevicePolicy& policy, int64_t rows, Plan* plan) {
    const int64_t tiles = (rows + plan->tile_rows - 1) / plan->tile_rows;
    plan->blocks = plan->kernel == Kernel::kCluster
                       ? tiles * plan->cluster_size
                       : (tiles + plan->cluster_size - 1) / plan->cluster_size * plan->cluster_size;
    const Memory memory = lay_out_memory(policy, *plan);
    plan->shared_bytes = memory.shared_bytes;
    plan->workspace_bytes = memory.workspace_bytes * plan->blocks;
}

// Outputs and stages of rings, best first.
constexpr int kRings[][2] = {{256, 4}, {256, 3}, {256, 2}, {128, 4}, {128, 3}, {128, 2}, {64, 4}, {64, 3}, {64, 2}};

// The kernel for tiles of this many rows, if there is one.
bool find_tile_kernel(const DevicePolicy& policy, int tile_rows, const DeviceProperties& device, KernelChoice choice,
                      Kernel* kernel) {
    const bool wgmma = device.wgmma && policy.precision != Precision::kFloat32 && choice != KernelChoice::kMmaTiles;
    *kernel = wgmma && tile_rows == 64 ? Kernel::kWgmmaTile : Kernel::kTile;
    if (wgmma && choice == KernelChoice::kWgmmaTiles) return tile_rows == 64;
    // FFMA has two sums for every one of mma.sync's: 64 rows of them exceed the registers. With tf32's operands they
    // exceed the shared memory of most GPUs.
    return tile_rows < 64 || *kernel == Kernel::kWgmmaTile || policy.precision == Precision::kBfloat16;
}

// The best tile plan, or one with blocks = -1 if none fits.
Plan plan_tile(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice) {
    Plan best{};
    best.blocks = -1;
    double best_cycles = 0.0;
    for (int tile_rows : {16, 32, 64}) {
        Kernel kernel;
        if (!find_tile_kernel(policy, tile_rows, device, choice, &kernel)) continue;
        for (int cluster : {1, 2, 4}) {
            // FFMA does not wait for weights. A cluster shares slabs only where there are as many tiles.
            if (cluster > 1 && (device.major < 9 || cluster > device.max_cluster_size || rows <= tile_rows ||
                                policy.precision == Precision::kFloat32)) {
                continue;
            }
            for (Placement placement : {Placement::kShared, Placement::kModulation, Placement::kWorkspace}) {
                for (const auto& [outputs, stages] : kRings) {
                    const bool multicast = cluster > 1 || kernel == Kernel::kWgmmaTile;
                    if (multicast && stages < 3) continue;  // see MulticastRing
                    Plan plan{kernel, tile_rows, cluster, kThreads, stages, outputs, 0, placement, 0, 0, 0};
                    finish(policy, rows, &plan);
                    if (plan.shared_bytes > device.shared_memory_per_block_optin) continue;
                    const double cycles = tile_cycles(policy, plan, device);
                    if (best.blocks < 0 || cycles < best_cycles) {
                        best = plan;
                        best_cycles = cycles;
                    }
                    break;  // smaller rings are no better
                }
            }
        }
    }
    return best;
}

// The cluster plan for this size, with as many layers resident as fit; blocks = -1 if not even the rest fits.
Plan plan_cluster(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, int size) {
    Plan plan{Kernel::kCluster, kClusterRows, size, kThreads, 0, 0, 0, Placement::kShared, 0, 0, 0};
    finish(policy, rows, &plan);
    if (plan.shared_bytes > device.shared_memory_per_block_optin) {
        plan.blocks = -1;
        return plan;
    }
    int64_t room = device.shared_memory_per_block_optin - plan.shared_bytes;
    while (plan.resident < field_layers(policy)) {
        room -= slice_bytes(policy, plan.resident, size);
        if (room < 0) break;
        ++plan.resident;
    }
    finish(policy, rows, &plan);
    return plan;
}

}  // namespace

Memory lay_out_memory(const DevicePolicy& p, const Plan& plan) {
    Memory m{};
    m.rows = plan.tile_rows;
    const int64_t rows = m.rows;
    const int hidden = padded_width(p.hidden_dim), chunk = padded_width(p.chunk_dim());
    const int element = element_bytes(p.precision);
    m.modulation_stride = 4 * hidden + kRowShift * 4 / element;
    m.stream_stride = hidden + kRowShift;
    m.state_stride = chunk + kRowShift;
    m.modulation_in_workspace = plan.placement != Placement::kShared;
    m.rest_in_workspace = plan.placement == Placement::kWorkspace;

    Pieces shared(alignment_of(plan.kernel)), workspace(alignment_of(plan.kernel));
    Pieces& of_modulation = m.modulation_in_workspace ? workspace : shared;
    m.modulation = of_modulation.take(rows * m.modulation_stride * element);
    const int64_t start = shared.position();
    const int once_width = widest_once(p);
    for (int32_t& once : m.once) once = shared.take(rows * slabs_of(once_width, 4) * kSlabBytes);
    m.latent = p.num_actor > 0 ? shared.take(rows * p.latent_dim * 4) : m.once[0];
    // The velocity field takes the place of the layers that run once, of which the condition is left. Nothing but the
    // modulation reads it, before the first write here.
    shared.go_to(start);
    const int hidden_slabs = slabs_of(hidden, element);
    m.branch = shared.take(rows * hidden_slabs * kSlabBytes);
    m.inner = shared.take(rows * std::max(hidden_slabs, slabs_of(chunk, element)) * kSlabBytes);
    Pieces& rest = m.rest_in_workspace ? workspace : shared;
    m.stream = rest.take(rows * m.stream_stride * 4);
    m.state = rest.take(rows * m.state_stride * 4);
    m.end = p.solver.stages > 1 ? rest.take(rows * m.state_stride * 4) : m.state;
    shared.go_to_end();

    if (plan.kernel != Kernel::kCluster) {
        m.stages = plan.stages;
        m.tile_outputs = plan.tile_outputs;
        m.barrier = shared.take(2 * kMaxStages * sizeof(uint64_t));
        m.ring = shared.take(static_cast<int64_t>(plan.stages) * plan.tile_outputs * kSlabBytes);
    } else {
        m.resident = plan.resident;
        m.partial = shared.take(kPartialBytes);
        m.streamed_weights = shared.take(kWarps * kGroupStages * kGroupBytes);
        m.barrier = shared.take(kClusterBarriers * sizeof(uint64_t));
        int64_t resident_bytes = 0;
        for (int i = 0; i < plan.resident; ++i) resident_bytes += slice_bytes(p, i, plan.cluster_size);
        m.resident_weights = shared.take(resident_bytes);
    }
    m.shared_bytes = shared.position();
    m.workspace_bytes = workspace.position();
    return m;
}

Plan plan(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice) {
    if (device.major < 8) {
        throw std::invalid_argument("zprl: the GPU's compute capability is " + std::to_string(device.major) + "." +
                                    std::to_string(device.minor) + "; 8.0 or more is needed.");
    }
    // A cluster where the batch fits into those that run at once, since another round would cost all its latency again.
    if (choice == KernelChoice::kAny && device.major >= 9 && device.max_cluster_size >= 2) {
        const int most = std::min(device.max_cluster_size, padded_width(policy.hidden_dim) / kGroupOutputs);
        Plan best{};
        best.blocks = -1;
        for (int size : {2, 4, 8, 16}) {
            if (size > most || (size < 8 && 2 * size <= most)) continue;
            if (rows > static_cast<int64_t>(device.multiprocessors / size) * kClusterRows) continue;
            if (best.blocks >= 0 && best.resident == field_layers(policy)) break;  // more peers would cost time
            const Plan candidate = plan_cluster(policy, rows, device, size);
            if (candidate.blocks >= 0) best = candidate;
        }
        if (best.blocks >= 0) return best;
    }
    const Plan best = plan_tile(policy, rows, device, choice);
    if (best.blocks < 0) {
        const Plan least = [&] {
            Plan plan{Kernel::kTile, 16, 1, kThreads, 2, 64, 0, Placement::kWorkspace, 0, 0, 0};
            finish(policy, rows, &plan);
            return plan;
        }();
        throw std::invalid_argument("zprl: the policy's layers are too wide for this GPU: they need " +
                                    std::to_string(least.shared_bytes) + " bytes of shared memory, and a block has " +
                                    std::to_string(device.shared_memory_per_block_optin) +
                                    "; use torch, or lower precision than " + name(policy.precision) + ".");
    }
    return best;
}

std::string describe(const Plan& plan) {
    char text[256];
    if (plan.kernel == Kernel::kCluster) {
        std::snprintf(text, sizeof(text),
                      "cluster: %" PRId64
                      " clusters of %d blocks, %d rows each, %d layers stay in shared memory "
                      "(%" PRId64 " KiB per block)",
                      plan.blocks / plan.cluster_size, plan.cluster_size, plan.tile_rows, plan.resident,
                      plan.shared_bytes / 1024);
        return text;
    }
    const char* const places[] = {"all in shared memory", "modulation in the workspace",
                                  "only operands in shared memory"};
    std::snprintf(text, sizeof(text),
                  "%s: %" PRId64 " blocks of %d rows, weights shared by %d, %d stages of %d outputs, %s (%" PRId64
                  " KiB per block)",
                  plan.kernel == Kernel::kWgmmaTile ? "tile on wgmma" : "tile", plan.blocks, plan.tile_rows,
                  plan.cluster_size, plan.stages, plan.tile_outputs, places[static_cast<int>(plan.placement)],
                  plan.shared_bytes / 1024);
    return text;
}

}  // namespace cuda
}  // namespace zprl
