// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Threads that go through a program together, from one parallel loop to the next.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
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

// Loops that end when their work is done, whether all threads of a team have come to them or not: one that the system
// has put to sleep keeps the others waiting only while it is at work on an index. What it has missed it skips; between
// the loops, therefore, threads may read and write what is their own alone.
class SharedLoops {
 public:
    // Call work(i) for every i < count that no other thread has taken; return when all have been done.
    //
    //   position  how many loops this thread has been through: its own, from 0
    template <typename Work>
    void for_each(uint32_t& position, int count, const Work& work) {
        if (count == 0) return;
        const uint64_t loop = position++;
        uint64_t next = next_.load(std::memory_order_acquire);
        while (next >> 32 == loop) {
            if (static_cast<int>(next & UINT32_MAX) == count) return wait_for_end(loop);
            if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel)) continue;
            work(static_cast<int>(next & UINT32_MAX));
            if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) return end(loop);
            next = next_.load(std::memory_order_acquire);
        }
    }

 private:
    void wait_for_end(uint64_t loop);
    void end(uint64_t loop);

    std::atomic<uint64_t> next_{0};  // number of the running loop, and its next index in the lower half
    std::atomic<int> done_{0};       // indices of the running loop
    std::mutex mutex_;
    std::condition_variable ended_;
};

}  // namespace zprl
