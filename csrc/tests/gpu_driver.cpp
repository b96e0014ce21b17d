// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// gpu_driver: runs policies on the GPU, without torch and Python. Policies are blob files, as
// zprl.policies.native.step.pack_policy makes them; a cell is one of them in a precision at a batch size.
//
//   gpu_driver BLOB...                    every function of every cell
//   gpu_driver --check|--time BLOB...     the policy step, held against the CPU's, timed by replaying CUDA graphs, or
//                                         both: a line of JSON for each cell, as soon as it is known
//   gpu_driver --plans --time BLOB...     the same of all plans that the GPU can run, with what the planner expects
//   gpu_driver --once BLOB...             one launch of the policy step for each cell, for a profiler
//   gpu_driver --machine                  the GPU and the kernels built for it, as a line of JSON
//
// The first form is for compute-sanitizer, which takes minutes for a program that loads torch: every buffer is an
// allocation of exactly its size, so that an access outside of it is seen, and results are memory that nobody has
// initialised. It insists on finite results and on the same bits in two runs.
//
// The exit status is 0, 1 if a result is wrong or the GPU failed, or 2 if the arguments are. scripts/verify_gpu.sh
// calls it.

#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/cost_model.h"
#include "cuda/policy_step.h"
#include "gpu_device.h"
#include "gpu_limits.h"
#include "gpu_measure.h"

namespace {

namespace cuda = zprl::cuda;
using gpu_driver::Buffer;
using gpu_driver::check;
using gpu_driver::numbers;

constexpr const char* kUsage =
    "usage: gpu_driver [--check] [--time] [--plans] [--once] [--batch N,...] [--type float32,tf32,bfloat16] BLOB...\n"
    "       gpu_driver --machine\n";

struct Options {
    bool check = false, time = false, plans = false, once = false, machine = false, help = false;
    std::vector<int64_t> batches{1, 9, 65};
    std::vector<cuda::Precision> precisions{cuda::Precision::kFloat32, cuda::Precision::kTf32,
                                            cuda::Precision::kBfloat16};
    std::vector<std::string> files;
};

// A policy on the GPU, and what it was made of.
struct Source {
    const std::string& name;     // of the file, without folder and ending
    const zprl::Policy& on_cpu;  // with the weights that the precision has
    const cuda::DevicePolicy& policy;
    const Buffer& blob;
};

void require_finite(const std::vector<float>& values, const char* what) {
    for (const float value : values) {
        if (!std::isfinite(value)) throw std::runtime_error(std::string(what) + " has a value that is not finite.");
    }
}

void require_same(const std::vector<float>& values, const std::vector<float>& others, const char* what) {
    if (std::memcmp(values.data(), others.data(), values.size() * sizeof(float)) != 0) throw std::runtime_error(what);
}

void run_all_functions(const Source& source, int64_t rows) {
    const cuda::DevicePolicy& policy = source.policy;
    const Buffer& blob = source.blob;
    const Buffer obs(numbers(rows * policy.obs_dim, 1)), residual(numbers(rows * policy.latent_dim, 2));
    const Buffer noise(numbers(rows * policy.chunk_dim(), 3)), condition(numbers(rows * policy.embed_dim, 4));
    const Buffer seeds(std::vector<uint64_t>(static_cast<size_t>(rows), 5));
    const cuda::Plan plan = cuda::current_plan(policy, rows);
    const Buffer workspace(static_cast<size_t>(plan.workspace_bytes));
    const auto latent_seed = static_cast<const uint64_t*>(seeds.get());

    std::vector<float> first;
    for (int repeat = 0; repeat < 2; ++repeat) {
        const Buffer chunk(sizeof(float) * rows * policy.chunk_dim());
        cuda::policy_step(policy, plan, blob.get(), obs.floats(), residual.floats(), noise.floats(), nullptr, rows,
                          chunk.floats(), workspace.get(), nullptr);
        check(cudaDeviceSynchronize(), "policy step");
        const std::vector<float> values = chunk.read();
        require_finite(values, "a chunk");
        if (repeat > 0) require_same(values, first, "two runs differ.");
        first = values;
    }
    const Buffer sampled(sizeof(float) * rows * policy.chunk_dim()), solved(sizeof(float) * rows * policy.chunk_dim());
    const Buffer rest(sizeof(float) * rows * policy.chunk_dim()), acted(sizeof(float) * rows * policy.chunk_dim());
    const Buffer mean(sizeof(float) * rows * policy.latent_dim), logvar(sizeof(float) * rows * policy.latent_dim);
    cuda::policy_step(policy, plan, blob.get(), obs.floats(), nullptr, nullptr, latent_seed, rows, sampled.floats(),
                      workspace.get(), nullptr);
    cuda::integrate(policy, plan, blob.get(), condition.floats(), noise.floats(), rows, solved.floats(),
                    workspace.get(), nullptr);
    cuda::encode(policy, plan, blob.get(), obs.floats(), rows, mean.floats(), logvar.floats(), workspace.get(),
                 nullptr);
    cuda::act(policy, plan, blob.get(), residual.floats(), noise.floats(), rows, rest.floats(), workspace.get(),
              nullptr);
    cuda::act_from_condition(policy, plan, blob.get(), condition.floats(), noise.floats(), rows, acted.floats(),
                             workspace.get(), nullptr);
    check(cudaDeviceSynchronize(), "sampled step, integration, encoding, and steps from a latent and a condition");
    require_finite(rest.read(), "a chunk of a latent");
    require_finite(acted.read(), "a chunk of a condition");
    require_finite(sampled.read(), "a sampled chunk");
    require_finite(solved.read(), "an integrated chunk");
    require_finite(mean.read(), "a latent's mean");
    require_finite(logvar.read(), "a latent's log-variance");
    std::printf("%s, %s, %lld rows, %s: ok\n", source.name.c_str(), cuda::name(policy.precision),
                static_cast<long long>(rows), cuda::describe(plan).c_str());
    std::fflush(stdout);
}

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    return result + '"';
}

