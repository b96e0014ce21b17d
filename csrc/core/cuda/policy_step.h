// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step on an NVIDIA GPU, in one launch. No torch, no Python, no CUDA header: raw pointers, row-major
// float32, caller-owned memory, streams as void*.
//
//   layout.h             packed weights and the header in front of them
//   pack.cpp             from a policy blob of the CPU (policy_blob.h) to the GPU's; parse_header()
//   plan.cpp             which kernel a batch gets, and how it is cut
//   plan_cache.h         plans that are made once
//   cost_model.h         what a plan is expected to take, by which plans are chosen
//   memory.h             where a block keeps what
//   device.cuh           what the kernels ask of the hardware: PTX, or the host's emulation of it in tests
//   wgmma.cuh            the same for what only Hopper has
//   unit.cuh             products of operand tiles: mma.sync with bf16 or tf32 operands, or float32's, split in two
//   arguments.cuh        what a kernel is told
//   activation.cuh       activations of layers
//   step.cuh             the step, which all kernels run
//   layer_norm.cuh       layer norms: of tiles (tile_norm.cuh) and of clusters (cluster_norm.cuh)
//   tile_step.cuh        throughput: a block takes its rows through the whole step, weights stream by
//   narrow_tile_step.cuh the same for tiles of 8 rows, of which a batch has twice as many as of 16
//   wgmma_tile_step.cuh  the same with Hopper's matrix units, for tiles of 64 rows
//   weight_ring.cuh      how they stream: cp.async
//   producer_ring.cuh    the same on Hopper: bulk copies by a warp of its own, for all blocks of a cluster at once
//   cluster_step.cuh     latency: a cluster of blocks holds the weights of the velocity field, rows stream by
//   launch.cu            choice and launch
//
// Packing, planning and the cost model are plain C++ and need neither a GPU nor CUDA's libraries. The rest works on the
// current device and returns after the launch: nothing allocates or synchronises, so that a CUDA graph can capture it
// (after a first call outside of the capture, which loads the kernels and asks the GPU about clusters).
// Rows are independent, to the last bit, of the other rows of a batch and of their place in it, as long as the plan is
// the same.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "../policy_blob.h"

namespace zprl {
namespace cuda {

// Of the operands of modulation and velocity field. Sums, the residual stream, the integration's state, and all of
// embedding, encoder, actor and decoder are float32 in every case.
enum class Precision : int32_t { kFloat32 = 0, kTf32 = 1, kBfloat16 = 2 };

// "float32", "tf32", "bfloat16"; parse_precision() throws std::invalid_argument for any other name.
const char* name(Precision precision);
Precision parse_precision(const std::string& name);

// Where a layer lies in the blob. Offsets are bytes from the blob's start.
struct DeviceLayer {
    uint32_t weight, bias;
    int32_t in, out;  // not padded
};

// A packed policy as its header describes it: all that planning and launching need, without the weights. Kernels get it
// by value.
struct DevicePolicy {
    Precision precision;
    int32_t parts;  // a bit mask of Part, as the CPU's; layers and offsets of parts that are not there are zero
    int32_t obs_dim, action_dim, horizon, embed_dim, latent_dim;
    int32_t num_steps, hidden_dim, num_blocks, time_rows;
    Solver solver;

    // Embedding, encoder, actor and decoder, one after the other. Those that are not there have no layers.
    DeviceLayer once[4 * (kMaxHiddenLayers + 1)];
    int32_t num_embedding, num_encoder, num_actor, num_decoder;  // layers
    Activation actor_activation;
    ActorOutput actor_output;
    uint32_t actor_mean, actor_divisor, residual_scale;

    DeviceLayer modulation, input, output, first_block_layer;
    uint32_t block_layer_bytes;  // from a block's layer to the next one
    uint32_t obs_mean, obs_std, time_table, action_mean, action_std, action_low, action_high;
    uint64_t bytes;

