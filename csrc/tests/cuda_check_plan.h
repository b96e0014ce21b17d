// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: the planner's promises over a grid of shapes and devices.

#pragma once

#include <atomic>
#include <ctime>
#include <functional>
#include <set>
#include <thread>

#include "cuda/cost_model.h"
#include "cuda/plan_cache.h"
#include "cuda_check_pack.h"

namespace core_check {
namespace {

// A packed policy's header, without its weights.
DevicePolicy device_policy(const Shape& s, Precision precision) {
    int32_t header[zprl::kHeaderInts] = {};
    header[zprl::kFieldMagic] = zprl::cuda::kCudaMagic;
    header[zprl::kFieldVersion] = zprl::cuda::kCudaVersion;
    header[zprl::kFieldObsDim] = s.obs;
    header[zprl::kFieldActionDim] = s.action;
    header[zprl::kFieldHorizon] = s.horizon;
    header[zprl::kFieldEmbedDim] = s.embed;
    header[zprl::kFieldLatentDim] = s.latent;
    header[zprl::kFieldNumSteps] = s.steps;
    header[zprl::kFieldSolver] = s.solver;
    header[zprl::kFieldHiddenDim] = s.hidden;
    header[zprl::kFieldNumBlocks] = s.blocks;
    header[zprl::kFieldNumVibHidden] = 1;
    header[zprl::kFieldVibHidden] = s.vib_hidden[0];
    header[zprl::kFieldParts] = s.parts;
    header[zprl::cuda::kFieldPrecision] = static_cast<int32_t>(precision);
    // The sentence about the size says what it ought to be.
    try {
        zprl::cuda::parse_header(header, sizeof(header));
    } catch (const std::invalid_argument& error) {
        const char* const number = std::strstr(error.what(), "ask for ");
        require(number != nullptr, error.what());
        header[zprl::kFieldBytes] = std::atoi(number + 8);
    }
    return zprl::cuda::parse_header(header, header[zprl::kFieldBytes]);
}

struct Piece {
    const char* name;
    int64_t begin, bytes;
};

void require_apart(const std::vector<Piece>& pieces, int64_t end, int64_t alignment) {
    for (size_t i = 0; i < pieces.size(); ++i) {
        const Piece& a = pieces[i];
        require(a.begin >= 0 && a.begin % alignment == 0 && a.begin + a.bytes <= end,
                text("%s is out of bounds", a.name));
        for (size_t j = 0; j < i; ++j) {
            const Piece& b = pieces[j];
            require(a.begin + a.bytes <= b.begin || b.begin + b.bytes <= a.begin,
                    text("%s and %s overlap", a.name, b.name));
        }
    }
}

// What memory.h's table promises, with sizes worked out here.
void check_memory(const Shape& s, const DevicePolicy& policy, const Plan& plan) {
    const zprl::cuda::Memory m = zprl::cuda::lay_out_memory(policy, plan);
    const auto pad = [](int64_t width) { return (width + 63) / 64 * 64; };
    const int64_t rows = plan.tile_rows, element = policy.precision == Precision::kBfloat16 ? 2 : 4;
    const int64_t operand_rows = plan.kernel == Kernel::kCluster ? 8 : rows;
    const int64_t hidden = pad(s.hidden), chunk = pad(s.chunk());
    const int64_t once = pad(std::max({s.obs, s.embed, 2 * s.latent, s.vib_hidden[0]})) * 4 * operand_rows;
    std::vector<Piece> early, late, workspace;
    const auto modulation = Piece{"the modulation", m.modulation, rows * (4 * hidden * element + 32)};
    const bool one_operand = plan.placement == Placement::kStream || plan.placement == Placement::kOneOperand;
    const bool once_in_workspace = plan.placement == Placement::kOnce || one_operand;
    const bool rest_in_workspace = plan.placement == Placement::kWorkspace || once_in_workspace;
    const bool stream_in_workspace = rest_in_workspace && plan.placement != Placement::kStream;
    (plan.placement == Placement::kShared ? early : workspace).push_back(modulation);
    if (plan.placement == Placement::kShared) late.push_back(modulation);
    (stream_in_workspace ? workspace : late).push_back({"the stream", m.stream, rows * (hidden + 8) * 4});
    (rest_in_workspace ? workspace : late).push_back({"the state", m.state, rows * (chunk + 8) * 4});
    if (s.solver != 0) (rest_in_workspace ? workspace : late).push_back({"the end", m.end, rows * (chunk + 8) * 4});
    early.push_back({"a layer that runs once", m.once[0], once});
    (once_in_workspace ? workspace : early).push_back({"another layer that runs once", m.once[1], once});
    require(!one_operand || (m.branch == m.inner && plan.kernel == Kernel::kWgmmaTile && plan.tile_outputs == 64 &&
                             hidden <= 512 && chunk <= 512),
            "an operand in the place of another one");
    if (!one_operand) late.push_back({"the branch", m.branch, operand_rows * hidden * element});
    late.push_back({"the inner operand", m.inner, operand_rows * std::max(hidden, chunk) * element});
    for (auto* pieces : {&early, &late}) {
        if (plan.kernel != Kernel::kCluster) {
            pieces->push_back({"the barriers", m.barrier, 96});
            pieces->push_back({"the ring", m.ring, int64_t{plan.stages} * plan.tile_outputs * 128});
            continue;
        }
        int64_t resident_bytes = 0;
        for (int i = 0; i < plan.resident; ++i) {
            const bool output = i == 2 * s.blocks + 1;
            const int64_t groups = (output ? chunk : hidden) / 16;
            const int64_t in = i == 0 ? s.chunk() : s.hidden;
            const int64_t per_slab = 128 / element, slabs = (in + per_slab - 1) / per_slab;
            resident_bytes += slabs * ((groups + plan.cluster_size - 1) / plan.cluster_size) * 16 * 128;
        }
        pieces->push_back({"the partial sums", m.partial, 8 * 16 * 8 * 4});
        pieces->push_back({"the streamed weights", m.streamed_weights, 8 * 3 * 2048});
        pieces->push_back({"the barriers", m.barrier, 24});
        pieces->push_back({"the resident weights", m.resident_weights, resident_bytes});
    }
    const int64_t alignment = plan.kernel == Kernel::kWgmmaTile ? 1024 : 128;  // of what the swizzle depends on
    require_apart(early, plan.shared_bytes, alignment);
    require_apart(late, plan.shared_bytes, alignment);
    require_apart(workspace, plan.blocks == 0 ? 0 : plan.workspace_bytes / plan.blocks, alignment);
}

void check_plan(const Shape& s, const DevicePolicy& policy, const DeviceProperties& device, int64_t rows,
                const Plan& plan) {
    require(plan.shared_bytes <= device.shared_memory_per_block_optin, "more shared memory than a block has");
    const int threads = plan.kernel == Kernel::kWgmmaTile                       ? 384
                        : plan.kernel == Kernel::kTile && plan.cluster_size > 1 ? 288
                                                                                : 256;
    require(plan.threads == threads && plan.blocks % plan.cluster_size == 0, "an odd number of threads or blocks");
    const int64_t tiles = plan.blocks / plan.cluster_size;
    const int64_t rows_of_a_unit =
        plan.kernel == Kernel::kCluster ? plan.tile_rows : plan.tile_rows * plan.cluster_size;
    require(tiles * rows_of_a_unit >= rows && (tiles - 1) * rows_of_a_unit < rows, "another number of rows");
    require(plan.workspace_bytes >= 0 && (plan.workspace_bytes > 0) == (plan.placement != Placement::kShared),
            "a workspace that is not needed, or none");
    if (plan.kernel == Kernel::kCluster) {
        require(device.major >= 9 && plan.cluster_size >= 2 && plan.cluster_size <= device.max_cluster_size &&
                    (plan.cluster_size & (plan.cluster_size - 1)) == 0,
                "a cluster that the device does not have");
        require(plan.tile_rows >= 1 && plan.tile_rows <= 8, "rows that mma.sync has no columns for");
        require(plan.resident >= 0 && plan.resident <= 2 * s.blocks + 2, "more layers than there are");
    } else {
        const bool wgmma = plan.kernel == Kernel::kWgmmaTile;
        const bool exists = plan.tile_rows == 8 || plan.tile_rows == 16 || plan.tile_rows == 32 ||
                            (plan.tile_rows == 64 && (wgmma || policy.precision == Precision::kBfloat16));
        require(exists, "a tile that no kernel has");
        require(wgmma == (plan.tile_rows == 64 && device.wgmma), "wgmma where it is not, or not where it is");
        require(!wgmma || (policy.precision != Precision::kFloat32 && plan.tile_outputs <= 128), "wgmma for float32");
        require(plan.cluster_size == 1 || ((plan.cluster_size == 2 || plan.cluster_size == 4) && device.major >= 9 &&
                                           plan.cluster_size <= device.max_cluster_size),
                "weights shared where they cannot be");
        require(plan.stages >= (plan.cluster_size > 1 || wgmma ? 3 : 2) && plan.stages <= 4 &&
                    (plan.tile_outputs == 64 || plan.tile_outputs == 128 || plan.tile_outputs == 256),
                "a ring that the kernel cannot run");
    }
    require(!zprl::cuda::describe(plan).empty(), "no description");
    check_memory(s, policy, plan);
}

// A device, and its multiprocessors by GPC.
struct Device {
    DeviceProperties properties;
    std::vector<int> split;
};

// An H200's 132 multiprocessors: 66 pairs in 8 GPCs of 9 pairs, 6 of which are disabled. All ways to do so.
std::vector<std::vector<int>> splits_of_h200() {
    std::vector<std::vector<int>> splits;
    std::vector<int> disabled(8);  // pairs, most first
    const std::function<void(size_t, int, int)> choose = [&](size_t at, int left, int most) {
        if (at == disabled.size()) {
            if (left > 0) return;
            splits.emplace_back();
            for (const int pairs : disabled) splits.back().push_back(2 * (9 - pairs));
            return;
        }
        for (int pairs = std::min(left, most); pairs >= 0; --pairs) {
            disabled[at] = pairs;
            choose(at + 1, left - pairs, pairs);
        }
    };
    choose(0, 6, 6);
    return splits;
}

Plan plan_on(const Device& device, const DevicePolicy& policy, int64_t rows, KernelChoice choice = KernelChoice::kAny) {
    return zprl::cuda::plan(policy, rows, device.properties, choice, zprl::cuda::split_over(device.split));
}

Device h200_of(std::vector<int> split) { return {zprl::cuda::h200(), std::move(split)}; }

DevicePolicy shape_a(Precision precision) {
    return device_policy(shape_of(256, 3, 0, 10, 8, 8, 40, 256, 32, {}, {256}), precision);
}
DevicePolicy shape_b(Precision precision) {
    return device_policy(shape_of(512, 4, 0, 10, 14, 16, 40, 512, 32, {}, {512}), precision);
}

using zprl::cuda::Cost;

constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16};

void check_grid() {
    const Device devices[] = {{{8, 0, 108, 166912, 1, false}, {}},
                              {{8, 6, 84, 101376, 1, false}, {}},
                              {{8, 9, 128, 101376, 1, false}, {}},
                              {{9, 0, 132, 232448, 16, true}, {18, 18, 18, 16, 16, 16, 16, 14}},
                              {{9, 0, 132, 232448, 8, true}, {16, 16, 16, 16, 16, 16, 18, 18}},
                              {{9, 0, 78, 232448, 1, true}, {}},
                              {{9, 0, 78, 232448, 16, true}, {}},  // refuses all clusters
                              {{10, 0, 148, 232448, 16, false}, {20, 20, 18, 18, 18, 18, 18, 18}},
                              {{12, 0, 170, 101376, 8, false}, {16, 16, 16, 16, 16, 16, 16, 16, 14, 14, 14}}};
    int plans = 0, refused = 0, clusters = 0, in_workspace = 0, wgmma = 0, narrow = 0;
    for (const int hidden : {32, 40, 64, 96, 256, 512, 1024, 2048, 4096}) {
        for (const int blocks : {1, 3, 8}) {
            for (const int chunk : {1, 64, 224, 1000}) {
                for (const Precision precision : kPrecisions) {
                    const Shape s = shape_of(hidden, blocks, chunk % 4, 10, 1, chunk, 40, std::min(hidden, 512), 16, {},
                                             {std::min(hidden, 512)});
                    const DevicePolicy policy = device_policy(s, precision);
                    for (const Device& device : devices) {
                        for (const int64_t rows : {1, 8, 9, 64, 129, 1024, 8193, 100000}) {
                            Plan plan;
                            try {
                                plan = plan_on(device, policy, rows);
                            } catch (const std::invalid_argument& error) {
                                require(std::strstr(error.what(), "too wide for this GPU") != nullptr, error.what());
                                // README's and the kernel's promise: these run everywhere.
                                require(hidden > 512 || chunk > 512, text("hidden %d is refused", hidden));
                                ++refused;
                                continue;
                            }
                            check_plan(s, policy, device.properties, rows, plan);
                            require(plan.cluster_size == 1 || !device.split.empty(), "a cluster that is refused");
                            ++plans;
                            clusters += plan.kernel == Kernel::kCluster;
                            wgmma += plan.kernel == Kernel::kWgmmaTile;
                            narrow += plan.kernel == Kernel::kTile && plan.tile_rows == 8;
                            in_workspace += plan.placement != Placement::kShared;
                        }
                    }
                }
            }
        }
    }
    require(clusters > 0 && in_workspace > 0 && refused > 0 && wgmma > 0 && narrow > 0, "the grid misses a case");
    std::printf("cuda_check: %d plans keep their limits, %d of clusters, %d on wgmma, %d of 8 rows; %d refused\n",
                plans, clusters, wgmma, narrow, refused);
}

// Plans for every split of an H200: legal, and with as many waves as the split asks for.
void check_splits() {
    const std::vector<std::vector<int>> splits = splits_of_h200();
    require(splits.size() == 11, "the splits are not all");
    for (const auto& [name, policy] :
         {std::pair{"A", shape_a(Precision::kBfloat16)}, {"B", shape_b(Precision::kBfloat16)}}) {
        const Shape s = name[0] == 'A' ? shape_of(256, 3, 0, 10, 8, 8, 40, 256, 32, {}, {256})
                                       : shape_of(512, 4, 0, 10, 14, 16, 40, 512, 32, {}, {512});
        for (const int64_t rows : {1, 64, 128, 1024, 8192}) {
            std::set<std::string> seen;
            for (const std::vector<int>& split : splits) {
                const Device device = h200_of(split);
                const Plan plan = plan_on(device, policy, rows);
                check_plan(s, policy, device.properties, rows, plan);
                int64_t at_once = 0;
                std::string gpcs;
                for (const int each : split) {
                    at_once += each / plan.cluster_size;
                    gpcs += (gpcs.empty() ? "" : "+") + std::to_string(each);
                }
                const int64_t clusters = plan.blocks / plan.cluster_size, waves = (clusters + at_once - 1) / at_once;
                require(zprl::cuda::cost_of(policy, plan, rows, device.properties, at_once).waves == waves,
                        "waves are miscounted");
                // A batch that fits at once on one GPU does so on every other: where clusters of 4 do not, those of 2
                // do.
                require(waves == 1 || rows == 8192 || name[0] == 'B',
                        text("%d rows take another round on %s", static_cast<int>(rows), gpcs.c_str()));
                const std::string line = zprl::cuda::describe(plan);
                if (!seen.insert(line).second) continue;
                std::printf("cuda_check: %s, %d rows, first on %s: %s; waves: %d\n", name, static_cast<int>(rows),
                            gpcs.c_str(), line.c_str(), static_cast<int>(waves));
            }
        }
    }
}

void check_choices() {
    const Device h200 = h200_of({18, 18, 18, 16, 16, 16, 16, 14});
    const Device blackwell{{10, 0, 148, 232448, 16, false}, {20, 20, 18, 18, 18, 18, 18, 18}};
    const DevicePolicy a = shape_a(Precision::kBfloat16), b = shape_b(Precision::kBfloat16);
    require_refused("8.0 or more", [&] { plan_on({{7, 5, 40, 65536, 1, false}, {}}, a, 1); });
    const Plan few = plan_on(h200, a, 1);
    require(few.kernel == Kernel::kCluster && few.resident == 8, "one row does not get a cluster with all its weights");
    const Plan many = plan_on(h200, a, 8192);
    require(many.kernel == Kernel::kWgmmaTile && many.cluster_size > 1, "8192 rows are not on wgmma");
    const Plan wide = plan_on(h200, b, 8192, KernelChoice::kWgmmaTiles);
    require(wide.kernel == Kernel::kWgmmaTile && wide.placement == Placement::kStream,
            "a policy of width 512 has no wgmma, or its stream no place");
    require(plan_on(h200, shape_a(Precision::kTf32), 8192, KernelChoice::kWgmmaTiles).kernel == Kernel::kWgmmaTile,
            "a policy of width 256 has no wgmma in tf32");
    // Two operands of 64 rows and 512 numbers of four bytes are 256 KiB, but one takes the other's place.
    const Plan one = plan_on(h200, shape_b(Precision::kTf32), 8192, KernelChoice::kWgmmaTiles);
    require(one.placement == Placement::kOneOperand, "a policy of width 512 has no wgmma in tf32");
    const DevicePolicy c = device_policy(shape_of(1024, 4, 0, 10, 14, 16, 40, 512, 32, {}, {512}), Precision::kTf32);
    require_refused(
        "ZPRL_CUDA_KERNEL=wgmma leaves no kernel for this policy in tf32: its tiles of 64 rows need 549888 bytes",
        [&] { plan_on(h200, c, 8192, KernelChoice::kWgmmaTiles); });
    // All multiprocessors have something to do, where tiles of 16 rows would leave half of them idle.
    const Plan middle = plan_on(h200, a, 1024, KernelChoice::kTiles);
    require(middle.tile_rows == 8 && middle.blocks == 128, "1024 rows leave multiprocessors idle");
    require(plan_on(h200, a, 8192, KernelChoice::kMmaTiles).kernel == Kernel::kTile, "mma.sync is not to be had");
    const Plan on_wgmma = plan_on(h200, a, 1, KernelChoice::kWgmmaTiles);
    require(on_wgmma.kernel == Kernel::kWgmmaTile && on_wgmma.cluster_size == 1, "wgmma is not to be had");
    require(plan_on(h200, a, 65, KernelChoice::kTiles).kernel != Kernel::kCluster, "clusters among tiles");
    require(plan_on(blackwell, a, 8192).kernel == Kernel::kTile, "wgmma on Blackwell");
    require(plan_on({{9, 0, 78, 232448, 1, true}, {}}, a, 1).kernel == Kernel::kTile, "a cluster where there are none");
    for (const char* const name : {"tile", "mma", "wgmma", "cluster", ""}) zprl::cuda::parse_choice(name);
    require_refused("ZPRL_CUDA_KERNEL is 'mna'", [] { zprl::cuda::parse_choice("mna"); });
}

// The model against numbers worked out by hand, for one step of one block of width 64 and five layers before it: cycles
// at 1980 a microsecond.
void check_costs() {
    const Shape s = shape_of(64, 1, 0, 1, 8, 8, 64, 64, 32, {}, {64});
    const DevicePolicy policy = device_policy(s, Precision::kBfloat16);
    const auto near = [](double actual, double cycles, const char* what) {
        require(std::abs(actual - cycles / 1980.0) < 1e-9 + 1e-12 * cycles,
                text("%s: %.6f us, not %.6f", what, actual, cycles / 1980.0));
    };
    // Weights: 4 x 64 x 64 and 32 x 64 in float32, then 64 x 256 and 4 x 64 x 64 in bf16: 139264 bytes.
    Plan tile{Kernel::kTile, 16, 1, 256, 4, 256, 0, Placement::kShared, 1, 0, 0};
    Cost c = zprl::cuda::cost_of(policy, tile, 16, zprl::cuda::h200(), 132);
    // What a tile of 16 rows takes was measured to be 2.17 times the sum of its parts, and 0.17 of the cache's time.
    // Of each slab (4 x 2 + 1), in two halves, a load, the split and three products.
    near(c.once, 2.17 * 9.0 * (2.0 * (29.0 + 20.0 + 99.0) + 60.0), "layers that run once");
    // The modulation reads (256 + 8 x 16) rows of 128 bytes, at 128 a cycle; four layers wait for a slab: 250 cycles.
    near(c.products, 2.17 * (384.0 + 4.0 * 250.0), "products");
    near(c.finishing, 2.17 * 16.0 / 2.0 / 32.0 * 23.0 / 4.0 * (5 * 64 + 256 + 4 * 64), "finishing");
    near(c.norms, 2.17 * 2.0 * (600.0 + 2.4 * 64.0), "layer norms");  // two rows of a warp at once
    near(c.latency, 2.17 * 10.0 * 600.0, "latency");
    near(c.level2, 0.17 * 139264.0 / 64.0, "level-2 cache");
    near(c.shared_floor, 384.0 + 4.0 * 192.0 + 4.0 * 384.0 + 192.0, "shared memory's floor");
    near(c.chain_floor, 10.0 * 250.0, "the chain's floor");
    near(c.tensor_floor, 16.0 * 32768.0 / 132.0 / (2048.0 * 0.738), "the matrix unit's floor");
    near(c.total - 4.0, 2.17 * 13291.2 + 0.17 * 139264.0 / 64.0, "a tile's step");
    require(c.waves == 1 && c.bound() == std::string("latency"), "another bound");
    // One tile more than multiprocessors: another wave, and the cache's 2778 bytes a cycle are shared by 132.
    tile.blocks = 133;
    c = zprl::cuda::cost_of(policy, tile, 133 * 16, zprl::cuda::h200(), 132);
    near(c.level2, 0.17 * 139264.0 / (2778.0 / 132.0), "a shared level-2 cache");
    near(c.total - 4.0, 2.0 * (2.17 * 13291.2 + 0.17 * 139264.0 / (2778.0 / 132.0)), "two waves");
    require(c.waves == 2, "one wave");

    const Plan cluster{Kernel::kCluster, 8, 2, 256, 0, 0, 4, Placement::kShared, 2, 0, 0};
    c = zprl::cuda::cost_of(policy, cluster, 8, zprl::cuda::h200(), 66);
    // Streamed slabs take 300 more. Four products at once take 70; of float32, the split and three of each, 280.
    near(c.once, 5.0 * (280.0 + 300.0), "layers of a cluster that run once");
    near(c.products, 370.0 + 4.0 * 70.0, "products of a cluster");
    // 60 instructions of 8.8 cycles, and two peers.
    near(c.finishing, 9.0 * (528.0 + 12.0) + 2.0 * (528.0 + 12.0), "finishing of a cluster");
    near(c.norms, 2.0 * (721.6 + 29.0 + 205.0 + 40.0 + 30.0), "layer norms of a cluster");
    // Eight layers of 47 + 67 instructions and two of 70 + 67, with a barrier and partial sums; then the exchange.
    near(c.latency, 8.0 * 1062.2 + 2.0 * 1264.6 + 10.0 * (180.0 + 58.0) + 20480.0 / 10.1, "exchanges");
    near(c.chain_floor, 10.0 * (180.0 + 58.0 + 33.0) + 2.0 * (125.0 + 58.0), "the chain's floor of a cluster");
    near(c.total - 4.0, 2900.0 + 650.0 + 5940.0 + 2051.2 + 13406.8 + 20480.0 / 10.1, "a cluster's step");
    // One row is sent alone.
    c = zprl::cuda::cost_of(policy, cluster, 1, zprl::cuda::h200(), 66);
    near(c.latency, 13406.8 + 20480.0 / 8.0 / 10.1, "exchanges of one row");
    near(c.finishing, 11.0 * (528.0 + 6.0), "finishing of one row, by eight threads");
    // When all multiprocessors stream, slabs of 8 warps come as fast as the cache gives them, but for the two that each
    // warp has asked for ahead, which may have come meanwhile: of eight in each of the blocks' eight layers.
    const Plan streamed{Kernel::kCluster, 8, 4, 256, 0, 0, 0, Placement::kShared, 132, 0, 0};
    c = zprl::cuda::cost_of(shape_b(Precision::kBfloat16), streamed, 264, zprl::cuda::h200(), 33);
    const double slab = 8.0 * 2048.0 / (2778.0 / 132.0) / 1980.0;
    require(c.products > 10.0 * 8.0 * 6.0 * slab && c.products < 10.0 * (8.0 + 2.0) * 8.0 * slab, "streamed slabs");
}

// Kept plans are those that are made, by everything that they depend on, from several threads at once.
void check_cache() {
    zprl::cuda::PlanCache cache;
    const Device device = h200_of({18, 18, 18, 16, 16, 16, 16, 14});
    const DevicePolicy policies[] = {shape_a(Precision::kBfloat16), shape_a(Precision::kTf32),
                                     shape_b(Precision::kBfloat16)};
    std::atomic<int> made{0}, mixed_up{0};
    const auto use = [&] {
        for (int round = 0; round < 50; ++round) {
            for (const DevicePolicy& policy : policies) {
                for (const int64_t rows : {1, 64, 8192}) {
                    for (const KernelChoice choice : {KernelChoice::kAny, KernelChoice::kMmaTiles}) {
                        const auto make = [&] {
                            ++made;
                            return plan_on(device, policy, rows, choice);
                        };
                        const Plan kept = cache.get(policy, rows, 0, choice, make);
                        if (round > 0) continue;
                        const Plan again = plan_on(device, policy, rows, choice);
                        mixed_up += zprl::cuda::describe(kept) != zprl::cuda::describe(again);
                    }
                }
            }
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(use);
    for (std::thread& thread : threads) thread.join();
    require(mixed_up == 0, "another plan than the one that was made");
    require(cache.size() == 18 && made >= 18 && made <= 4 * 18, "plans are made again");
    bool asked = false;
    cache.get(policies[0], 1, 1, KernelChoice::kAny, [&] { return asked = true, plan_on(device, policies[0], 1); });
    require(asked, "another device gets the same plan");
    for (int64_t rows = 1; rows <= 5000; ++rows)
        cache.get(policies[0], rows, 0, KernelChoice::kAny, [] { return Plan{}; });
    require(cache.size() <= zprl::cuda::PlanCache::kMost, "the cache grows without end");

    const auto measure = [&](const char* what, int count, const auto& call) {
        timespec begin, end;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
        for (int i = 0; i < count; ++i) call();
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        std::printf("cuda_check: %s takes %.2f us of this processor\n", what,
                    ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) * 1e-3 / count);
    };
    measure("making a plan", 100, [&] { plan_on(device, policies[0], 8192); });
    measure("a kept plan", 10000, [&] { cache.get(policies[0], 4999, 0, KernelChoice::kAny, [] { return Plan{}; }); });
}

void check_plans() {
    check_grid();
    check_splits();
    check_choices();
    check_costs();
    check_cache();
}

}  // namespace
}  // namespace core_check
