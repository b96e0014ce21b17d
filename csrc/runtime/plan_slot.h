// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Planning on the caller's thread or on one of its own: the single slot through which observations and chunks pass.

#pragma once

#include <semaphore.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "backend.h"

namespace zprl {

// One plan at a time. `state` says whose the other members are: the controller's when idle or done, the planning
// thread's when requested. There is no lock, so neither side ever waits for the other.
class PlanSlot {
 public:
    enum class State { kIdle, kRequested, kDone };

    // The contract stays the caller's.
    PlanSlot(const Contract& c, std::unique_ptr<Backend> backend, std::function<double()> clock)
        : state_vector(c.obs_dim),
          chunk(c.chunk_dim()),
          mean(c.latent_dim),
          decoded(c.latent_dim),
          contract_(c),
          backend_(std::move(backend)),
          clock_(std::move(clock)) {
        for (const ObservationGroup& group : c.images) {
            pixels_.emplace_back(group.bytes);
            images_.push_back({pixels_.back().data(), group.bytes});  // which stays there when pixels_ grows
        }
    }

    ~PlanSlot() {
        if (!thread_.joinable()) return;
        stop_.store(true, std::memory_order_relaxed);
        sem_post(&wake_);
        thread_.join();
        sem_destroy(&wake_);
    }

    // -- the controller's side

    // Throws what `on_start` throws on the thread.
    void start_thread(std::function<void()> on_start) {
        if (sem_init(&wake_, 0, 0) != 0) throw std::runtime_error("zprl: no semaphore can be had.");
        std::packaged_task<void()> start([on_start = std::move(on_start)] {
            if (on_start) on_start();
        });
        std::future<void> started = start.get_future();
        thread_ = std::thread([this, start = std::move(start)]() mutable { run(std::move(start)); });
        started.get();
    }

    // Copy the observation to plan from. False, with an `error`, if an image is missing or has another size.
    bool take(const Observation& obs) {
        if (images_are_wrong(contract_, obs, error, sizeof(error))) return false;
        std::copy_n(obs.state, state_vector.size(), state_vector.data());
        for (size_t i = 0; i < pixels_.size(); ++i)
            std::memcpy(pixels_[i].data(), obs.images[i].data, pixels_[i].size());
        return true;
    }

    // Plan from what was taken, here and now or on the thread.
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
    std::vector<float> state_vector;
    int64_t step = 0;         // that the observation belongs to
    uint32_t generation = 0;  // of the controller; a plan of an earlier one is thrown away

    // Result.
    std::vector<float> chunk, mean, decoded;
    bool ok = false;
    double seconds = 0.0;
    char error[256] = "";

 private:
    void plan() {
        const double start = clock_();
        ok = false;
        try {
            backend_->plan({state_vector.data(), images_.data()}, chunk.data(), mean.data(), decoded.data());
            ok = true;
            for (const float value : chunk) ok = ok && std::isfinite(value);
            if (!ok) std::snprintf(error, sizeof(error), "the chunk holds NaN or infinity");
        } catch (const std::exception& problem) {
            std::snprintf(error, sizeof(error), "%s", problem.what());
        } catch (...) {
            if (!std::current_exception()) throw;  // none, but a thread that is cancelled, which must not be kept
            std::snprintf(error, sizeof(error), "an exception of an unknown type");
        }
        seconds = clock_() - start;
        state_.store(State::kDone, std::memory_order_release);
    }

    void run(std::packaged_task<void()> start) {
        struct Death {  // seen however the thread ends
            std::atomic<bool>& dead;
            ~Death() { dead.store(true, std::memory_order_release); }
        } death{dead_};
        start();
        while (true) {
            while (sem_wait(&wake_) != 0) continue;  // interrupted by a signal
            if (stop_.load(std::memory_order_relaxed)) return;
            if (state() == State::kRequested) plan();
        }
    }

    const Contract& contract_;
    std::vector<std::vector<unsigned char>> pixels_;  // by image; zeros at first
    std::vector<Image> images_;                       // of the pixels
    std::unique_ptr<Backend> backend_;
    const std::function<double()> clock_;
    std::atomic<State> state_{State::kIdle};
    std::atomic<bool> stop_{false}, dead_{false};
    sem_t wake_;
    std::thread thread_;
};

}  // namespace zprl