std::string number(double value) {
    if (!std::isfinite(value)) return "null";
    char buffer[32];
    std::snprintf(buffer, sizeof(buffer), "%.6g", value);
    return buffer;
}

// What identifies a cell, as the beginning of a line of JSON.
std::string line_of(const Source& source, int64_t rows) {
    const char* const kernel = std::getenv("ZPRL_CUDA_KERNEL");
    return "{\"shape\": " + quoted(source.name) + ", \"type\": " + quoted(cuda::name(source.policy.precision)) +
           ", \"batch\": " + std::to_string(rows) + ", \"kernel\": " + quoted(kernel == nullptr ? "" : kernel);
}

// Run the policy step by a plan as the options say, and print what was measured. Whether it keeps the rules. A step is
// timed with its planning unless the plan is a candidate of many.
bool measure(const Source& source, const cuda::Plan& plan, const cuda::Cost* candidate, int64_t rows,
             const Options& options) {
    const cuda::DevicePolicy& policy = source.policy;
    const std::vector<float> obs = numbers(rows * policy.obs_dim, 1), residual = numbers(rows * policy.latent_dim, 2);
    const std::vector<float> noise = numbers(rows * policy.chunk_dim(), 3);
    const Buffer obs_there(obs), residual_there(residual), noise_there(noise);
    const Buffer chunk(sizeof(float) * rows * policy.chunk_dim());
    const Buffer workspace(static_cast<size_t>(plan.workspace_bytes));
    cudaStream_t stream = nullptr;
    check(cudaStreamCreate(&stream), "making a stream");
    const auto launch = [&](const cuda::Plan& with) {
        cuda::policy_step(policy, with, source.blob.get(), obs_there.floats(), residual_there.floats(),
                          noise_there.floats(), nullptr, rows, chunk.floats(), workspace.get(), stream);
    };
    chunk.poison();
    check(cudaDeviceSynchronize(), "preparing");
    launch(plan);
    check(cudaStreamSynchronize(stream), "policy step");
    const std::vector<float> result = chunk.read();

    std::string line = line_of(source, rows) + ", \"plan\": " + quoted(cuda::describe(plan));
    if (candidate != nullptr) line += ", \"estimate\": " + number(candidate->total);
    bool right = true;
    if (options.check) {
        const std::vector<float> truth = gpu_driver::step_on_cpu(source.on_cpu, obs, residual, noise, rows);
        const gpu_driver::Errors errors = gpu_driver::measure_errors(result, truth);
        right = gpu_driver::within_rules(errors, policy.precision);
        line += ", \"errors\": {\"max\": " + number(errors.max) + ", \"rms\": " + number(errors.rms) +
                ", \"cosine\": " + number(errors.cosine) + "}, \"within_rules\": " + (right ? "true" : "false");
    }
    if (options.time) {
        const gpu_driver::Times times = gpu_driver::time_step(
            stream, [&] { launch(candidate == nullptr ? cuda::current_plan(policy, rows) : plan); });
        require_same(chunk.read(), result, "a replayed graph gives another chunk than a call.");
        line += ", \"microseconds\": {\"median\": " + number(times.median) + ", \"p10\": " + number(times.p10) +
                ", \"p90\": " + number(times.p90) + ", \"host\": " + number(times.host) +
                "}, \"steps_in_graph\": " + std::to_string(times.steps);
    }
    check(cudaStreamDestroy(stream), "freeing a stream");
    std::printf("%s}\n", line.c_str());
    std::fflush(stdout);
    return right;
}

