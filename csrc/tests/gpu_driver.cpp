// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// gpu_driver BLOB...: runs the policies of some blob files (as zprl.policies.native.step.pack_policy makes them) on the
// GPU.
//
// A program for compute-sanitizer, which takes minutes for one that loads torch: every buffer is an allocation of
// exactly its size, so that an access outside of it is seen, and results are memory that nobody has initialised. It
// insists on finite results and on the same bits in two runs. It is called by scripts/verify_gpu.sh.

#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/policy_step.h"

namespace {

namespace cuda = zprl::cuda;

void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

// Device memory of exactly the given size; no memory at all for size 0.
class Buffer {
 public:
    explicit Buffer(size_t bytes) : bytes_(bytes) {
        if (bytes > 0) check(cudaMalloc(&pointer_, bytes), "allocating");
    }
    template <typename T>
    explicit Buffer(const std::vector<T>& values) : Buffer(values.size() * sizeof(T)) {
        check(cudaMemcpy(pointer_, values.data(), bytes_, cudaMemcpyHostToDevice), "copying to the GPU");
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { cudaFree(pointer_); }

    float* floats() const { return static_cast<float*>(pointer_); }
    void* get() const { return pointer_; }

    std::vector<float> read() const {
        std::vector<float> values(bytes_ / sizeof(float));
        check(cudaMemcpy(values.data(), pointer_, bytes_, cudaMemcpyDeviceToHost), "copying from the GPU");
        return values;
    }

 private:
    size_t bytes_;
    void* pointer_ = nullptr;
};

std::vector<float> numbers(int64_t count, uint64_t seed) {
    std::vector<float> values;
    uint64_t state = seed * 2654435761u + 1;
    for (int64_t i = 0; i < count; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values.push_back(static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-30f);  // within -2 and 2
    }
    return values;
}

void require_finite(const std::vector<float>& values, const char* what) {
    for (const float value : values) {
        if (!std::isfinite(value)) throw std::runtime_error(std::string(what) + " has a value that is not finite.");
    }
}

void run_rows(const cuda::DevicePolicy& policy, const Buffer& blob, int64_t rows) {
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
        if (repeat > 0 && std::memcmp(values.data(), first.data(), values.size() * sizeof(float)) != 0) {
            throw std::runtime_error("two runs differ.");
        }
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
    std::printf("%s, %lld rows, %s: ok\n", cuda::name(policy.precision), static_cast<long long>(rows),
                cuda::describe(plan).c_str());
}

void run_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("it cannot be read.");
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    std::vector<double> aligned(content.size() / sizeof(double) + 1);
    std::memcpy(aligned.data(), content.data(), content.size());
    const zprl::Policy source = zprl::parse_policy(aligned.data(), content.size());
    for (const auto precision : {cuda::Precision::kFloat32, cuda::Precision::kTf32, cuda::Precision::kBfloat16}) {
        std::vector<double> packed(cuda::packed_bytes(source, precision) / sizeof(double) + 1);
        const size_t bytes = cuda::packed_bytes(source, precision);
        cuda::pack(source, precision, packed.data());
        const auto policy = cuda::parse_header(reinterpret_cast<const int32_t*>(packed.data()), bytes);
        const auto* begin = reinterpret_cast<const char*>(packed.data());
        const Buffer blob(std::vector<char>(begin, begin + bytes));
        for (const int64_t rows : {1, 9, 65}) run_rows(policy, blob, rows);
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 2) {
        std::fprintf(stderr, "usage: gpu_driver BLOB...\n");
        return 2;
    }
    for (int i = 1; i < count; ++i) {
        try {
            run_file(arguments[i]);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s: %s\n", arguments[i], error.what());
            return 1;
        }
    }
    return 0;
}
