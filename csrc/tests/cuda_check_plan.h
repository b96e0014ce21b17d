// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: the planner's promises over a grid of shapes and devices.

#pragma once

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
    const int64_t hidden = pad(s.hidden), chunk = pad(s.chunk());
    const int64_t once = pad(std::max({s.obs, s.embed, 2 * s.latent, s.vib_hidden[0]})) * 4 * rows;
    std::vector<Piece> early, late, workspace;
    const auto modulation = Piece{"the modulation", m.modulation, rows * (4 * hidden * element + 32)};
    const std::vector<Piece> rest = {{"the stream", m.stream, rows * (hidden + 8) * 4},
                                     {"the state", m.state, rows * (chunk + 8) * 4}};
    (plan.placement == Placement::kShared ? early : workspace).push_back(modulation);
    if (plan.placement == Placement::kShared) late.push_back(modulation);
    for (const Piece& piece : rest) (plan.placement == Placement::kWorkspace ? workspace : late).push_back(piece);
    if (s.solver != 0) {
        (plan.placement == Placement::kWorkspace ? workspace : late)
            .push_back({"the end", m.end, rows * (chunk + 8) * 4});
    }
    early.push_back({"a layer that runs once", m.once[0], once});
    early.push_back({"another layer that runs once", m.once[1], once});
    late.push_back({"the branch", m.branch, rows * hidden * element});
    late.push_back({"the inner operand", m.inner, rows * std::max(hidden, chunk) * element});
    for (auto* pieces : {&early, &late}) {
        if (plan.kernel != Kernel::kCluster) {
            pieces->push_back({"the barriers", m.barrier, 64});
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
    require(plan.threads == 256 && plan.blocks % plan.cluster_size == 0, "an odd number of threads or blocks");
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
        require(plan.blocks <= device.multiprocessors, "clusters that do not run at once");
        require(plan.resident >= 0 && plan.resident <= 2 * s.blocks + 2, "more layers than there are");
    } else {
        const bool wgmma = plan.kernel == Kernel::kWgmmaTile;
        const bool exists = plan.tile_rows == 16 || plan.tile_rows == 32 ||
                            (plan.tile_rows == 64 && (wgmma || policy.precision == Precision::kBfloat16));
        require(exists, "a tile that no kernel has");
        require(wgmma == (plan.tile_rows == 64 && device.wgmma), "wgmma where it is not, or not where it is");
        require(!wgmma || policy.precision != Precision::kFloat32, "wgmma for float32");
        require(plan.cluster_size == 1 ||
                    ((plan.cluster_size == 2 || plan.cluster_size == 4) && device.major >= 9 &&
                     plan.cluster_size <= device.max_cluster_size && policy.precision != Precision::kFloat32),
                "weights shared where they cannot be");
        require(plan.stages >= (plan.cluster_size > 1 || wgmma ? 3 : 2) && plan.stages <= 4 &&
                    (plan.tile_outputs == 64 || plan.tile_outputs == 128 || plan.tile_outputs == 256),
                "a ring that the kernel cannot run");
    }
    require(!zprl::cuda::describe(plan).empty(), "no description");
    check_memory(s, policy, plan);
}

void check_plans() {
    const DeviceProperties devices[] = {{8, 0, 108, 166912, 1, false},   {8, 6, 84, 101376, 1, false},
                                        {8, 9, 128, 101376, 1, false},   {9, 0, 132, 232448, 16, true},
                                        {9, 0, 132, 232448, 8, true},    {9, 0, 78, 232448, 1, true},
                                        {10, 0, 148, 232448, 16, false}, {12, 0, 170, 101376, 8, false}};
    int plans = 0, refused = 0, clusters = 0, in_workspace = 0, wgmma = 0, wgmma_tf32 = 0;
    for (const int hidden : {32, 40, 64, 96, 256, 512, 1024, 2048, 4096}) {
        for (const int blocks : {1, 3, 8}) {
            for (const int chunk : {1, 64, 224, 1000}) {
                for (const Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16}) {
                    const Shape s = shape_of(hidden, blocks, chunk % 4, 10, 1, chunk, 40, std::min(hidden, 512), 16, {},
                                             {std::min(hidden, 512)});
                    const DevicePolicy policy = device_policy(s, precision);
                    for (const DeviceProperties& device : devices) {
                        for (const int64_t rows : {1, 8, 9, 64, 129, 1024, 8193, 100000}) {
                            Plan plan;
                            try {
                                plan = zprl::cuda::plan(policy, rows, device);
                            } catch (const std::invalid_argument& error) {
                                require(std::strstr(error.what(), "too wide for this GPU") != nullptr, error.what());
                                // README's and the kernel's promise: these run everywhere.
                                require(hidden > 512 || chunk > 512, text("hidden %d is refused", hidden));
                                ++refused;
                                continue;
                            }
                            check_plan(s, policy, device, rows, plan);
                            ++plans;
                            clusters += plan.kernel == Kernel::kCluster;
                            wgmma += plan.kernel == Kernel::kWgmmaTile;
                            wgmma_tf32 += plan.kernel == Kernel::kWgmmaTile && precision == Precision::kTf32;
                            in_workspace += plan.placement != Placement::kShared;
                        }
                    }
                }
            }
        }
    }
    const Shape s = shape_of(256, 3, 0, 10, 8, 8, 40, 256, 32, {}, {256});
    const DevicePolicy a = device_policy(s, Precision::kBfloat16);
    require_refused("8.0 or more", [&] { zprl::cuda::plan(a, 1, {7, 5, 40, 65536, 1, false}); });
    const Plan one = zprl::cuda::plan(a, 1, devices[3]);
    require(one.kernel == Kernel::kCluster && one.resident == 8, "one row does not get a cluster with all its weights");
    const Plan many = zprl::cuda::plan(a, 8192, devices[3]);
    require(many.kernel == Kernel::kWgmmaTile && many.blocks <= 2 * 132, "8192 rows take more than two rounds");
    const Plan forced = zprl::cuda::plan(a, 8192, devices[3], zprl::cuda::KernelChoice::kMmaTiles);
    require(forced.kernel == Kernel::kTile && forced.cluster_size > 1,
            "mma.sync is not to be had, or shares no weights");
    const Plan on_wgmma = zprl::cuda::plan(a, 1, devices[3], zprl::cuda::KernelChoice::kWgmmaTiles);
    require(on_wgmma.kernel == Kernel::kWgmmaTile && on_wgmma.cluster_size == 1, "wgmma is not to be had");
    const Plan tile = zprl::cuda::plan(a, 65, devices[3], zprl::cuda::KernelChoice::kTiles);
    require(tile.kernel != Kernel::kCluster && tile.cluster_size > 1, "tiles alone share no weights");
    require(zprl::cuda::plan(a, 8192, devices[6]).kernel == Kernel::kTile, "wgmma on Blackwell");
    require(zprl::cuda::plan(a, 1, devices[5]).kernel == Kernel::kTile, "a cluster where there are none");
    require(clusters > 0 && in_workspace > 0 && refused > 0 && wgmma_tf32 > 0, "the grid misses a case");
    std::printf("cuda_check: one row: %s\n", zprl::cuda::describe(one).c_str());
    std::printf("cuda_check: 8192 rows: %s\n", zprl::cuda::describe(many).c_str());
    std::printf("cuda_check: %d plans keep their limits, %d of clusters, %d on wgmma; %d refused\n", plans, clusters,
                wgmma, refused);
}

}  // namespace
}  // namespace core_check
