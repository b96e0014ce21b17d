// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Planning on the caller's thread or on one of its own: the single slot through which observations and chunks pass.

#pragma once

#include <semaphore.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "backend.h"

namespace zprl {

// One plan at a time. `state` says whose the other members are: the controller's when idle or done, the planning
// thread's when requested. There is no lock, so neither side ever waits for the other.
class PlanSlot {
 public:
    enum class State { kIdle, kRequested, kDone };

    PlanSlot(const Contract& c, std::unique_ptr<Backend> backend)
        : obs(c.obs_dim),
          chunk(c.chunk_dim()),
          mean(c.latent_dim),
          decoded(c.latent_dim),
          backend_(std::move(backend)) {}

    ~PlanSlot() {
        if (!thread_.joinable()) return;
        stop_.store(true, std::memory_order_relaxed);
        sem_post(&wake_);
        thread_.join();
        sem_destroy(&wake_);
    }

    // -- the controller's side

    void start_thread(std::function<void()> on_start) {
        if (sem_init(&wake_, 0, 0) != 0) throw std::runtime_error("zprl: no semaphore can be had.");
        thread_ = std::thread([this, on_start = std::move(on_start)] { run(on_start); });
    }

    // Plan from `obs`, here and now or on the thread.
    void request() {
        if (!thread_.joinable()) return plan();
        state_.store(State::kRequested, std::memory_order_release);
        sem_post(&wake_);
    }

    void release() { state_.store(State::kIdle, std::memory_order_relaxed); }

    State state() const { return state_.load(std::memory_order_acquire); }
    bool thread_is_dead() const { return dead_.load(std::memory_order_acquire); }
    const Backend& backend() const { return *backend_; }

    // Request.
    std::vector<float> obs;
    int64_t step = 0;      // that the observation belongs to
    uint32_t episode = 0;  // likewise

    // Result.
    std::vector<float> chunk, mean, decoded;
    bool ok = false;
    double seconds = 0.0;
    char error[256] = "";

 private:
    void plan() {
        const auto start = std::chrono::steady_clock::now();
        ok = false;
        // Only these: a thread that is cancelled unwinds through here and must not be kept.
        try {
            backend_->plan(obs.data(), chunk.data(), mean.data(), decoded.data());
            ok = true;
            for (const float value : chunk) ok = ok && std::isfinite(value);
            if (!ok) std::snprintf(error, sizeof(error), "the chunk holds NaN or infinity");
        } catch (const std::exception& problem) {
            std::snprintf(error, sizeof(error), "%s", problem.what());
        }
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        state_.store(State::kDone, std::memory_order_release);
    }

    void run(const std::function<void()>& on_start) {
        struct Death {  // seen however the thread ends
            std::atomic<bool>& dead;
            ~Death() { dead.store(true, std::memory_order_release); }
        } death{dead_};
        if (on_start) on_start();
        while (true) {
            while (sem_wait(&wake_) != 0) continue;  // interrupted by a signal
            if (stop_.load(std::memory_order_relaxed)) return;
            if (state() == State::kRequested) plan();
        }
    }

    std::unique_ptr<Backend> backend_;
    std::atomic<State> state_{State::kIdle};
    std::atomic<bool> stop_{false}, dead_{false};
    sem_t wake_;
    std::thread thread_;
};

}  // namespace zprl
