// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "team.h"

#include <system_error>
#include <thread>
#include <vector>

namespace zprl {
namespace {

// How often a thread looks whether the others have come before it goes to sleep: first for some microseconds, and then,
// for about a millisecond, letting whatever else wants the core go first. With one of two cores taken by another
// process, sleeping after the first made a step 8 % slower: there are five loops in it.
constexpr int kQuickLooks = 1000, kPatientLooks = 1000;

void pause_shortly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Whether something comes true while a thread looks.
template <typename Condition>
bool comes_true(const Condition& condition) {
    for (int i = 0; i < kQuickLooks + kPatientLooks; ++i) {
        if (condition()) return true;
        i < kQuickLooks ? pause_shortly() : std::this_thread::yield();
    }
    return false;
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
    const auto ended = [&] { return loops_.load(std::memory_order_acquire) != loop; };
    if (comes_true(ended)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, ended);
}

void SharedLoops::wait_for_end(uint64_t loop) {
    const auto ended = [&] { return next_.load(std::memory_order_acquire) >> 32 != loop; };
    if (comes_true(ended)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, ended);
}

void SharedLoops::end(uint64_t loop) {
    done_.store(0, std::memory_order_relaxed);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        next_.store((loop + 1) << 32, std::memory_order_release);
    }
    ended_.notify_all();
}

}  // namespace zprl