    ZPRL_ALWAYS_INLINE constexpr int chunk_dim() const { return horizon * action_dim; }
};

// -- packing, on the CPU

// Size of the GPU's blob, and its writer. The policy's blob is float32, or bf16 for Precision::kBfloat16. A blob's
// pointer, on the host and on the device, is a multiple of 16. Throws std::invalid_argument with one sentence if the
// policy cannot be packed: bf16 weights for another precision, or more than 2 GiB.
size_t packed_bytes(const Policy& policy, Precision precision);
void pack(const Policy& policy, Precision precision, void* blob);

// What parse_header() would read of that blob.
DevicePolicy device_policy(const Policy& policy, Precision precision);

// Check a packed blob's first kHeaderInts numbers, in host memory, against its length. Throws std::invalid_argument
// with one sentence if they do not describe a whole blob.
DevicePolicy parse_header(const int32_t* header, size_t blob_bytes);

// -- planning, on the CPU

struct DeviceProperties {
    int major, minor;  // compute capability
    int multiprocessors;
    int shared_memory_per_block_optin;  // [bytes]
    int max_cluster_size;               // 1 without clusters; 16 if more than the portable 8 can be launched
    bool wgmma;                         // Hopper, and a library that was built for it
};

struct Plan;

// How many clusters of a plan (single blocks, if its clusters have one) run at once on a device: what
// cudaOccupancyMaxActiveClusters() says. 0 if the device refuses them.
using ActiveClusters = std::function<int64_t(const Plan&)>;

// That of a device whose multiprocessors are split like this over its processing clusters (GPCs), which a cluster of
// blocks does not leave, with one block to a multiprocessor.
ActiveClusters split_over(std::vector<int> multiprocessors);

enum class Kernel : int32_t { kTile = 0, kWgmmaTile = 1, kCluster = 2 };

// Kernels that a plan may use: any; only tiles; only tiles without wgmma; or only tiles with it, on
// devices that have it and for operands that it takes.
enum class KernelChoice : int32_t { kAny = 0, kTiles = 1, kMmaTiles = 2, kWgmmaTiles = 3 };

// Where the tile kernel keeps what its rows need besides operands.
enum class Placement : int32_t {
    kShared = 0,      // all in shared memory
    kModulation = 1,  // the modulation in the workspace
    kWorkspace = 2,   // modulation, residual stream and state in the workspace; not on wgmma
    kOnce = 3,        // what the layers that run once put out as well, from where it is copied back
    // On wgmma, for layers of up to 512 outputs: as kOnce, but a layer's operand takes the place of the
    // one before it, which leaves room for the residual stream in shared memory; or for operands alone, where it does
    // not.
    kStream = 4,
    kOneOperand = 5,
};

struct Plan {
    Kernel kernel;
    int tile_rows;     // rows of a block, or of a cluster, at most
    int cluster_size;  // blocks
    int threads;       // of a block
    int stages;        // tile: of the ring that weights stream through
    int tile_outputs;  // tile: a layer's outputs that are worked on at once: 64, 128 or 256
    int resident;      // cluster: layers of the velocity field whose weights stay in shared memory
    Placement placement;
    int64_t blocks;           // of the grid
    int64_t shared_bytes;     // dynamic shared memory of a block
    int64_t workspace_bytes;  // of the whole grid
};

// The plan of a batch, the fastest by the cost model (cost_model.h) of those that the device can run: a pure function
// of its arguments. Throws std::invalid_argument with one sentence if there is none: for a compute capability
// below 8.0, layers too wide for its shared memory, or a choice that this policy leaves no kernel.
Plan plan(const DevicePolicy& policy, int64_t rows, const DeviceProperties& device, KernelChoice choice,
          const ActiveClusters& active_clusters);

// What ZPRL_CUDA_KERNEL says: "tile" for tiles alone, "mma" and "wgmma" for those without and with wgmma; "cluster", or
// nothing, is the rule. Throws std::invalid_argument with one sentence for anything else.
KernelChoice parse_choice(const std::string& kernels);

// For people: "tile: 128 blocks of 64 rows, ..."
std::string describe(const Plan& plan);

// -- on the current device; these throw std::runtime_error with one sentence that holds CUDA's own

DeviceProperties device_properties();

// plan() for the current device, which is asked about clusters, with the choice of the environment variable
// ZPRL_CUDA_KERNEL. Plans are kept: only the first call for a policy's shape and a number of rows takes longer.
Plan current_plan(const DevicePolicy& policy, int64_t rows);

// The functions below follow a plan that current_plan() made for this policy, this many rows and the current device.
// `workspace` is scratch memory on the device, plan.workspace_bytes long (often 0) and aligned to 16 bytes.

// As zprl::policy_step(), with all pointers on the device. `blob` is a copy of what pack() wrote, `header` of which
// parse_header() read; `stream` a cudaStream_t.
void policy_step(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* obs,
                 const float* residual, const float* noise, const uint64_t* latent_seed, int64_t rows, float* chunk,
                 void* workspace, void* stream);

// As zprl::encode(): latent mean and log-variance, which may be null.
void encode(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* obs, int64_t rows, float* mean,
            float* logvar, void* workspace, void* stream);

// As zprl::act(), from given latents on, in single precision.
void act(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* latent, const float* noise,
         int64_t rows, float* chunk, void* workspace, void* stream);

// As zprl::act_from_condition().
void act_from_condition(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* condition,
                        const float* noise, int64_t rows, float* chunk, void* workspace, void* stream);

// As zprl::integrate(): conditions and noise (or null) to normalised chunks.
void integrate(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* condition,
               const float* noise, int64_t rows, float* chunk, void* workspace, void* stream);

// -- for the profiler

// What the compiler made of a kernel.
struct KernelResources {
    std::string name;
    int registers;          // of a thread
    int64_t local_bytes;    // of a thread: spilled registers and the like
    int64_t static_shared;  // [bytes]
    int binary_version;     // compute capability the code was made for: 10 * major + minor
};
std::vector<KernelResources> kernel_resources();

}  // namespace cuda
}  // namespace zprl
