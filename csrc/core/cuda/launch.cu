// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Kernels and their launch. Nothing here synchronises, allocates on the device, or asks the driver for anything that a
// stream under capture does not allow.

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <tuple>

#include "cluster_step.cuh"
#include "cost_model.h"
#include "memory.h"
#include "narrow_tile_step.cuh"
#include "plan_cache.h"
#include "policy_step.h"
#include "tile_step.cuh"
#include "wgmma_tile_step.cuh"

namespace zprl {
namespace cuda {
namespace {

// Threads of a kernel's block, or one if the architecture that is being compiled for lacks what the kernel needs and
// the kernel is empty: so that the host can tell (has_code()).
#if __CUDA_ARCH__ >= 900
#define ZPRL_CLUSTER_THREADS kThreads
#define ZPRL_PRODUCER_THREADS (kThreads + kProducerWarp)
#else
#define ZPRL_CLUSTER_THREADS 1
#define ZPRL_PRODUCER_THREADS 1
#endif
#if ZPRL_HAS_WGMMA
#define ZPRL_WGMMA_THREADS (kThreads + kProducerWarpgroup)
#else
#define ZPRL_WGMMA_THREADS 1
#endif

template <typename Unit, int kTilesM>
__global__ void __launch_bounds__(kThreads, 1)
    tile_kernel(const __grid_constant__ KernelArguments arguments, int cluster_size) {
    run_tile<Unit, TileEngine<CopyRing<Unit>, kTilesM>>(arguments, cluster_size);
}

template <typename Unit, int kTilesM>
__global__ void __launch_bounds__(ZPRL_PRODUCER_THREADS, 1)
    multicast_tile_kernel(const __grid_constant__ KernelArguments arguments, int cluster_size) {
#if __CUDA_ARCH__ >= 900
    run_tile<Unit, TileEngine<ProducerRing<Unit, false>, kTilesM>>(arguments, cluster_size);
#endif
}

template <typename Unit>
__global__ void __launch_bounds__(kThreads, 1)
    narrow_tile_kernel(const __grid_constant__ KernelArguments arguments, int cluster_size) {
    run_tile<Unit, NarrowTileEngine<CopyRing<Unit>>>(arguments, cluster_size);
}

template <typename Unit>
__global__ void __launch_bounds__(ZPRL_PRODUCER_THREADS, 1)
    narrow_multicast_tile_kernel(const __grid_constant__ KernelArguments arguments, int cluster_size) {
#if __CUDA_ARCH__ >= 900
    run_tile<Unit, NarrowTileEngine<ProducerRing<Unit, false>>>(arguments, cluster_size);
#endif
}

template <typename Unit, Placement kPlacement>
__global__ void __launch_bounds__(ZPRL_WGMMA_THREADS, 1)
    wgmma_tile_kernel(const __grid_constant__ KernelArguments arguments, int cluster_size) {
#if ZPRL_HAS_WGMMA
    run_wgmma_tile<Unit, kPlacement>(arguments, cluster_size);
#endif
}

template <typename Unit>
__global__ void __launch_bounds__(ZPRL_CLUSTER_THREADS, 1)
    cluster_kernel(const __grid_constant__ KernelArguments arguments, int cluster_size) {
#if __CUDA_ARCH__ >= 900
    run_cluster<Unit>(arguments, cluster_size);
#endif
}

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // or the next call would report it again
    throw std::runtime_error(std::string("zprl: ") + what + " failed: " + cudaGetErrorString(error) + " (" +
                             cudaGetErrorName(error) + ").");
}

enum class Clusters { kNever, kAlways, kMaybe };

struct KernelEntry {
    Precision precision;
    Kernel kernel;
    int tile_rows;
    Clusters clusters;
    const void* function;
    const char* name;
    Placement placement = Placement::kShared;  // of those on wgmma
};

const void* address_of(void (*function)(KernelArguments, int)) { return reinterpret_cast<const void*>(function); }

template <typename Unit, Placement kPlacement>
KernelEntry wgmma_entry(Precision precision, const char* name) {
    return {
        precision, Kernel::kWgmmaTile, kWgmmaRows, Clusters::kMaybe, address_of(&wgmma_tile_kernel<Unit, kPlacement>),
        name,      kPlacement};
}

// Every kernel there is; plan() asks for no other.
const KernelEntry kKernels[] = {
    {Precision::kFloat32, Kernel::kTile, kNarrowRows, Clusters::kNever, address_of(&narrow_tile_kernel<Fp32Unit>),
     "tile, float32, 8 rows"},
    {Precision::kFloat32, Kernel::kTile, kNarrowRows, Clusters::kAlways,
     address_of(&narrow_multicast_tile_kernel<Fp32Unit>), "tile with shared weights, float32, 8 rows"},
    {Precision::kFloat32, Kernel::kTile, 16, Clusters::kNever, address_of(&tile_kernel<Fp32Unit, 1>),
     "tile, float32, 16 rows"},
    {Precision::kFloat32, Kernel::kTile, 16, Clusters::kAlways, address_of(&multicast_tile_kernel<Fp32Unit, 1>),
     "tile with shared weights, float32, 16 rows"},
    {Precision::kFloat32, Kernel::kTile, 32, Clusters::kNever, address_of(&tile_kernel<Fp32Unit, 2>),
     "tile, float32, 32 rows"},
    {Precision::kFloat32, Kernel::kTile, 32, Clusters::kAlways, address_of(&multicast_tile_kernel<Fp32Unit, 2>),
     "tile with shared weights, float32, 32 rows"},
    {Precision::kFloat32, Kernel::kCluster, kClusterRows, Clusters::kAlways, address_of(&cluster_kernel<Fp32Unit>),
     "cluster, float32"},
    {Precision::kTf32, Kernel::kTile, kNarrowRows, Clusters::kNever, address_of(&narrow_tile_kernel<Tf32Unit>),
     "tile, tf32, 8 rows"},
    {Precision::kTf32, Kernel::kTile, kNarrowRows, Clusters::kAlways,
     address_of(&narrow_multicast_tile_kernel<Tf32Unit>), "tile with shared weights, tf32, 8 rows"},
    {Precision::kTf32, Kernel::kTile, 16, Clusters::kNever, address_of(&tile_kernel<Tf32Unit, 1>),
     "tile, tf32, 16 rows"},
    {Precision::kTf32, Kernel::kTile, 16, Clusters::kAlways, address_of(&multicast_tile_kernel<Tf32Unit, 1>),
     "tile with shared weights, tf32, 16 rows"},
    {Precision::kTf32, Kernel::kTile, 32, Clusters::kNever, address_of(&tile_kernel<Tf32Unit, 2>),
     "tile, tf32, 32 rows"},
    {Precision::kTf32, Kernel::kTile, 32, Clusters::kAlways, address_of(&multicast_tile_kernel<Tf32Unit, 2>),
     "tile with shared weights, tf32, 32 rows"},
    wgmma_entry<Tf32Unit, Placement::kShared>(Precision::kTf32, "tile on wgmma, tf32, 64 rows, all in shared memory"),
    wgmma_entry<Tf32Unit, Placement::kModulation>(Precision::kTf32,
                                                  "tile on wgmma, tf32, 64 rows, modulation in the workspace"),
    wgmma_entry<Tf32Unit, Placement::kOnce>(Precision::kTf32,
                                            "tile on wgmma, tf32, 64 rows, operands in shared memory"),
    wgmma_entry<Tf32Unit, Placement::kStream>(
        Precision::kTf32, "tile on wgmma, tf32, 64 rows, one operand and the stream in shared memory"),
    wgmma_entry<Tf32Unit, Placement::kOneOperand>(Precision::kTf32,
                                                  "tile on wgmma, tf32, 64 rows, one operand in shared memory"),
    {Precision::kTf32, Kernel::kCluster, kClusterRows, Clusters::kAlways, address_of(&cluster_kernel<Tf32Unit>),
     "cluster, tf32"},
    {Precision::kBfloat16, Kernel::kTile, kNarrowRows, Clusters::kNever, address_of(&narrow_tile_kernel<Bf16Unit>),
     "tile, bfloat16, 8 rows"},
    {Precision::kBfloat16, Kernel::kTile, kNarrowRows, Clusters::kAlways,
     address_of(&narrow_multicast_tile_kernel<Bf16Unit>), "tile with shared weights, bfloat16, 8 rows"},
    {Precision::kBfloat16, Kernel::kTile, 16, Clusters::kNever, address_of(&tile_kernel<Bf16Unit, 1>),
     "tile, bfloat16, 16 rows"},
    {Precision::kBfloat16, Kernel::kTile, 16, Clusters::kAlways, address_of(&multicast_tile_kernel<Bf16Unit, 1>),
     "tile with shared weights, bfloat16, 16 rows"},
    {Precision::kBfloat16, Kernel::kTile, 32, Clusters::kNever, address_of(&tile_kernel<Bf16Unit, 2>),
     "tile, bfloat16, 32 rows"},
    {Precision::kBfloat16, Kernel::kTile, 32, Clusters::kAlways, address_of(&multicast_tile_kernel<Bf16Unit, 2>),
     "tile with shared weights, bfloat16, 32 rows"},
    {Precision::kBfloat16, Kernel::kTile, 64, Clusters::kNever, address_of(&tile_kernel<Bf16Unit, 4>),
     "tile, bfloat16, 64 rows"},
    {Precision::kBfloat16, Kernel::kTile, 64, Clusters::kAlways, address_of(&multicast_tile_kernel<Bf16Unit, 4>),
     "tile with shared weights, bfloat16, 64 rows"},
    wgmma_entry<Bf16Unit, Placement::kShared>(Precision::kBfloat16,
                                              "tile on wgmma, bfloat16, 64 rows, all in shared memory"),
    wgmma_entry<Bf16Unit, Placement::kModulation>(Precision::kBfloat16,
                                                  "tile on wgmma, bfloat16, 64 rows, modulation in the workspace"),
    wgmma_entry<Bf16Unit, Placement::kOnce>(Precision::kBfloat16,
                                            "tile on wgmma, bfloat16, 64 rows, operands in shared memory"),
    wgmma_entry<Bf16Unit, Placement::kStream>(
        Precision::kBfloat16, "tile on wgmma, bfloat16, 64 rows, one operand and the stream in shared memory"),
    wgmma_entry<Bf16Unit, Placement::kOneOperand>(Precision::kBfloat16,
                                                  "tile on wgmma, bfloat16, 64 rows, one operand in shared memory"),
    {Precision::kBfloat16, Kernel::kCluster, kClusterRows, Clusters::kAlways, address_of(&cluster_kernel<Bf16Unit>),
     "cluster, bfloat16"},
};

const void* function_of(Precision precision, const Plan& plan) {
    for (const KernelEntry& entry : kKernels) {
        const int tile_rows = plan.kernel == Kernel::kCluster ? kClusterRows : plan.tile_rows;  // of them, or fewer
        if (entry.precision == precision && entry.kernel == plan.kernel && entry.tile_rows == tile_rows &&
            entry.clusters != (plan.cluster_size > 1 ? Clusters::kNever : Clusters::kAlways) &&
            (plan.kernel != Kernel::kWgmmaTile || entry.placement == plan.placement)) {
            return entry.function;
        }
    }
    throw std::runtime_error("zprl: there is no kernel for this plan: " + describe(plan) + ".");
}

constexpr int kMaxDevices = 64;

int current_device() {
    int device = 0;
    check(cudaGetDevice(&device), "asking for the current CUDA device");
    if (device >= kMaxDevices) throw std::runtime_error("zprl: at most 64 GPUs are supported.");
    return device;
}

// Whether the code that was loaded for the current device is more than an empty kernel. Code for an older GPU, which
// the driver has translated for this one, lacks clusters; only code for sm_90a has wgmma.
bool has_code(const KernelEntry& entry) {
    cudaFuncAttributes attributes{};
    check(cudaFuncGetAttributes(&attributes, entry.function), "loading the kernels");
    return attributes.maxThreadsPerBlock >= kThreads;
}

// Allow every kernel all shared memory that a block may have, and clusters of 16: once per device, since it is a
// setting of the loaded kernel. Returns the device's properties.
DeviceProperties prepare(int device) {
    const auto attribute = [&](cudaDeviceAttr which) {
        int value = 0;
        check(cudaDeviceGetAttribute(&value, which, device), "asking for a property of the GPU");
        return value;
    };
    DeviceProperties properties{attribute(cudaDevAttrComputeCapabilityMajor),
                                attribute(cudaDevAttrComputeCapabilityMinor),
                                attribute(cudaDevAttrMultiProcessorCount),
                                attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
                                1,
                                false};
    if (properties.major < 8) return properties;  // has no kernels; plan() says so
    const bool clusters = properties.major >= 9 && attribute(cudaDevAttrClusterLaunch) != 0;
    int max_cluster_size = 16;
    for (const KernelEntry& entry : kKernels) {
        if (entry.clusters != Clusters::kNever && (!clusters || !has_code(entry))) continue;
        check(cudaFuncSetAttribute(entry.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   properties.shared_memory_per_block_optin),
              "allowing a kernel its shared memory");
        if (entry.clusters == Clusters::kNever) continue;
        if (cudaFuncSetAttribute(entry.function, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) != cudaSuccess) {
            cudaGetLastError();
            max_cluster_size = 8;
        }
        properties.max_cluster_size = max_cluster_size;
        properties.wgmma = properties.wgmma || entry.kernel == Kernel::kWgmmaTile;
    }
    return properties;
}

struct DeviceState {
    std::once_flag prepared;
    DeviceProperties properties{};
};

DeviceState& state_of(int device) {
    static DeviceState states[kMaxDevices];
    DeviceState& state = states[device];
    std::call_once(state.prepared, [&] { state.properties = prepare(device); });
    return state;
}

// A launch with its cluster, which must outlive the configuration.
struct Launch {
    cudaLaunchConfig_t config{};
    cudaLaunchAttribute attribute{};
};

void configure(const Plan& plan, cudaStream_t stream, Launch* launch) {
    launch->config.gridDim = dim3(static_cast<unsigned>(plan.blocks));
    launch->config.blockDim = dim3(plan.threads);
    launch->config.dynamicSmemBytes = static_cast<size_t>(plan.shared_bytes);
    launch->config.stream = stream;
    if (plan.cluster_size > 1) {
        launch->attribute.id = cudaLaunchAttributeClusterDimension;
        launch->attribute.val.clusterDim.x = plan.cluster_size;
        launch->attribute.val.clusterDim.y = launch->attribute.val.clusterDim.z = 1;
        launch->config.attrs = &launch->attribute;
        launch->config.numAttrs = 1;
    }
}

void say_refused(int cluster_size) {
    static std::once_flag said[17];
    std::call_once(said[cluster_size], [&] {
        std::fprintf(stderr,
                     "zprl: this GPU refuses clusters of %d blocks, with which the policy step could be faster.\n",
                     cluster_size);
    });
}

// How many clusters of the plan the GPU runs at once, 0 if it refuses them, whatever its properties say. An answer is
// kept: the question takes longer than a launch.
int64_t active_clusters(int device, Precision precision, const Plan& plan) {
    static std::mutex mutex;
    static std::map<std::tuple<int, const void*, int, int64_t>, int> answers;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto [answer, is_new] =
        answers.try_emplace({device, function_of(precision, plan), plan.cluster_size, plan.shared_bytes}, 0);
    if (!is_new) return answer->second;
    Launch launch;
    configure(plan, nullptr, &launch);
    if (cudaOccupancyMaxActiveClusters(&answer->second, function_of(precision, plan), &launch.config) != cudaSuccess) {
        cudaGetLastError();
        answer->second = 0;
    }
    if (answer->second == 0) say_refused(plan.cluster_size);
    return answer->second;
}

void launch(const DevicePolicy& policy, const Plan& plan, Call call, void* stream) {
    if (call.rows == 0) return;
    if (plan.blocks > INT32_MAX) throw std::runtime_error("zprl: the batch is too large for one launch.");
    if (plan.workspace_bytes > 0 && call.workspace == nullptr) {
        throw std::runtime_error("zprl: the workspace is missing: " + std::to_string(plan.workspace_bytes) +
                                 " bytes are needed.");
    }
    KernelArguments arguments{policy, lay_out_memory(policy, plan), call};
    Launch launch;
    configure(plan, static_cast<cudaStream_t>(stream), &launch);
    int cluster_size = plan.cluster_size;
    void* parameters[] = {&arguments, &cluster_size};
    check(cudaLaunchKernelExC(&launch.config, function_of(policy.precision, plan), parameters),
          "the launch of the policy step");
}

void launch_from_condition(Operation operation, const DevicePolicy& policy, const Plan& plan, const void* blob,
                           const float* condition, const float* noise, int64_t rows, float* chunk, void* workspace,
                           void* stream) {
    Call call{};
    call.operation = operation;
    call.blob = static_cast<const char*>(blob);
    call.condition = condition;
    call.noise = noise;
    call.chunk = chunk;
    call.workspace = static_cast<char*>(workspace);
    call.rows = rows;
    launch(policy, plan, call, stream);
}

KernelChoice current_choice() {
    const char* const kernels = std::getenv("ZPRL_CUDA_KERNEL");
    return parse_choice(kernels == nullptr ? "" : kernels);
}

}  // namespace

DeviceProperties device_properties() { return state_of(current_device()).properties; }

std::vector<Candidate> current_candidates(const DevicePolicy& policy, int64_t rows) {
    const int device = current_device();
    return candidates(policy, rows, state_of(device).properties, current_choice(),
                      [&](const Plan& candidate) { return active_clusters(device, policy.precision, candidate); });
}

Plan current_plan(const DevicePolicy& policy, int64_t rows) {
    static PlanCache cache;
    const KernelChoice choice = current_choice();
    const int device = current_device();
    return cache.get(policy, rows, device, choice, [&] {
        return plan(policy, rows, state_of(device).properties, choice,
                    [&](const Plan& candidate) { return active_clusters(device, policy.precision, candidate); });
    });
}

void policy_step(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* obs,
                 const float* residual, const float* noise, const uint64_t* latent_seed, int64_t rows, float* chunk,
                 void* workspace, void* stream) {
    Call call{};
    call.operation = Operation::kStep;
    call.blob = static_cast<const char*>(blob);
    call.obs = obs;
    call.residual = residual;
    call.noise = noise;
    call.latent_seed = latent_seed;
    call.chunk = chunk;
    call.workspace = static_cast<char*>(workspace);
    call.rows = rows;
    launch(policy, plan, call, stream);
}

void encode(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* obs, int64_t rows, float* mean,
            float* logvar, void* workspace, void* stream) {
    Call call{};
    call.operation = Operation::kEncode;
    call.blob = static_cast<const char*>(blob);
    call.obs = obs;
    call.mean = mean;
    call.logvar = logvar;
    call.workspace = static_cast<char*>(workspace);
    call.rows = rows;
    launch(policy, plan, call, stream);
}

void act(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* latent, const float* noise,
         int64_t rows, float* chunk, void* workspace, void* stream) {
    Call call{};
    call.operation = Operation::kAct;
    call.blob = static_cast<const char*>(blob);
    call.latent = latent;
    call.noise = noise;
    call.chunk = chunk;
    call.workspace = static_cast<char*>(workspace);
    call.rows = rows;
    launch(policy, plan, call, stream);
}

void act_from_condition(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* condition,
                        const float* noise, int64_t rows, float* chunk, void* workspace, void* stream) {
    launch_from_condition(Operation::kActFromCondition, policy, plan, blob, condition, noise, rows, chunk, workspace,
                          stream);
}

void integrate(const DevicePolicy& policy, const Plan& plan, const void* blob, const float* condition,
               const float* noise, int64_t rows, float* chunk, void* workspace, void* stream) {
    launch_from_condition(Operation::kIntegrate, policy, plan, blob, condition, noise, rows, chunk, workspace, stream);
}

std::vector<KernelResources> kernel_resources() {
    std::vector<KernelResources> result;
    for (const KernelEntry& entry : kKernels) {
        cudaFuncAttributes attributes{};
        check(cudaFuncGetAttributes(&attributes, entry.function), "asking for a kernel's resources");
        result.push_back({entry.name, attributes.numRegs, static_cast<int64_t>(attributes.localSizeBytes),
                          static_cast<int64_t>(attributes.sharedSizeBytes), attributes.binaryVersion});
    }
    return result;
}

}  // namespace cuda
}  // namespace zprl
