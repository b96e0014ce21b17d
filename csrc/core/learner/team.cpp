// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "team.h"

#include <system_error>
#include <thread>
#include <vector>

namespace zprl::learner {
namespace {

// Looks at the others before a thread goes to sleep, some microseconds: as long as a loop's last index may take, and
// little enough where there are fewer cores than threads.
constexpr int kLooks = 2000;

void pause_shortly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

void Team::run(int threads, const std::function<void(Team&, int)>& program) {
    Team team;
    std::vector<std::thread> others;
    const auto join_in = [&team, &program](int thread) {
        {
            std::unique_lock<std::mutex> lock(team.mutex_);
            team.changed_.wait(lock, [&] { return team.threads_ > 0; });
        }
        program(team, thread);
    };
    try {
        for (int thread = 1; thread < threads; ++thread) others.emplace_back(join_in, thread);
    } catch (const std::system_error&) {  // the system gives no more, and fewer do the same
    }
    {
        const std::lock_guard<std::mutex> lock(team.mutex_);
        team.threads_ = static_cast<int>(others.size()) + 1;
    }
    team.changed_.notify_all();
    program(team, 0);
    for (std::thread& other : others) other.join();
}

void Team::wait_for_all() {
    const unsigned loop = loops_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        next_.store(0, std::memory_order_relaxed);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            loops_.store(loop + 1, std::memory_order_release);
        }
        changed_.notify_all();
        return;
    }
    for (int i = 0; i < kLooks; ++i) {
        if (loops_.load(std::memory_order_acquire) != loop) return;
        pause_shortly();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return loops_.load(std::memory_order_acquire) != loop; });
}

}  // namespace zprl::learner
