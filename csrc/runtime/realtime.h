// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Settings of the operating system for a control loop.

#pragma once

#include <string>
#include <vector>

namespace zprl {

struct RealtimeOptions {
    int priority = 80;        // SCHED_FIFO, 1 to 99; 0 leaves the scheduling as it is
    int cpu = -1;             // run on this processor alone; -1 leaves the choice
    bool lock_memory = true;  // keep all pages of the process in memory, and touch the stack in advance
};

// Apply the options to the calling thread (memory: to the process). Returns one sentence for each that failed, with
// what to do; the others are in effect. Call it before the loop starts, on the loop's thread.
std::vector<std::string> make_realtime(const RealtimeOptions& options = {});

}  // namespace zprl