// The same by the plan that a caller gets, or by all that there are. A refusal is told like a wrong result, and does
// not stop other cells.
bool plan_and_measure(const Source& source, int64_t rows, const Options& options) {
    if (options.plans) {
        bool right = true;
        for (const cuda::Candidate& each : cuda::current_candidates(source.policy, rows)) {
            right = measure(source, each.plan, &each.cost, rows, options) && right;
        }
        return right;
    }
    cuda::Plan plan;
    try {
        plan = cuda::current_plan(source.policy, rows);
    } catch (const std::invalid_argument& error) {
        std::printf("%s, \"refused\": %s}\n", line_of(source, rows).c_str(), quoted(error.what()).c_str());
        std::fflush(stdout);
        return false;
    }
    return measure(source, plan, nullptr, rows, options);
}

bool run_file(const std::string& path, const Options& options) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("it cannot be read.");
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    const size_t slash = path.find_last_of('/');
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    name = name.substr(0, name.find_last_of('.'));

    bool right = true;
    for (const cuda::Precision precision : options.precisions) {
        std::vector<double> aligned(content.size() / sizeof(double) + 1);
        std::memcpy(aligned.data(), content.data(), content.size());
        const zprl::Policy on_cpu = zprl::parse_policy(aligned.data(), content.size());
        zprl::require_encoder(on_cpu.parts);
        if (precision == cuda::Precision::kBfloat16 && on_cpu.dtype == zprl::Dtype::kFloat32) {
            gpu_driver::round_to_bfloat16(on_cpu);  // so that an error is one of arithmetic
        }
        const size_t bytes = cuda::packed_bytes(on_cpu, precision);
        std::vector<double> packed(bytes / sizeof(double) + 1);
        cuda::pack(on_cpu, precision, packed.data());
        const auto policy = cuda::parse_header(reinterpret_cast<const int32_t*>(packed.data()), bytes);
        const auto* begin = reinterpret_cast<const char*>(packed.data());
        const Buffer blob(std::vector<char>(begin, begin + bytes));
        const Source source{name, on_cpu, policy, blob};
        for (const int64_t rows : options.batches) {
            if (options.check || options.time || options.once) {
                right = plan_and_measure(source, rows, options) && right;
            } else {
                run_all_functions(source, rows);
            }
        }
    }
    return right;
}

