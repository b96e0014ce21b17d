// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "realtime.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace zprl {
namespace {

// Write to pages that the stack will need, so that none of them is missing later.
void touch_stack() {
    constexpr size_t kBytes = 256 * 1024, kPage = 4096;
    volatile char stack[kBytes];
    for (size_t i = 0; i < kBytes; i += kPage) stack[i] = 0;
}

}  // namespace

std::vector<std::string> make_realtime(const RealtimeOptions& options) {
    std::vector<std::string> failed;
    if (options.lock_memory) {
        if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
            failed.push_back("memory is not locked (" + std::string(std::strerror(errno)) +
                             "): raise the limit memlock in /etc/security/limits.conf.");
        }
        touch_stack();
    }
    if (options.cpu >= 0) {
        int error = EINVAL;
        if (options.cpu < CPU_SETSIZE) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(options.cpu, &set);
            error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
        }
        if (error != 0) {
            failed.push_back("the thread is not bound to processor " + std::to_string(options.cpu) + " (" +
                             std::strerror(error) + "): choose one that this process may use.");
        }
    }
    if (options.priority > 0) {
        sched_param param{};
        param.sched_priority = options.priority;
        const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
        if (error != 0) {
            failed.push_back("the thread does not have real-time priority " + std::to_string(options.priority) + " (" +
                             std::strerror(error) + "): raise the limit rtprio in /etc/security/limits.conf.");
        }
    }
    return failed;
}

}  // namespace zprl
