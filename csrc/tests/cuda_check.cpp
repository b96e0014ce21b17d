// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the policy step's CUDA kernels without a GPU: their own source, run on the CPU by cuda_emulation.h.
//
//   cuda_check plan       the planner's promises over a grid of shapes and devices
//   cuda_check pack       packed weights, read back at the places that layout.h names
//   cuda_check noise      the noise of sampled latents, against the CPU's
//   cuda_check emulation  kernels with mistakes, which the emulation must notice
//   cuda_check step       whole steps of odd shapes against a step in double precision
//
// Random policies, the reference and the calls are core_check.cpp's. Exit status 1 and one line on stderr if something
// is wrong.

// Its main() and what only that calls, the CPU's step, are of no use here: unused static functions vanish.
#define main static __attribute__((unused)) core_check_main
#include "core_check.cpp"
#undef main

#include "cuda/cluster_step.cuh"
#include "cuda/layout.h"
#include "cuda/memory.h"
#include "cuda/policy_step.h"
#include "cuda/tile_step.cuh"
#include "cuda/wgmma_tile_step.cuh"
#include "latent_noise.h"

namespace {

using zprl::cuda::DevicePolicy;
using zprl::cuda::DeviceProperties;
using zprl::cuda::Kernel;
using zprl::cuda::KernelArguments;
using zprl::cuda::Placement;
using zprl::cuda::Plan;
using zprl::cuda::Precision;

// Root mean square errors keep to the rule for real policies. The largest of some ten thousand errors may be twice that
// of the rule (5e-3 and 3e-2): random policies with steps of size one and narrow layer norms magnify what was rounded
// before, in any implementation. Float32 has no such allowance.
constexpr double kMaxErrorTf32 = 1e-2, kMaxErrorOfBf16Step = 6e-2, kMaxRmsErrorTf32 = 1e-3;

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

template <typename Unit, typename Ring>
void run_tile(const KernelArguments& arguments, const Plan& plan) {
    using zprl::cuda::TileEngine;
    switch (plan.tile_rows) {
        case 16:
            return zprl::cuda::run_tile<Unit, TileEngine<Ring, 1>>(arguments, plan.cluster_size);
        case 32:
            return zprl::cuda::run_tile<Unit, TileEngine<Ring, 2>>(arguments, plan.cluster_size);
        default:
            return zprl::cuda::run_tile<Unit, TileEngine<Ring, 4>>(arguments, plan.cluster_size);
    }
}

template <typename Unit>
void run_kernel(const KernelArguments& arguments, const Plan& plan) {
    if (plan.kernel == Kernel::kCluster) return zprl::cuda::run_cluster<Unit>(arguments, plan.cluster_size);
    if constexpr (!std::is_same_v<Unit, zprl::cuda::Fp32Unit>) {
        if (plan.kernel == Kernel::kWgmmaTile) {
            return zprl::cuda::run_tile<Unit, zprl::cuda::WgmmaTileEngine<Unit>>(arguments, plan.cluster_size);
        }
    }
    if (plan.cluster_size > 1) return run_tile<Unit, zprl::cuda::MulticastRing<Unit>>(arguments, plan);
    run_tile<Unit, zprl::cuda::CopyRing<Unit>>(arguments, plan);
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

// The calls that the GPU has.
constexpr Call kCudaCalls[] = {Call::kStep,   Call::kSampledStep, Call::kPlainStep,
                               Call::kEncode, Call::kIntegrate,   Call::kPlainIntegrate};

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
    Plan plan{
        c.kernel, c.tile_rows, c.cluster_size, zprl::cuda::kThreads, c.stages, c.outputs, resident, c.placement, 0, 0,
        0};
    const zprl::cuda::Memory memory = zprl::cuda::lay_out_memory(policy, plan);
    const int64_t tiles = (c.rows + c.tile_rows - 1) / c.tile_rows, size = c.cluster_size;
    plan.blocks = c.kernel == Kernel::kCluster ? tiles * size : (tiles + size - 1) / size * size;
    plan.shared_bytes = memory.shared_bytes;
    require(plan.shared_bytes <= 232448, "the case needs more shared memory than any GPU has");
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
    for (const Call call : kCudaCalls) {
        // One call in full, the others in turns, so that every case stays short.
        const bool thorough = call == Call::kSampledStep;
        const std::vector<float> result = run(blob, plan, c.shape, batch, call, random.bits() | 1);
        const Errors errors = errors_of(model, batch, call, result);
        worst->max = std::max(worst->max, errors.max);
        worst->rms = std::max(worst->rms, errors.rms);
        const bool exact = c.precision == Precision::kFloat32 || call == Call::kEncode;
        const bool tf32 = c.precision == Precision::kTf32;
        const double max_allowed = exact ? kMaxError : tf32 ? kMaxErrorTf32 : kMaxErrorOfBf16Step;
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
    constexpr Kernel kTile = Kernel::kTile, kWgmma = Kernel::kWgmmaTile, kCluster = Kernel::kCluster;
    const Shape small = shape_of(32, 1, 0, 3, 3, 4, 10, 32, 8, {}, {32});
    const Shape odd = shape_of(40, 2, 1, 1, 7, 3, 37, 24, 5, {48}, {40, 20});
    const Shape heun = shape_of(64, 2, 2, 1, 7, 8, 40, 64, 16, {}, {64});
    const Shape rk4 = shape_of(96, 1, 3, 1, 9, 8, 40, 70, 33, {130}, {64});
    const Shape rk4_twice = shape_of(64, 1, 3, 2, 1, 1, 1, 1, 1, {}, {});
    const Shape wide = shape_of(256, 1, 0, 1, 8, 8, 40, 256, 32, {}, {256});
    const Shape long_chunk = shape_of(64, 1, 0, 2, 14, 24, 20, 300, 150, {}, {});
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
        {"tile tf32 16 by 2", kTf32, kTile, 16, 2, 33, odd, Placement::kShared, 3, 128},
        {"tile tf32 32 by 4", kTf32, kTile, 32, 4, 33, heun, Placement::kModulation, 4, 64},
        {"tile bf16 16 by 4", kBf16, kTile, 16, 4, 65, small},
        {"tile bf16 16 by 2 rk4", kBf16, kTile, 16, 2, 17, rk4, Placement::kWorkspace, 4, 256},
        {"tile bf16 32 by 2", kBf16, kTile, 32, 2, 65, odd, Placement::kShared, 4, 64},
        {"tile bf16 64 by 2", kBf16, kTile, 64, 2, 65, heun, Placement::kModulation, 3, 64},
        {"tile bf16 16 by 2 wide", kBf16, kTile, 16, 2, 17, wide, Placement::kShared, 3, 128},
        {"wgmma bf16", kBf16, kWgmma, 64, 1, 65, odd, Placement::kModulation, 3, 64},
        {"wgmma bf16 by 2", kBf16, kWgmma, 64, 2, 65, heun, Placement::kShared, 3, 128},
        {"wgmma bf16 rk4", kBf16, kWgmma, 64, 1, 6, rk4, Placement::kWorkspace, 4, 256},
        {"wgmma bf16 by 4", kBf16, kWgmma, 64, 4, 130, small, Placement::kWorkspace, 4, 256},
        {"wgmma bf16 wide", kBf16, kWgmma, 64, 2, 66, wide, Placement::kModulation, 3, 256},
        {"wgmma tf32", kTf32, kWgmma, 64, 1, 64, small, Placement::kShared, 3, 64},
        {"wgmma tf32 by 2", kTf32, kWgmma, 64, 2, 67, odd, Placement::kWorkspace, 4, 128},
        {"wgmma tf32 long chunk", kTf32, kWgmma, 64, 1, 5, long_chunk, Placement::kWorkspace, 3, 128},
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
        uint64_t seed = 0;  // by name, so that a case stays what it is when another one comes or goes
        for (const char* letter = c.name; *letter != '\0'; ++letter) seed = seed * 31 + *letter;
        Random random(seed);
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

// ---- Packing
// ---------------------------------------------------------------------------------------------------------

// A number of a packed layer, read at the place that layout.h's text names.
float packed_weight(const Blob& blob, const zprl::cuda::DeviceLayer& layer, Precision precision, int in, int out) {
    const int element = precision == Precision::kBfloat16 ? 2 : 4, columns = (layer.out + 63) / 64 * 64;
    const int byte = in * element, slab = byte / 128, piece = byte % 128 / 16;
    const char* const row = reinterpret_cast<const char*>(blob.storage.data()) + layer.weight +
                            (static_cast<size_t>(slab) * columns + out) * 128;
    const char* const place = row + (piece ^ (out & 7)) * 16 + byte % 16;
    if (element == 2) {
        uint16_t value;
        std::memcpy(&value, place, sizeof(value));
        return from_bf16(value);
    }
    float value;
    std::memcpy(&value, place, sizeof(value));
    return value;
}

// As the precision rounds: to nearest, with ties to even, or away from zero for tf32.
double rounded(double value, Precision precision) {
    if (value == 0.0 || precision == Precision::kFloat32) return value;
    const bool tf32 = precision == Precision::kTf32;
    const double ulp = std::ldexp(1.0, std::ilogb(value) - (tf32 ? 10 : 7));
    return (tf32 ? std::round(value / ulp) : std::nearbyint(value / ulp)) * ulp;
}

int check_layer(const Blob& blob, const zprl::cuda::DeviceLayer& packed, const Layer& layer, Precision precision) {
    require(packed.in == layer.in && packed.out == layer.out, "a packed layer has another shape");
    const int columns = (layer.out + 63) / 64 * 64, per_slab = precision == Precision::kBfloat16 ? 64 : 32;
    const int inputs = (layer.in + per_slab - 1) / per_slab * per_slab;
    for (int out = 0; out < columns; ++out) {
        for (int in = 0; in < inputs; ++in) {
            const bool inside = in < layer.in && out < layer.out;
            const double exact =
                inside ? static_cast<double>(layer.weight[static_cast<size_t>(in) * layer.out + out]) : 0.0;
            require(static_cast<double>(packed_weight(blob, packed, precision, in, out)) == rounded(exact, precision),
                    text("weight %d, %d of a layer of %d by %d is another one", in, out, layer.in, layer.out));
        }
        float bias;
        std::memcpy(&bias, reinterpret_cast<const char*>(blob.storage.data()) + packed.bias + out * sizeof(float),
                    sizeof(bias));
        require(bias == (out < layer.out ? layer.bias[out] : 0.0f), "a packed bias is another one");
    }
    return inputs * columns;
}

template <typename Function>
void require_refused(const char* sentence, const Function& function) {
    try {
        function();
    } catch (const std::invalid_argument& error) {
        require(std::strstr(error.what(), sentence) != nullptr,
                text("expected '...%s...' and got '%s'", sentence, error.what()));
        return;
    }
    throw CheckFailed(text("nothing was refused; expected '...%s...'", sentence));
}

void check_packing() {
    Random random(7);
    Shape s = shape_of(40, 2, 3, 2, 7, 11, 37, 70, 5, {48}, {130, 20});
    int weights = 0;
    for (const Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16}) {
        s.dtype = Dtype::kFloat32;
        const Model model = random_model(s, random);
        const std::vector<char> cpu = pack(model);
        const Blob blob = pack_for_cuda(cpu, precision);
        const DevicePolicy p = zprl::cuda::parse_header(blob.header(), blob.bytes);
        require(p.precision == precision && p.bytes == blob.bytes, "the header says something else");
        const zprl::cuda::DeviceLayer* once = p.once;
        for (const auto* layers : {&model.embedding, &model.encoder, &model.decoder}) {
            for (const Layer& layer : *layers) weights += check_layer(blob, *once++, layer, Precision::kFloat32);
        }
        weights += check_layer(blob, p.modulation, with_padded_parts(model.modulation, 4, s.hidden), precision);
        weights += check_layer(blob, p.input, model.input, precision);
        weights += check_layer(blob, p.output, model.output, precision);
        for (int i = 0; i < 2 * s.blocks; ++i) {
            zprl::cuda::DeviceLayer layer = p.first_block_layer;
            layer.weight += i * p.block_layer_bytes;
            layer.bias += i * p.block_layer_bytes;
            weights += check_layer(blob, layer, model.blocks[i], precision);
        }

        // A damaged header ends in a sentence.
        std::vector<int32_t> header(blob.header(), blob.header() + zprl::kHeaderInts);
        const auto parse = [&] { zprl::cuda::parse_header(header.data(), blob.bytes); };
        require_refused("truncated", [&] { zprl::cuda::parse_header(header.data(), blob.bytes - 16); });
        require_refused("shorter than its header", [&] { zprl::cuda::parse_header(header.data(), 255); });
        for (int field = 0; field < zprl::kFieldFirstUnused; ++field) {
            if (field > zprl::kFieldDtype && field < zprl::kFieldEmbedHidden) continue;  // unused
            const int32_t value = header[field];
            for (const int32_t damage : {-1, 1 << 30, value + 1}) {
                header[field] = damage;
                try {
                    parse();
                    // A normaliser's width can grow within the alignment, and more hidden widths than there are do not
                    // matter; either way it describes exactly this many bytes.
                    require(damage != -1 || field >= zprl::kFieldEmbedHidden,
                            text("a damaged header field %d is accepted", field));
                } catch (const std::invalid_argument&) {
                }
            }
            header[field] = value;
        }
        parse();
        require_refused("it is the CPU's", [&] {
            std::memcpy(header.data(), cpu.data(), zprl::kHeaderInts * sizeof(int32_t));
            zprl::cuda::parse_header(header.data(), blob.bytes);
        });
    }

    // bf16 weights are packed as they are, and as nothing else.
    s.dtype = Dtype::kBfloat16;
    Model model = random_model(s, random);
    const std::vector<char> halves = pack(model);
    model.shape.dtype = Dtype::kFloat32;
    const Blob from_halves = pack_for_cuda(halves, Precision::kBfloat16);
    const Blob from_floats = pack_for_cuda(pack(model), Precision::kBfloat16);
    require(from_halves.bytes == from_floats.bytes &&
                std::memcmp(from_halves.storage.data(), from_floats.storage.data(), from_halves.bytes) == 0,
            "bf16 weights packed from float32 differ");
    for (const Precision precision : {Precision::kFloat32, Precision::kTf32}) {
        require_refused("cannot be packed", [&] { pack_for_cuda(halves, precision); });
    }
    std::vector<char> with_more = halves;
    const int32_t more = 1;
    const zprl::Policy parsed = zprl::parse_policy(with_more.data(), with_more.size());
    std::memcpy(with_more.data() + 60 * sizeof(int32_t), &more, sizeof(more));
    require_refused("a part that", [&] { zprl::cuda::packed_bytes(parsed, Precision::kBfloat16); });
    require_refused("must be float32, tf32 or bfloat16", [] { zprl::cuda::parse_precision("fp16"); });
    for (const Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16}) {
        require(zprl::cuda::parse_precision(zprl::cuda::name(precision)) == precision, "a precision loses its name");
    }
    std::printf("cuda_check: %d packed weights are where they belong\n", weights);
}

// ---- Planning
// --------------------------------------------------------------------------------------------------------

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
        int64_t staying = 0;
        for (int i = 0; i < plan.resident; ++i) {
            const bool output = i == 2 * s.blocks + 1;
            const int64_t groups = (output ? chunk : hidden) / 16;
            const int64_t in = i == 0 ? s.chunk() : s.hidden;
            const int64_t per_slab = 128 / element, slabs = (in + per_slab - 1) / per_slab;
            staying += slabs * ((groups + plan.cluster_size - 1) / plan.cluster_size) * 16 * 128;
        }
        pieces->push_back({"the partial sums", m.partial, 8 * 16 * 8 * 4});
        pieces->push_back({"the passing weights", m.passing, 8 * 3 * 2048});
        pieces->push_back({"the barrier", m.barrier, 8});
        pieces->push_back({"the staying weights", m.staying, staying});
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

// ---- Noise and the emulation itself
// ----------------------------------------------------------------------------------

void check_noise() {
    Random random(3);
    for (int i = 0; i < 10000; ++i) {
        const uint64_t seed = random.bits();
        const uint32_t index = static_cast<uint32_t>(random.below(1000));
        const float cpu = zprl::standard_normal(seed, index), gpu = zprl::standard_normal_inline(seed, index);
        require(same_bits(&cpu, &gpu, 1), "the noise differs from the CPU's");
    }
    std::printf("cuda_check: noise is the CPU's\n");
}

// A kernel with a mistake must be found out, or the checks above say nothing. `mistake` runs as 64 threads.
void require_found(const char* what, const std::function<void()>& mistake) {
    for (uint64_t seed = 1; seed < 20; ++seed) {
        try {
            zprl::cuda::emulation::machine().run(1, 1, 64, 1024, seed, mistake);
        } catch (const std::exception&) {
            return;
        }
    }
    throw CheckFailed(text("the emulation does not notice %s", what));
}

void check_emulation() {
    namespace device = zprl::cuda::device;
    auto& machine = zprl::cuda::emulation::machine();
    alignas(16) static const float source[64 * 4] = {1.0f};
    const auto number = [&](int index) { return reinterpret_cast<float*>(device::shared_memory()) + index; };
    const auto require_number = [&](int index) {
        if (std::isnan(*number(index))) machine.fail("NaN");
    };
    require_found("a missing barrier", [&] {
        const int thread = device::thread_index();
        *number(thread) = 1.0f;
        require_number((thread + 33) % 64);
    });
    require_found("a missing wait", [&] {
        const int thread = device::thread_index();
        device::copy_async(number(4 * thread), source + 4 * thread);
        device::commit_copies();
        require_number(4 * thread);
        device::wait_for_copies<0>();
    });
    require_found("a barrier that some do not reach", [&] {
        if (device::thread_index() != 7) device::sync_block();
    });
    require_found("lanes that diverge", [&] {
        uint32_t result[4];
        if (device::thread_index() % 2 == 0) {
            device::load_matrices(result, number(0));
        } else {
            device::shuffle_xor(1.0f, 1);
        }
    });
    require_found("an address outside of shared memory", [&] {
        uint32_t result[4];
        device::load_matrices(result, number(1024));
    });
    require_found("a write past shared memory", [&] { *number(256) = 1.0f; });
    require_found("a copy that nobody waits for", [&] { device::copy_async(number(0), source); });
    const auto copy_in_bulk = [&](int arrivals) {
        uint64_t* const barrier = reinterpret_cast<uint64_t*>(number(200));
        if (device::thread_index() == 0) {
            device::init_arrivals(barrier, arrivals);
            device::announce_bytes(barrier, 512);
            device::copy_bulk(number(0), source, 512, barrier);
        }
        device::sync_block();
        return barrier;
    };
    require_found("a bulk copy that is read too early", [&] {
        uint64_t* const barrier = copy_in_bulk(1);
        require_number(device::thread_index());
        device::wait_for_phase(barrier, 0);
    });
    require_found("an arrival that is missing", [&] { device::wait_for_phase(copy_in_bulk(2), 0); });
    machine.run(1, 1, 64, 1024, 1, [&] {
        device::wait_for_phase(copy_in_bulk(1), 0);
        require_number(device::thread_index());
    });
    // And the same without mistakes is not.
    machine.run(1, 1, 64, 1024, 1, [&] {
        const int thread = device::thread_index();
        device::copy_async(number(4 * thread), source + 4 * thread);
        device::commit_copies();
        device::wait_for_copies<0>();
        device::sync_block();
        require_number(4 * ((thread + 33) % 64));
    });
    std::printf("cuda_check: the emulation notices mistakes\n");
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    try {
        if (what == "step") return check_steps(argc > 2 ? argv[2] : nullptr);
        if (what == "pack") return check_packing(), 0;
        if (what == "plan") return check_plans(), 0;
        if (what == "noise") return check_noise(), 0;
        if (what == "emulation") return check_emulation(), 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cuda_check: %s\n", error.what());
        return 1;
    }
    std::fprintf(stderr, "usage: cuda_check plan|pack|noise|emulation|step [NAME]\n");
    return 2;
}
