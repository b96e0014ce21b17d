// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the policy step's CUDA kernels without a GPU: their own source, run on the CPU by cuda_emulation.h.
//
//   cuda_check plan       the planner's promises over a grid of shapes and devices
//   cuda_check pack       packed weights, read back at the places that layout.h names
//   cuda_check step       whole steps of odd shapes against a step in double precision
//
// Random policies, the reference and the calls are core_check.cpp's. Exit status 1 and one line on stderr if something
// is wrong.

// Its main() and what only that calls, the CPU's step, are of no use here: unused static functions vanish.
#define main static __attribute__((unused)) core_check_main
#include "core_check.cpp"
#undef main

#include "cuda/cluster_step.cuh"
#include "cuda/memory.h"
#include "cuda/policy_step.h"
#include "cuda/tile_step.cuh"

namespace {

using zprl::cuda::DevicePolicy;
using zprl::cuda::DeviceProperties;
using zprl::cuda::Kernel;
using zprl::cuda::KernelArguments;
using zprl::cuda::Placement;
using zprl::cuda::Plan;
using zprl::cuda::Precision;

constexpr double kMaxErrorTf32 = 5e-3, kMaxRmsErrorTf32 = 1e-3;

// 16-byte aligned bytes, as a tensor's on a GPU.
struct Blob {
    explicit Blob(size_t count) : storage(count / 16 + 1), bytes(count) {}
    char* data() { return reinterpret_cast<char*>(storage.data()); }
    const int32_t* header() const { return reinterpret_cast<const int32_t*>(storage.data()); }
    struct alignas(16) Piece {
        char bytes[16];
    };
    std::vector<Piece> storage;
    size_t bytes;
};

Blob pack_for_cuda(const std::vector<char>& cpu_blob, Precision precision) {
    const zprl::Policy policy = zprl::parse_policy(cpu_blob.data(), cpu_blob.size());
    Blob blob(zprl::cuda::packed_bytes(policy, precision));
    zprl::cuda::pack(policy, precision, blob.data());
    return blob;
}

// ---- Kernels
// ---------------------------------------------------------------------------------------------------------

template <typename Unit>
void run_kernel(const KernelArguments& arguments, const Plan& plan) {
    if (plan.kernel == Kernel::kCluster) return zprl::cuda::run_cluster<Unit>(arguments, plan.cluster_size);
    switch (plan.tile_rows) {
        case 16:
            return zprl::cuda::run_tile<Unit, 1>(arguments);
        case 32:
            return zprl::cuda::run_tile<Unit, 2>(arguments);
        default:
            return zprl::cuda::run_tile<Unit, 4>(arguments);
    }
}

// As core_check.cpp's run(), on the emulated GPU.
std::vector<float> run(Blob& blob, const Plan& plan, const Shape& s, const Batch& batch, Call call, uint64_t seed) {
    const DevicePolicy policy = zprl::cuda::parse_header(blob.header(), blob.bytes);
    Memory<float> obs(batch.obs, 0), residual(batch.residual, 0), noise(batch.noise, 0), condition(batch.condition, 0);
    Memory<uint64_t> seeds(batch.seeds, 0);
    Memory<float> chunk(call == Call::kEncode ? 0 : batch.rows * s.chunk(), 0);
    Memory<float> mean(call == Call::kEncode ? batch.rows * s.latent : 0, 0), logvar(mean.values().size(), 0);
    Memory<char> workspace(plan.workspace_bytes, 0);
    KernelArguments arguments{policy, zprl::cuda::lay_out_memory(policy, plan), {}};
    zprl::cuda::Call& c = arguments.call;
    c.operation = call == Call::kEncode                                       ? zprl::cuda::Operation::kEncode
                  : call == Call::kIntegrate || call == Call::kPlainIntegrate ? zprl::cuda::Operation::kIntegrate
                                                                              : zprl::cuda::Operation::kStep;
    c.blob = blob.data();
    c.rows = batch.rows;
    c.workspace = workspace.data();
    c.obs = obs.data();
    c.condition = condition.data();
    if (call == Call::kStep || call == Call::kSampledStep) c.residual = residual.data();
    if (call == Call::kStep || call == Call::kSampledStep || call == Call::kIntegrate) c.noise = noise.data();
    if (call == Call::kSampledStep) c.latent_seed = seeds.data();
    c.chunk = chunk.data();
    c.mean = mean.data();
    c.logvar = logvar.data();
    zprl::cuda::emulation::machine().run(plan.blocks, plan.cluster_size, plan.threads, plan.shared_bytes, seed, [&] {
        switch (policy.precision) {
            case Precision::kFloat32:
                return run_kernel<zprl::cuda::Fp32Unit>(arguments, plan);
            case Precision::kTf32:
                return run_kernel<zprl::cuda::Tf32Unit>(arguments, plan);
            default:
                return run_kernel<zprl::cuda::Bf16Unit>(arguments, plan);
        }
    });
    for (const Memory<float>* memory : {&obs, &residual, &noise, &condition, &chunk, &mean, &logvar}) {
        memory->require_guards("an array");
    }
    workspace.require_guards("the workspace");
    if (call != Call::kEncode) return chunk.values();
    std::vector<float> result;
    const std::vector<float> means = mean.values(), logvars = logvar.values();
    for (int64_t row = 0; row < batch.rows; ++row) {
        result.insert(result.end(), means.begin() + row * s.latent, means.begin() + (row + 1) * s.latent);
        result.insert(result.end(), logvars.begin() + row * s.latent, logvars.begin() + (row + 1) * s.latent);
    }
    return result;
}

// ---- Whole steps
// -----------------------------------------------------------------------------------------------------

struct Errors {
    double max = 0.0, rms = 0.0;
};

Errors errors_of(const Model& model, const Batch& batch, Call call, const std::vector<float>& result) {
    const Reference reference(model);
    const int width = width_of(call, model.shape);
    double squares = 0.0, error_squares = 0.0, max_error = 0.0;
    for (int64_t row = 0; row < batch.rows; ++row) {
        const Numbers expected = reference_row(reference, model.shape, batch, call, row);
        for (int i = 0; i < width; ++i) {
            const double error = static_cast<double>(result[row * width + i]) - expected[i];
            require(std::isfinite(error),
                    text("%s: row %d, number %d is not finite", name(call), static_cast<int>(row), i));
            squares += expected[i] * expected[i];
            error_squares += error * error;
            max_error = std::max(max_error, std::abs(error));
        }
    }
    const double count = static_cast<double>(result.size());
    const double rms = std::max(std::sqrt(squares / count), 0.5);
    return {max_error / rms, std::sqrt(error_squares / count) / rms};
}

struct Case {
    const char* name;
    Precision precision;
    Kernel kernel;
    int tile_rows, cluster_size;
    int64_t rows;
    Shape shape;
    Placement placement = Placement::kShared;
    int stages = 3, outputs = 256;
    int resident = 1 << 20;  // as many as there are
};

Plan plan_of(const Case& c, const DevicePolicy& policy) {
    const int resident = std::min(c.resident, 2 * policy.num_blocks + 2);
    Plan plan{c.kernel, c.tile_rows, c.cluster_size, zprl::cuda::kThreads, c.stages, c.outputs, resident, c.placement, 0, 0, 0};
    const zprl::cuda::Memory memory = zprl::cuda::lay_out_memory(policy, plan);
    plan.blocks = (c.rows + c.tile_rows - 1) / c.tile_rows * c.cluster_size;
    plan.shared_bytes = memory.shared_bytes;
    plan.workspace_bytes = memory.workspace_bytes * plan.blocks;
    return plan;
}

// The same case for fewer rows.
Plan plan_of(Case c, const DevicePolicy& policy, int64_t rows) {
    c.rows = rows;
    return plan_of(c, policy);
}

void check_case(const Case& c, Random& random, Errors* worst) {
    const Model model = random_model(c.shape, random);
    Blob blob = pack_for_cuda(pack(model), c.precision);
    const DevicePolicy policy = zprl::cuda::parse_header(blob.header(), blob.bytes);
    const Plan plan = plan_of(c, policy);
    const Batch batch = random_batch(c.shape, c.rows, random);
    for (const Call call : kCalls) {
        // One call in full, the others in turns, so that every case stays short.
        const bool thorough = call == Call::kSampledStep;
        const std::vector<float> result = run(blob, plan, c.shape, batch, call, random.bits() | 1);
        const Errors errors = errors_of(model, batch, call, result);
        worst->max = std::max(worst->max, errors.max);
        worst->rms = std::max(worst->rms, errors.rms);
        const bool exact = c.precision == Precision::kFloat32 || call == Call::kEncode;
        const bool tf32 = c.precision == Precision::kTf32;
        const double max_allowed = exact ? kMaxError : tf32 ? kMaxErrorTf32 : kMaxErrorBf16;
        const double rms_allowed = exact ? kMaxError : tf32 ? kMaxRmsErrorTf32 : kMaxRmsErrorBf16;
        require(errors.max <= max_allowed && errors.rms <= rms_allowed,
                text("%s: maximal error %.2e, rms error %.2e", name(call), errors.max, errors.rms));
        if (!thorough) continue;

        require(same_bits(run(blob, plan, c.shape, batch, call, 0).data(), result.data(), result.size()),
                "another order of threads gives other numbers");
        const int width = width_of(call, c.shape);
        if (c.rows > 1) {  // the last rows alone, so at other places of other blocks
            const int64_t first = c.rows / 2;
            const std::vector<float> part = run(blob, plan_of(c, policy, c.rows - first), c.shape,
                                                batch.part(c.shape, first, c.rows - first), call, random.bits() | 1);
            require(same_bits(part.data(), result.data() + first * width, part.size()),
                    "rows depend on their place in the batch");
        }
        // NaN in one row reaches all of this row, and no other.
        const int64_t row = static_cast<int64_t>(random.below(c.rows));
        Batch damaged = batch;
        damaged.obs[row * c.shape.obs + c.shape.obs / 2] = std::numeric_limits<float>::quiet_NaN();
        const std::vector<float> nan = run(blob, plan, c.shape, damaged, call, random.bits() | 1);
        for (size_t i = 0; i < nan.size(); ++i) {
            const bool own = static_cast<int64_t>(i) / width == row;
            require(own ? std::isnan(nan[i]) : same_bits(&nan[i], &result[i], 1),
                    text("NaN in row %d: number %d of row %d is %g", static_cast<int>(row), static_cast<int>(i % width),
                         static_cast<int>(i / width), static_cast<double>(nan[i])));
        }
    }
}

Shape shape_of(int hidden, int blocks, int solver, int steps, int action, int horizon, int obs, int embed, int latent,
               std::vector<int> embed_hidden, std::vector<int> vib_hidden) {
    Shape s;
    s.obs = obs;
    s.action = action;
    s.horizon = horizon;
    s.embed = embed;
    s.latent = latent;
    s.hidden = hidden;
    s.blocks = blocks;
    s.solver = solver;
    s.steps = steps;
    s.embed_hidden = std::move(embed_hidden);
    s.vib_hidden = std::move(vib_hidden);
    return s;
}

int check_steps(const char* only) {
    constexpr Precision kFp32 = Precision::kFloat32, kTf32 = Precision::kTf32, kBf16 = Precision::kBfloat16;
    constexpr Kernel kTile = Kernel::kTile, kCluster = Kernel::kCluster;
    const Shape small = shape_of(32, 1, 0, 3, 3, 4, 10, 32, 8, {}, {32});
    const Shape odd = shape_of(40, 2, 1, 1, 7, 3, 37, 24, 5, {48}, {40, 20});
    const Shape heun = shape_of(64, 2, 2, 1, 7, 8, 40, 64, 16, {}, {64});
    const Shape rk4 = shape_of(96, 1, 3, 1, 9, 8, 40, 70, 33, {130}, {64});
    const Shape rk4_twice = shape_of(64, 1, 3, 2, 1, 1, 1, 1, 1, {}, {});
    const Shape wide = shape_of(256, 1, 0, 1, 8, 8, 40, 256, 32, {}, {256});
    const Shape long_chunk = shape_of(32, 1, 0, 2, 14, 24, 20, 300, 150, {}, {});
    const Case cases[] = {
        {"tile fp32 16", kFp32, kTile, 16, 1, 9, small},
        {"tile fp32 32", kFp32, kTile, 32, 1, 33, odd, Placement::kModulation, 2},
        {"tile fp32 rk4", kFp32, kTile, 16, 1, 17, rk4, Placement::kWorkspace, 4, 64},
        {"tile fp32 heun", kFp32, kTile, 16, 1, 3, heun},
        {"tile fp32 rk4 twice", kFp32, kTile, 16, 1, 5, rk4_twice},
        {"tile fp32 long chunk", kFp32, kTile, 16, 1, 2, long_chunk},
        {"tile tf32 16", kTf32, kTile, 16, 1, 17, odd},
        {"tile tf32 32", kTf32, kTile, 32, 1, 7, heun, Placement::kWorkspace, 2},
        {"tile tf32 wide", kTf32, kTile, 16, 1, 2, wide},
        {"tile bf16 16", kBf16, kTile, 16, 1, 8, small, Placement::kShared, 2},
        {"tile bf16 32", kBf16, kTile, 32, 1, 33, odd, Placement::kModulation, 4},
        {"tile bf16 64", kBf16, kTile, 64, 1, 65, heun, Placement::kWorkspace, 3, 128},
        {"tile bf16 rk4", kBf16, kTile, 64, 1, 6, rk4},
        {"tile bf16 wide", kBf16, kTile, 16, 1, 3, wide},
        {"cluster fp32 2", kFp32, kCluster, 8, 2, 9, small},
        {"cluster fp32 4", kFp32, kCluster, 8, 4, 3, odd, Placement::kShared, 0, 0, 2},
        {"cluster fp32 rk4", kFp32, kCluster, 8, 4, 17, rk4, Placement::kShared, 0, 0, 0},
        {"cluster fp32 rk4 twice", kFp32, kCluster, 8, 2, 1, rk4_twice},
        {"cluster tf32 4", kTf32, kCluster, 8, 4, 7, heun},
        {"cluster tf32 long chunk", kTf32, kCluster, 8, 2, 4, long_chunk},
        {"cluster bf16 4", kBf16, kCluster, 8, 4, 8, odd},
        {"cluster bf16 8", kBf16, kCluster, 8, 8, 9, heun, Placement::kShared, 0, 0, 3},
        {"cluster bf16 wide", kBf16, kCluster, 8, 16, 2, wide},
        {"cluster bf16 16", kBf16, kCluster, 8, 16, 5, small},
    };
    int count = 0;
    for (const Case& each : cases) {
        if (only != nullptr && std::strstr(each.name, only) == nullptr) continue;
        Case c = each;
        c.shape.dtype = c.precision == kBf16 ? Dtype::kBfloat16 : Dtype::kFloat32;
        Random random(1000 + (&each - cases));
        Errors worst;
        try {
            check_case(c, random, &worst);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "cuda_check: %s, %s: %s\n", c.name, describe(c.shape).c_str(), error.what());
            return 1;
        }
        std::printf("cuda_check: %-24s maximal error %.2e, rms error %.2e\n", c.name, worst.max, worst.rms);
        std::fflush(stdout);
        ++count;
    }
    std::printf("cuda_check: %d cases agree with double precision\n", count);
    return count > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "step") return check_steps(argc > 2 ? argv[2] : nullptr);
    std::fprintf(stderr, "usage: cuda_check plan|pack|step [NAME]\n");
    return 2;
}
