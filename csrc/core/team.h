// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Threads that go through a program together, from one parallel loop to the next.

#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace zprl {

// All threads of a team call the same loops in the same order. A loop hands its indices out one by one, to whichever
// thread is free, and ends for all threads together: what it wrote, the next one reads.
class Team {
 public:
    // Call program(team, thread) on `threads` threads, numbered from 0, of which the caller is one, or on as many as
    // the system gives; return when all have returned. The program must not throw.
    static void run(int threads, const std::function<void(Team&, int)>& program);

    // Call work(i) for every i < count.
    template <typename Work>
    void for_each(int count, const Work& work) {
        for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) work(i);
        wait_for_all();
    }

 private:
    Team() = default;
    void wait_for_all();

    int threads_ = 0;                        // 0 until all have been started
    std::atomic<int> next_{0}, arrived_{0};  // index of the running loop, and threads at its end
    std::atomic<unsigned> loops_{0};         // that have ended
    std::mutex mutex_;
    std::condition_variable changed_;  // threads_ or loops_
};

}  // namespace zprl
