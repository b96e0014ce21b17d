// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Choice of the instruction set, and the measurements of the profiler. The step itself is in cpu/step_impl.h.

#include "policy_step.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <numeric>
#include <stdexcept>

#include "cpu/step.h"
#include "team.h"

#if ZPRL_AMX
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace zprl {
namespace {

struct Level {
    const StepFunctions* functions;
    bool supported;
};

#if ZPRL_AMX
// Whether the processor has the matrix unit (AMX) for bf16, and the system lets this process use it: Linux wants to be
// asked, since a thread that uses it has 8 KB more to save.
bool may_use_amx() {
    constexpr unsigned kTiles = 1u << 24, kBf16Products = 1u << 22;
    unsigned a, b, c, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kTiles) || !(d & kBf16Products)) return false;
#if defined(__linux__)
    constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}
#endif

// All instruction sets of this build, best last.
std::vector<Level> all_levels() {
    std::vector<Level> levels = {{&kPortableStep, true}};
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    levels.push_back({&kAvx2Step, avx2});
#if ZPRL_AVX512
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    levels.push_back({&kAvx512Step, avx512});
    const bool avx512_bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
    levels.push_back({&kAvx512Bf16Step, avx512_bf16});
#if ZPRL_AMX
    levels.push_back({&kAmxStep, avx512_bf16 && may_use_amx()});
#endif
#endif
#endif
    return levels;
}

// The instruction set in use, or null if ZPRL_CPU asks for one that cannot be had.
const StepFunctions* chosen() noexcept {
    static const StepFunctions* const functions = [] {
        const char* wanted = std::getenv("ZPRL_CPU");
        const StepFunctions* best = nullptr;
        for (const Level& level : all_levels()) {
            const bool named = wanted == nullptr || *wanted == '\0' || std::strcmp(wanted, level.functions->name) == 0;
            if (level.supported && named) best = level.functions;
        }
        return best;
    }();
    return functions;
}

const StepFunctions& functions_or_throw() {
    if (chosen() == nullptr) {
        std::string known;
        for (const std::string& name : cpu_levels()) known += (known.empty() ? "" : ", ") + name;
        throw std::invalid_argument("zprl: ZPRL_CPU is '" + std::string(std::getenv("ZPRL_CPU")) +
                                    "'; this processor has " + known + ".");
    }
    return *chosen();
}

const StepFunctions::OfDtype& of_dtype(const StepFunctions& functions, Dtype dtype) {
    return dtype == Dtype::kBfloat16 ? functions.bfloat16 : functions.float32;
}

const StepFunctions::OfDtype& functions_of(const Policy& policy) noexcept { return of_dtype(*chosen(), policy.dtype); }

// The call whose start `a` says.
void run(const Policy& policy, StepArguments& a, const float* noise, int64_t rows, float* chunk, float* workspace,
         int threads) noexcept {
    a.noise = noise;
    a.rows = rows;
    a.chunk = chunk;
    const auto step = functions_of(policy).policy_step;
    if (threads == 1 || policy.network != Network::kUNet) return step(policy, a, workspace);
    struct Member {
        SharedLoops& loops;
        uint32_t position;
    };
    SharedLoops loops;
    Team::run(threads, [&](Team&, int) {
        Member member = {loops, 0};
        const StepTeam team = {[](void* of_member, int count, void (*work)(const void*, int), const void* context) {
                                   auto* m = static_cast<Member*>(of_member);
                                   m->loops.for_each(m->position, count, [&](int i) { work(context, i); });
                               },
                               &member};
        StepArguments ours = a;
        ours.team = &team;
        step(policy, ours, workspace);
    });
}

template <typename Number>
void explain_nan(const Policy& policy, const Number* result, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        if (std::isnan(result[i])) return require_finite_weights(policy);
    }
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

const char* cpu_level() { return functions_or_throw().name; }

std::vector<std::string> cpu_levels() {
    std::vector<std::string> names;
    for (const Level& level : all_levels()) {
        if (level.supported) names.emplace_back(level.functions->name);
    }
    return names;
}

bool multiplies_bfloat16() { return functions_or_throw().bfloat16.policy_step != nullptr; }

void require_runnable(const Policy& policy) {
    const StepFunctions& functions = functions_or_throw();
    if (of_dtype(functions, policy.dtype).policy_step == nullptr) {
        throw std::invalid_argument("zprl: the policy's weights are bfloat16, which this processor (" +
                                    std::string(functions.name) + ") does not multiply; pack it with float32 weights.");
    }
}

size_t workspace_floats(const Policy& policy, int64_t rows) {
    return functions_of(policy).workspace_floats(policy, rows);
}

void policy_step(const Policy& policy, const float* obs, const float* residual, const float* noise,
                 const uint64_t* latent_seed, int64_t rows, float* chunk, float* workspace,
                 const LatentOutputs& latents, int threads) noexcept {
    StepArguments arguments;
    arguments.obs = obs;
    arguments.residual = residual;
    arguments.latent_seed = latent_seed;
    arguments.latent_mean = latents.mean;
    arguments.decoded_latent = latents.decoded;
    run(policy, arguments, noise, rows, chunk, workspace, threads);
}

void encode(const Policy& policy, const float* obs, int64_t rows, float* mean, float* logvar,
            float* workspace) noexcept {
    functions_of(policy).encode(policy, {obs, rows, mean, logvar}, workspace);
}

