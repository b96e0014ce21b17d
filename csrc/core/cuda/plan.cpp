// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Which kernel a batch gets, and how it is cut: of all plans that the device can run, the one that costs least.

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "cost_model.h"
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

// Bytes of what one block of a cluster keeps of a layer of the velocity field.
int64_t slice_bytes(const DevicePolicy& p, int index, int cluster_size) {
    const DeviceLayer& layer = index == 0 ? p.input : index == field_layers(p) - 1 ? p.output : p.first_block_layer;
    return static_cast<int64_t>(slabs_of(layer.in, element_bytes(p.precision))) *
           groups_per_block(layer.out, cluster_size) * kGroupBytes;
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

bool has_wgmma(const DevicePolicy& policy, const DeviceProperties& device) {
    return device.wgmma && policy.precision != Precision::kFloat32;
}

// The kernel for tiles of this many rows, if there is one.
bool find_tile_kernel(const DevicePolicy& policy, int tile_rows, const DeviceProperties& device, KernelChoice choice,
                      Kernel* kernel) {
    const bool wgmma = has_wgmma(policy, device) && choice != KernelChoice::kMmaTiles;
    *kernel = wgmma && tile_rows == 64 ? Kernel::kWgmmaTile : Kernel::kTile;
    if (wgmma && choice == KernelChoice::kWgmmaTiles) return tile_rows == 64;
    // With operands of four bytes, 64 rows exceed the shared memory of most GPUs.
    return tile_rows < 64 || *kernel == Kernel::kWgmmaTile || policy.precision == Precision::kBfloat16;
}

// Whether the kernel can keep all results of a layer of the velocity field in registers.
bool holds_results(const DevicePolicy& policy, Kernel kernel) {
    return kernel == Kernel::kWgmmaTile &&
           padded_width(std::max(policy.hidden_dim, policy.chunk_dim())) <= kMaxHeldOutputs;
}

// Keeps the plans that are offered, with what each costs.
class Candidates {
 public:
    Candidates(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, const ActiveClusters& active)
        : policy_(policy), rows_(rows), device_(device), active_(active) {}

    bool fits(const Plan& plan) const { return plan.shared_bytes <= device_.shared_memory_per_block_optin; }

    // Clusters, or single blocks, of a plan that the device runs at once.
    int64_t at_once(const Plan& plan) const {
        const int64_t most = device_.multiprocessors / plan.cluster_size;
        return plan.cluster_size == 1 ? most : std::min(active_(plan), most);
    }

    void offer(const Plan& plan) {
        const int64_t at_once = this->at_once(plan);
        if (at_once < 1) return;
        found_.push_back({plan, cost_of(policy_, plan, rows_, device_, at_once)});
    }
    // The cheapest first; of those that cost the same, that with the least traffic from the level-2 cache.
    std::vector<Candidate> take() {
        std::stable_sort(found_.begin(), found_.end(), [](const Candidate& a, const Candidate& b) {
            return std::make_pair(a.cost.total, a.cost.level2) < std::make_pair(b.cost.total, b.cost.level2);
        });
        return std::move(found_);
    }

 private:
    const DevicePolicy& policy_;
    const int64_t rows_;
    const DeviceProperties& device_;
    const ActiveClusters& active_;
    std::vector<Candidate> found_;
};

void offer_tiles(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice,
                 Candidates* found) {
    for (int tile_rows : {kNarrowRows, 16, 32, 64}) {
        Kernel kernel;
        if (!find_tile_kernel(policy, tile_rows, device, choice, &kernel)) continue;
        for (int cluster : {1, 2, 4}) {
            // A cluster shares slabs only where there are as many tiles.
            if (cluster > 1 && (device.major < 9 || cluster > device.max_cluster_size || rows <= tile_rows)) continue;
            for (Placement placement : {Placement::kShared, Placement::kModulation, Placement::kWorkspace,
                                        Placement::kOnce, Placement::kStream, Placement::kOneOperand}) {
                if (one_operand(placement) && !holds_results(policy, kernel)) continue;
                if (kernel == Kernel::kWgmmaTile && placement == Placement::kWorkspace) continue;  // kOnce is as good
                for (const auto& [outputs, stages] : kRings) {
                    const bool multicast = cluster > 1 || kernel == Kernel::kWgmmaTile;
                    if (multicast && stages < 3) continue;  // see ProducerRing
                    if (kernel == Kernel::kWgmmaTile && outputs > kMaxWgmmaOutputs) continue;
                    if (one_operand(placement) && outputs > kPanel) continue;  // what it keeps are turns of 64
                    Plan plan{kernel, tile_rows, cluster, threads_of(kernel, cluster), stages, outputs, 0, placement,
                              0,      0,         0};
                    finish(policy, rows, &plan);
                    if (!found->fits(plan)) continue;
                    found->offer(plan);
                    break;  // smaller rings are no better
                }
            }
        }
    }
}

// Clusters of so many blocks that take so many rows each, with as many layers resident as fit.
Plan cluster_plan(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, int size, int tile_rows) {
    Plan plan{Kernel::kCluster, tile_rows, size, kThreads, 0, 0, 0, Placement::kShared, 0, 0, 0};
    finish(policy, rows, &plan);
    int64_t room = device.shared_memory_per_block_optin - plan.shared_bytes;
    while (plan.resident < field_layers(policy)) {
        room -= slice_bytes(policy, plan.resident, size);
        if (room < 0) break;
        ++plan.resident;
    }
    finish(policy, rows, &plan);
    return plan;
}

// Plans of clusters of each size: of 8 rows, and of as few as take no more waves, for which less has to be sent.
void offer_clusters(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, Candidates* found) {
    // More blocks than groups of outputs would have nothing to do.
    const int most = std::min(device.max_cluster_size, padded_width(policy.hidden_dim) / kGroupOutputs);
    for (int size = 2; size <= most; size *= 2) {
        const Plan full = cluster_plan(policy, rows, device, size, kClusterRows);
        if (found->fits(full)) found->offer(full);
        const int64_t at_once = found->at_once(full);
        if (at_once < 1) continue;
        const int64_t clusters = full.blocks / size, waves = (clusters + at_once - 1) / at_once;
        const int64_t fewest = (rows + waves * at_once - 1) / (waves * at_once);
        if (fewest == kClusterRows) continue;
        const Plan even = cluster_plan(policy, rows, device, size, static_cast<int>(fewest));
        if (found->fits(even)) found->offer(even);
    }
}

// What a kernel for tiles of so many rows needs at least.
int64_t least_shared_bytes(const DevicePolicy& policy, Kernel kernel, int tile_rows, int stages) {
    const Placement placement = holds_results(policy, kernel) ? Placement::kOneOperand : Placement::kOnce;
    Plan plan{kernel, tile_rows, 1, threads_of(kernel, 1), stages, 64, 0, placement, 0, 0, 0};
    finish(policy, tile_rows, &plan);
    return plan.shared_bytes;
}

}  // namespace