void print_machine() {
    cudaDeviceProp properties{};
    int device = 0, driver = 0, runtime = 0;
    check(cudaGetDevice(&device), "finding a GPU");
    check(cudaGetDeviceProperties(&properties, device), "asking the GPU");
    check(cudaDriverGetVersion(&driver), "asking the driver");
    check(cudaRuntimeGetVersion(&runtime), "asking the runtime");
    std::string line = "{\"gpu\": " + quoted(properties.name) + ", \"compute_capability\": \"" +
                       std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                       "\", \"multiprocessors\": " + std::to_string(properties.multiProcessorCount) +
                       ", \"l2_bytes\": " + std::to_string(properties.l2CacheSize) +
                       ", \"cuda_of_driver\": " + std::to_string(driver) +
                       ", \"cuda_of_runtime\": " + std::to_string(runtime) + ", \"active_clusters\": {";
    for (const int size : {2, 4, 8, 16}) {
        line += (size > 2 ? ", \"" : "\"") + std::to_string(size) +
                "\": " + std::to_string(gpu_driver::active_clusters(size));
    }
    line += "}, \"kernels\": [";
    bool first = true;
    for (const cuda::KernelResources& kernel : cuda::kernel_resources()) {
        line += std::string(first ? "" : ", ") + "{\"name\": " + quoted(kernel.name) +
                ", \"registers\": " + std::to_string(kernel.registers) +
                ", \"local_bytes\": " + std::to_string(kernel.local_bytes) +
                ", \"static_shared\": " + std::to_string(kernel.static_shared) +
                ", \"binary_version\": " + std::to_string(kernel.binary_version) + "}";
        first = false;
    }
    std::printf("%s]}\n", line.c_str());
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts(1);
    for (const char c : text) {
        if (c == ',') {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    }
    return parts;
}

int64_t parse_rows(const std::string& text) {
    char* end = nullptr;
    const long long rows = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || rows < 1 || rows > (1 << 24)) {
        throw std::invalid_argument("the batch size '" + text + "' is no whole number from 1 to 16777216.");
    }
    return rows;
}

Options parse_options(int count, char** arguments) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string argument = arguments[i];
        const bool has_value = argument == "--batch" || argument == "--type";
        if (has_value && i + 1 == count) throw std::invalid_argument("the value of " + argument + " is missing.");
        if (argument == "--check") {
            options.check = true;
        } else if (argument == "--time") {
            options.time = true;
        } else if (argument == "--plans") {
            options.plans = true;
        } else if (argument == "--once") {
            options.once = true;
        } else if (argument == "--machine") {
            options.machine = true;
        } else if (argument == "--help") {
            options.help = true;
        } else if (argument == "--batch") {
            options.batches.clear();
            for (const std::string& text : split(arguments[++i])) options.batches.push_back(parse_rows(text));
        } else if (argument == "--type") {
            options.precisions.clear();
            for (const std::string& text : split(arguments[++i])) {
                options.precisions.push_back(cuda::parse_precision(text));
            }
        } else if (argument.rfind("--", 0) == 0) {
            throw std::invalid_argument("there is no option " + argument + ".");
        } else {
            options.files.push_back(argument);
        }
    }
    if (options.once && (options.check || options.time)) {
        throw std::invalid_argument("--once launches nothing but the step: it goes with neither --check nor --time.");
    }
    if (options.plans && !options.check && !options.time) {
        throw std::invalid_argument("--plans measures all plans: it goes with --check, --time or both.");
    }
    if (!options.machine && !options.help && options.files.empty()) throw std::invalid_argument("there is no BLOB.");
    return options;
}

}  // namespace

int main(int count, char** arguments) {
    Options options;
    try {
        options = parse_options(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gpu_driver: %s\n%s", error.what(), kUsage);
        return 2;
    }
    if (options.help) {
        std::printf("%s", kUsage);
        return 0;
    }
    bool right = true;
    std::string what = "gpu_driver";
    try {
        if (options.machine) print_machine();
        for (const std::string& path : options.files) {
            what = path;
            right = run_file(path, options) && right;
        }
    } catch (const std::exception& error) {
        std::fflush(stdout);
        std::fprintf(stderr, "%s: %s\n", what.c_str(), error.what());
        return 1;
    }
    if (!right) std::fprintf(stderr, "gpu_driver: a cell is refused, or wrong beyond the rules of its precision.\n");
    return right ? 0 : 1;
}
