// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Plans that are made once. A plan takes tens of microseconds of the host's time, as long as a step of one row.

#pragma once

#include <cstddef>
#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>

#include "policy_step.h"

namespace zprl {
namespace cuda {

// What plan() returned, by what it depends on: the policy's shape and precision, the rows, the device and the choice.
// Safe to use from several threads.
class PlanCache {
 public:
    // The kept plan, or what `make` returns, which is kept unless it throws.
    template <typename Make>
    Plan get(const DevicePolicy& policy, int64_t rows, int device, KernelChoice choice, const Make& make) {
        const std::string key = key_of(policy, rows, device, choice);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto found = plans_.find(key);
            if (found != plans_.end()) return found->second;
        }
        const Plan plan = make();  // without the lock: a second thread that makes the same plan does no harm
        const std::lock_guard<std::mutex> lock(mutex_);
        if (plans_.size() >= kMost) plans_.clear();
        plans_.emplace(key, plan);
        return plan;
    }

    size_t size() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return plans_.size();
    }

    static constexpr size_t kMost = 4096;  // some megabytes, for programs whose batches have any number of rows

 private:
    static_assert(offsetof(DevicePolicy, bytes) == offsetof(DevicePolicy, block_layer_bytes) + 8 * sizeof(uint32_t) &&
                      sizeof(DevicePolicy) == offsetof(DevicePolicy, bytes) + sizeof(uint64_t),
                  "a key has no bytes between members, which nobody sets");

    static std::string key_of(const DevicePolicy& policy, int64_t rows, int device, KernelChoice choice) {
        std::string key(sizeof(policy) + sizeof(rows) + sizeof(device) + sizeof(choice), '\0');
        char* at = key.data();
        const auto append = [&at](const void* from, size_t bytes) {
            std::memcpy(at, from, bytes);
            at += bytes;
        };
        append(&policy, sizeof(policy));
        append(&rows, sizeof(rows));
        append(&device, sizeof(device));
        append(&choice, sizeof(choice));
        return key;
    }

    std::mutex mutex_;
    std::unordered_map<std::string, Plan> plans_;
};

}  // namespace cuda
}  // namespace zprl