Memory lay_out_memory(const DevicePolicy& p, const Plan& plan) {
    Memory m{};
    m.rows = plan.tile_rows;
    // Operands of a cluster have all columns of mma.sync, however many of them are rows.
    const int64_t rows = m.rows, operand_rows = plan.kernel == Kernel::kCluster ? kClusterRows : rows;
    const int hidden = padded_width(p.hidden_dim), chunk = padded_width(p.chunk_dim());
    const int element = element_bytes(p.precision);
    m.modulation_stride = 4 * hidden + kRowShift * 4 / element;
    m.stream_stride = hidden + kRowShift;
    m.state_stride = chunk + kRowShift;
    m.placement = plan.placement;

    Pieces shared(alignment_of(plan.kernel)), workspace(alignment_of(plan.kernel));
    const auto home = [&](bool in_workspace) -> Pieces& { return in_workspace ? workspace : shared; };
    m.modulation = home(modulation_in_workspace(plan.placement)).take(rows * m.modulation_stride * element);
    const int64_t start = shared.position();
    const int once_width = widest_once(p);
    const int64_t once_bytes = operand_rows * slabs_of(once_width, 4) * kSlabBytes;
    m.once[0] = shared.take(once_bytes);
    m.once[1] = home(once_in_workspace(plan.placement)).take(once_bytes);
    m.latent = p.num_actor > 0 ? shared.take(rows * p.latent_dim * 4) : m.once[0];
    // The velocity field takes the place of the layers that run once, of which the condition is left. Nothing but the
    // modulation reads it, before the first write here.
    shared.go_to(start);
    const int hidden_slabs = slabs_of(hidden, element);
    m.inner = shared.take(operand_rows * std::max(hidden_slabs, slabs_of(chunk, element)) * kSlabBytes);
    m.branch = one_operand(plan.placement) ? m.inner : shared.take(operand_rows * hidden_slabs * kSlabBytes);
    m.stream = home(stream_in_workspace(plan.placement)).take(rows * m.stream_stride * 4);
    Pieces& of_state = home(state_in_workspace(plan.placement));
    m.state = of_state.take(rows * m.state_stride * 4);
    m.end = p.solver.stages > 1 ? of_state.take(rows * m.state_stride * 4) : m.state;
    shared.go_to_end();

    if (plan.kernel != Kernel::kCluster) {
        m.stages = plan.stages;
        m.tile_outputs = plan.tile_outputs;
        m.barrier = shared.take(kRingBarriers * kMaxStages * sizeof(uint64_t));
        m.ring = shared.take(static_cast<int64_t>(plan.stages) * plan.tile_outputs * kSlabBytes);
    } else {
        m.resident = plan.resident;
        m.partial = shared.take(kPartialBytes);
        m.streamed_weights = shared.take(kWarps * kGroupStages * kGroupBytes);
        const auto parts = [&](const DeviceLayer& layer) {
            return parts_of_layer(groups_per_block(layer.out, plan.cluster_size));
        };
        for (int i = 0; i < layers_once(p); ++i) m.once_parts = std::max(m.once_parts, parts(p.once[i]));
        m.modulation_parts = parts(p.modulation);
        m.field_parts = std::max({parts(p.input), parts(p.first_block_layer), parts(p.output)});
        m.modulation_work = layers_once(p) * m.once_parts;
        const int64_t of_field = static_cast<int64_t>(field_layers(p)) * m.field_parts;
        m.work = shared.take((m.field_work() + of_field) * kWorkBytes);
        m.bias = shared.take(of_field * kBiasBytes);
        m.barrier = shared.take(kClusterBarriers * sizeof(uint64_t));
        int64_t resident_bytes = 0;
        for (int i = 0; i < plan.resident; ++i) resident_bytes += slice_bytes(p, i, plan.cluster_size);
        m.resident_weights = shared.take(resident_bytes);
    }
    m.shared_bytes = shared.position();
    m.workspace_bytes = workspace.position();
    return m;
}