void latent(const Policy& policy, const float* obs, int64_t rows, double* mean, float* workspace) noexcept {
    functions_of(policy).encode(policy, {obs, rows, nullptr, nullptr, mean}, workspace);
}

void act(const Policy& policy, const double* latent, const float* noise, int64_t rows, float* chunk, float* workspace,
         int threads) noexcept {
    StepArguments arguments;
    arguments.latent = latent;
    run(policy, arguments, noise, rows, chunk, workspace, threads);
}

void act(const Policy& policy, const float* latent, const float* noise, int64_t rows, float* chunk, float* workspace,
         int threads) noexcept {
    StepArguments arguments;
    arguments.rounded_latent = latent;
    run(policy, arguments, noise, rows, chunk, workspace, threads);
}

void act_from_condition(const Policy& policy, const float* condition, const float* noise, int64_t rows, float* chunk,
                        float* workspace, int threads) noexcept {
    StepArguments arguments;
    arguments.condition = condition;
    run(policy, arguments, noise, rows, chunk, workspace, threads);
}

void integrate(const Policy& policy, const float* condition, const float* noise, int64_t rows, float* chunk,
               float* workspace, int threads) noexcept {
    StepArguments arguments;
    arguments.condition = condition;
    arguments.normalised = true;
    run(policy, arguments, noise, rows, chunk, workspace, threads);
}

void check_result(const Policy& policy, const float* result, int64_t count) { explain_nan(policy, result, count); }
void check_result(const Policy& policy, const double* result, int64_t count) { explain_nan(policy, result, count); }

std::vector<std::pair<std::string, double>> profile_step(const Policy& policy, int64_t rows, int repeats) {
    require_runnable(policy);
    constexpr int kStages = static_cast<int>(Stage::kCount);
    const char* const names[] = {"encode",    "actor", "decode", "modulate", "input",  "layer_norm", "block_in",
                                 "block_out", "down",  "middle", "up",       "output", "solver",     "chunk"};
    static_assert(std::size(names) == kStages, "every stage has a name");

    // From where this policy can start; the parts before take no time.
    const bool encodes = (policy.parts & kPartEncoder) != 0, decodes = (policy.parts & kPartBottleneck) != 0;
    const std::vector<float> start(rows * std::max({policy.obs_dim, policy.latent_dim, policy.embed_dim}), 0.0f);
    std::vector<float> chunk(rows * policy.chunk_dim());
    StepArguments arguments;
    (encodes ? arguments.obs : decodes ? arguments.rounded_latent : arguments.condition) = start.data();
    std::vector<float> workspace(workspace_floats(policy, rows));
    std::vector<StageClock> clocks;
    for (int i = 0; i < repeats; ++i) {
        StageClock clock = {&seconds_now, seconds_now(), {}};
        arguments.clock = &clock;
        run(policy, arguments, nullptr, rows, chunk.data(), workspace.data(), 1);
        clocks.push_back(clock);
    }
    const auto total = [](const StageClock& clock) {
        return std::accumulate(clock.seconds, clock.seconds + kStages, 0.0);
    };
    const auto middle = clocks.begin() + static_cast<ptrdiff_t>(clocks.size() / 2);
    std::nth_element(clocks.begin(), middle, clocks.end(),
                     [&](const StageClock& a, const StageClock& b) { return total(a) < total(b); });
    std::vector<std::pair<std::string, double>> result;
    for (int i = 0; i < kStages; ++i) {
        const Stage stage = static_cast<Stage>(i);
        const bool of_mlp = stage >= Stage::kInput && stage <= Stage::kBlockOut;
        const bool of_unet = stage >= Stage::kDown && stage <= Stage::kUp;
        const bool there = stage == Stage::kEncode   ? encodes
                           : stage == Stage::kActor  ? policy.steered
                           : stage == Stage::kDecode ? decodes
                           : of_mlp                  ? policy.network == Network::kResidualMlp
                           : of_unet                 ? policy.network == Network::kUNet
                                                     : true;
        if (there) result.emplace_back(names[i], middle->seconds[i]);
    }
    return result;
}

double peak_gflops(Dtype dtype, double seconds) {
    const auto peak = of_dtype(functions_or_throw(), dtype).peak;
    if (peak == nullptr) return 0.0;
    double best = 0.0;
    float sink[2] = {0.0f, 1.0f};
    for (const double begin = seconds_now(); seconds_now() - begin < seconds;) {
        const double start = seconds_now();
        const double operations = peak(100000, sink);
        best = std::max(best, operations / (seconds_now() - start) * 1e-9);
    }
    return best;
}

double stream_gbs(size_t bytes, double seconds) {
    const StepFunctions& functions = functions_or_throw();
    std::vector<float> data(bytes / sizeof(float) + 16, 1.0f);
    const auto* aligned = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(data.data()) + 63) / 64 * 64);
    double best = 0.0;
    float sink[2] = {};
    const int passes = static_cast<int>(std::max<size_t>(1, (size_t{1} << 24) / std::max<size_t>(bytes, 1)));
    for (const double begin = seconds_now(); seconds_now() - begin < seconds;) {
        const double start = seconds_now();
        for (int i = 0; i < passes; ++i) functions.stream(aligned, bytes / sizeof(float), sink);
        best = std::max(best, static_cast<double>(bytes) * passes / (seconds_now() - start) * 1e-9);
    }
    return best;
}

}  // namespace zprl
