// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of gpu_driver: how far a chunk of the GPU is from the CPU's, and how long a policy step takes.

#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "cuda/policy_step.h"
#include "gpu_device.h"
#include "policy_step.h"

namespace gpu_driver {

// -- errors

// Round the weights that bf16 stores to what it can represent, to nearest, ties to even. They are float32, in memory
// that the caller may write to.
inline void round_to_bfloat16(const zprl::Linear& layer) {
    auto* const values = static_cast<uint32_t*>(const_cast<void*>(layer.weight));
    const size_t count = static_cast<size_t>(zprl::padded(layer.out)) * layer.in;
    for (size_t i = 0; i < count; ++i) values[i] = (values[i] + 0x7fff + ((values[i] >> 16) & 1)) & 0xffff0000u;
}

inline void round_to_bfloat16(const zprl::Policy& policy) {
    for (const zprl::Linear& layer : {policy.modulation, policy.input, policy.output}) round_to_bfloat16(layer);
    for (int block = 0; block < policy.num_blocks; ++block) {
        for (int which = 0; which < 2; ++which) round_to_bfloat16(policy.block_layer(block, which));
    }
}

// The CPU's step on all cores, which agrees with double precision to within a few millionths.
inline std::vector<float> step_on_cpu(const zprl::Policy& policy, const std::vector<float>& obs,
                                      const std::vector<float>& residual, const std::vector<float>& noise,
                                      int64_t rows) {
    zprl::require_runnable(policy);
    std::vector<float> chunk(static_cast<size_t>(rows) * policy.chunk_dim());
    const int64_t threads = std::max(1u, std::thread::hardware_concurrency());
    const int64_t part = (rows + threads - 1) / threads;
    std::vector<std::thread> team;
    for (int64_t first = 0; first < rows; first += part) {
        team.emplace_back([&, first] {
            const int64_t count = std::min(part, rows - first);
            std::vector<float> workspace(zprl::workspace_floats(policy, count));
            zprl::policy_step(policy, obs.data() + first * policy.obs_dim, residual.data() + first * policy.latent_dim,
                              noise.data() + first * policy.chunk_dim(), nullptr, count,
                              chunk.data() + first * policy.chunk_dim(), workspace.data());
        });
    }
    for (std::thread& thread : team) thread.join();
    return chunk;
}

// As Errors of zprl/profiling/accuracy.py: in units of the truth's root mean square; all NaN if a result is.
struct Errors {
    double max, rms, cosine;
};

inline Errors measure_errors(const std::vector<float>& result, const std::vector<float>& truth) {
    double result_squares = 0.0, truth_squares = 0.0, products = 0.0, squares = 0.0, largest = 0.0;
    for (size_t i = 0; i < truth.size(); ++i) {
        const double x = result[i], y = truth[i];
        result_squares += x * x;
        truth_squares += y * y;
        squares += (x - y) * (x - y);
        largest = std::max(largest, std::abs(x - y));
    }
    const double result_norm = std::sqrt(result_squares), truth_norm = std::sqrt(truth_squares);
    for (size_t i = 0; i < truth.size(); ++i) {
        const double distance = result[i] / result_norm - truth[i] / truth_norm;
        products += 0.5 * distance * distance;  // 1 - cosine itself would drown in rounding
    }
    const double scale = truth_norm / std::sqrt(static_cast<double>(truth.size()));
    const Errors errors{largest / scale, std::sqrt(squares) / truth_norm, products};
    // std::max passes over NaN, the sums do not.
    if (std::isfinite(errors.rms) && std::isfinite(errors.cosine)) return errors;
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    return {kNan, kNan, kNan};
}

// As RULES of zprl/profiling/accuracy.py. NaN breaks every rule.
inline bool within_rules(const Errors& errors, zprl::cuda::Precision precision) {
    switch (precision) {
        case zprl::cuda::Precision::kFloat32:
            return errors.max <= 1e-5;
        case zprl::cuda::Precision::kTf32:
            return errors.rms <= 1e-3 && errors.max <= 1e-2;
        default:
            return errors.rms <= 6e-3 && errors.max <= 3e-2 && errors.cosine <= 2e-5;
    }
}

// -- times

class Stopwatch {
 public:
    Stopwatch() {
        check(cudaEventCreate(&start_), "making an event");
        check(cudaEventCreate(&end_), "making an event");
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;
    ~Stopwatch() {
        cudaEventDestroy(start_);
        cudaEventDestroy(end_);
    }

    // Microseconds on the GPU between the first and the last thing that the work puts on the stream.
    template <typename Work>
    double microseconds(cudaStream_t stream, Work work) const {
        check(cudaEventRecord(start_, stream), "timing");
        work();
        check(cudaEventRecord(end_, stream), "timing");
        check(cudaEventSynchronize(end_), "timed work");
        float milliseconds = 0.0f;
        check(cudaEventElapsedTime(&milliseconds, start_, end_), "timing");
        return 1e3 * milliseconds;
    }

 private:
    cudaEvent_t start_ = nullptr, end_ = nullptr;
};

struct Times {
    double median, p10, p90;  // of a step on the GPU, one after the other in a graph [us]
    double host;              // of planning and launching a step, on the host [us]
    int steps;                // in the graph
};

// Time a step that works on a stream. Graphs of many steps are replayed, so that neither the host nor the start on an
// idle GPU counts; weights stay in the level-2 cache, as in a control loop.
template <typename Step>
Times time_step(cudaStream_t stream, Step step) {
    constexpr int kReplays = 31, kCalls = 100;
    constexpr double kGraphMicroseconds = 2000.0;
    const Stopwatch watch;
    const auto calls = [&](int count) {
        for (int i = 0; i < count; ++i) step();
    };
    calls(3);
    const double estimate = watch.microseconds(stream, [&] { calls(10); }) / 10.0;

    // Fewer than the stream's queue holds: the host does not wait.
    const auto begin = std::chrono::steady_clock::now();
    calls(kCalls);
    const std::chrono::duration<double, std::micro> host = std::chrono::steady_clock::now() - begin;
    check(cudaStreamSynchronize(stream), "policy steps");

    Times times{};
    times.host = host.count() / kCalls;
    times.steps = std::clamp(static_cast<int>(kGraphMicroseconds / std::max(estimate, 1.0)), 1, 256);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a graph");
    calls(times.steps);
    check(cudaStreamEndCapture(stream, &graph), "capturing a graph");
    check(cudaGraphInstantiate(&replay, graph, 0), "making a graph");
    std::vector<double> samples;
    for (int i = 0; i <= kReplays; ++i) {
        const auto launch = [&] { check(cudaGraphLaunch(replay, stream), "replaying a graph"); };
        samples.push_back(watch.microseconds(stream, launch) / times.steps);
    }
    check(cudaGraphExecDestroy(replay), "freeing a graph");
    check(cudaGraphDestroy(graph), "freeing a graph");
    samples.erase(samples.begin());  // the first replay uploads the graph
    std::sort(samples.begin(), samples.end());
    times.median = samples[kReplays / 2];
    times.p10 = samples[kReplays / 10];
    times.p90 = samples[kReplays - 1 - kReplays / 10];
    return times;
}

}  // namespace gpu_driver