ActiveClusters split_over(std::vector<int> multiprocessors) {
    return [multiprocessors = std::move(multiprocessors)](const Plan& plan) {
        int64_t clusters = 0;
        for (const int each : multiprocessors) clusters += each / plan.cluster_size;
        return clusters;
    };
}

KernelChoice parse_choice(const std::string& kernels) {
    if (kernels.empty() || kernels == "cluster") return KernelChoice::kAny;
    if (kernels == "tile") return KernelChoice::kTiles;
    if (kernels == "mma") return KernelChoice::kMmaTiles;
    if (kernels == "wgmma") return KernelChoice::kWgmmaTiles;
    throw std::invalid_argument("zprl: ZPRL_CUDA_KERNEL is '" + kernels + "'; it must be cluster, tile, mma or wgmma.");
}

std::vector<Candidate> candidates(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device,
                                  KernelChoice choice, const ActiveClusters& active_clusters) {
    Candidates found(policy, rows, device, active_clusters);
    if (choice == KernelChoice::kAny && device.major >= 9) offer_clusters(policy, rows, device, &found);
    offer_tiles(policy, rows, device, choice, &found);
    return found.take();
}

Candidate choose(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice,
                 const ActiveClusters& active_clusters) {
    if (device.major < 8) {
        throw std::invalid_argument("zprl: the GPU's compute capability is " + std::to_string(device.major) + "." +
                                    std::to_string(device.minor) + "; 8.0 or more is needed.");
    }
    const std::vector<Candidate> found = candidates(policy, rows, device, choice, active_clusters);
    if (!found.empty()) return found.front();
    const std::string has =
        " bytes of shared memory, and a block has " + std::to_string(device.shared_memory_per_block_optin);
    if (choice == KernelChoice::kWgmmaTiles && has_wgmma(policy, device)) {
        throw std::invalid_argument("zprl: ZPRL_CUDA_KERNEL=wgmma leaves no kernel for this policy in " +
                                    std::string(name(policy.precision)) + ": its tiles of 64 rows need " +
                                    std::to_string(least_shared_bytes(policy, Kernel::kWgmmaTile, 64, 3)) + has +
                                    "; do without the variable.");
    }
    throw std::invalid_argument("zprl: the policy's layers are too wide for this GPU: they need " +
                                std::to_string(least_shared_bytes(policy, Kernel::kTile, kNarrowRows, 2)) + has +
                                "; use torch, or lower precision than " + name(policy.precision) + ".");
}

Plan plan(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice,
          const ActiveClusters& active_clusters) {
    return choose(policy, rows, device, choice, active_clusters).plan;
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
    const char* const places[] = {"all in shared memory",
                                  "modulation in the workspace",
                                  "only operands in shared memory",
                                  "only operands in shared memory, of layers that run once one at a time",
                                  "one operand at a time and the stream in shared memory",
                                  "one operand at a time in shared memory"};
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
