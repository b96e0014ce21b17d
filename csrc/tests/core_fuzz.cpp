// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Damaged policy blobs: each is refused with std::invalid_argument, or runs.

#include <cmath>
#include <limits>
#include <stdexcept>

#include "core_calls.h"
#include "core_checks.h"

namespace core_check {

namespace {

int32_t random_header_value(int32_t old, Random& random) {
    constexpr int32_t kExtremes[] = {INT32_MIN,
                                     INT32_MIN + 1,
                                     -1,
                                     0,
                                     1,
                                     2,
                                     63,
                                     64,
                                     65,
                                     1 << 10,
                                     1 << 16,
                                     (1 << 16) + 1,
                                     1 << 20,
                                     (1 << 20) + 1,
                                     1 << 30,
                                     1 << 29,
                                     INT32_MAX - 1,
                                     INT32_MAX};
    switch (random.below(4)) {
        case 0:
            return pick(kExtremes, random);
        case 1:
            return static_cast<int32_t>(static_cast<uint32_t>(random.bits()));
        case 2:
            return static_cast<int32_t>(1 + random.below(20));
        default:
            return static_cast<int32_t>(static_cast<uint32_t>(old) + static_cast<uint32_t>(random.below(7)) - 3u);
    }
}

void set_header(std::vector<char>& blob, size_t field, int32_t value) {
    if ((field + 1) * sizeof(value) <= blob.size()) std::memcpy(blob.data() + field * sizeof(value), &value, 4);
}

int32_t get_header(const std::vector<char>& blob, size_t field) {
    int32_t value = 0;
    if ((field + 1) * sizeof(value) <= blob.size()) std::memcpy(&value, blob.data() + field * sizeof(value), 4);
    return value;
}

void damage(std::vector<char>& blob, Random& random) {
    const size_t header_bytes = zprl::kHeaderInts * sizeof(int32_t);
    switch (random.below(6)) {
        case 0:  // bytes anywhere
            for (size_t i = 1 + random.below(8); i > 0 && !blob.empty(); --i) {
                blob[random.below(blob.size())] ^= static_cast<char>(1 + random.below(255));
            }
            break;
        case 1:  // bits of the header
            for (size_t i = 1 + random.below(3); i > 0 && blob.size() >= header_bytes; --i) {
                blob[random.below(4 * zprl::kFieldFirstUnused)] ^= static_cast<char>(1 << random.below(8));
            }
            break;
        case 2: {  // numbers of the header
            for (size_t i = 1 + random.below(3); i > 0; --i) {
                const size_t field = random.below(zprl::kFieldFirstUnused);
                set_header(blob, field, random_header_value(get_header(blob, field), random));
            }
            break;
        }
        case 3:  // truncation, now and then to less than the header
            blob.resize(random.below(4) == 0 ? random.below(std::min(blob.size(), header_bytes + 64) + 1)
                                             : random.below(blob.size() + 1));
            if (random.below(2) == 0) set_header(blob, zprl::kFieldBytes, static_cast<int32_t>(blob.size()));
            break;
        case 4:  // extension
            for (size_t i = 1 + random.below(300); i > 0; --i) blob.push_back(static_cast<char>(random.bits()));
            if (random.below(2) == 0) set_header(blob, zprl::kFieldBytes, static_cast<int32_t>(blob.size()));
            break;
        default: {  // weights: huge, tiny, infinite, NaN
            constexpr float kValues[] = {0.0f,   -0.0f,   1e-40f,   1e30f,
                                         -1e38f, 3.4e38f, INFINITY, std::numeric_limits<float>::quiet_NaN()};
            for (size_t i = 1 + random.below(20); i > 0 && blob.size() >= header_bytes + 4; --i) {
                const float value = pick(kValues, random);
                const size_t at = header_bytes + 4 * random.below((blob.size() - header_bytes) / 4);
                std::memcpy(blob.data() + at, &value, sizeof(value));
            }
        }
    }
}

struct Outcome {
    std::string refusal;  // empty if there is none
    bool ran = false;
};

// Parse a blob and, if it is a policy, run it.
Outcome attempt(const std::vector<char>& bytes, size_t shift, Random& random) {
    constexpr double kMostWork = 5e7;
    Memory<char> blob(bytes, shift);
    Outcome outcome;
    try {
        const zprl::Policy p = zprl::parse_policy(blob.data(), bytes.size());
        zprl::require_finite_weights(p);
        zprl::require_runnable(p);
        constexpr int64_t kRows = 2;
        if (kRows * multiply_adds(p) <= kMostWork) {
            Shape s;
            s.obs = p.obs_dim;
            s.action = p.action_dim;
            s.horizon = p.horizon;
            s.embed = p.embed_dim;
            s.latent = p.latent_dim;
            Call call = pick(kCalls, random);
            if (!can(p.parts, call)) call = Call::kActFromCondition;
            const std::vector<float> result = run(p, s, random_batch(s, kRows, random), call, 4);
            // Finite weights can be large enough to overflow. That is for the caller to see, not for check_result().
            zprl::check_result(p, result.data(), static_cast<int64_t>(result.size()));
            outcome.ran = true;
        }
    } catch (const std::invalid_argument& error) {
        outcome.refusal = error.what();
        require(outcome.refusal.size() > 10 && outcome.refusal.find('\n') == std::string::npos,
                "a refusal is not one sentence: " + outcome.refusal);
    }
    blob.require_guards("the blob");
    require(same_bits(blob.values().data(), bytes.data(), bytes.size()), "the blob was changed");
    return outcome;
}

// A changed header nearly always asks for another length. Give it that length, so that such a policy is run as well.
bool give_wanted_length(std::vector<char>& blob, const std::string& refusal, Random& random) {
    constexpr long long kLongest = 1 << 20;
    const size_t at = refusal.find("ask for ");
    if (at == std::string::npos) return false;
    const long long wanted = std::strtoll(refusal.c_str() + at + 8, nullptr, 10);
    if (wanted < zprl::kHeaderInts * 4 || wanted > kLongest) return false;
    const size_t before = blob.size();
    blob.resize(static_cast<size_t>(wanted));
    for (size_t i = before / 4 * 4; i + 4 <= blob.size(); i += 4) {
        const uint16_t halves[2] = {to_bf16(random.normal(0.1)), to_bf16(random.normal(0.1))};  // finite in both types
        std::memcpy(blob.data() + i, halves, sizeof(halves));
    }
    set_header(blob, zprl::kFieldBytes, static_cast<int32_t>(wanted));
    return true;
}

}  // namespace

int fuzz(uint64_t seed, long count) {
    Random random(seed);
    std::vector<std::vector<char>> originals;
    for (int i = 0; i < 18; ++i) {
        Shape s;
        s.dtype = i % 2 == 0 ? Dtype::kFloat32 : Dtype::kBfloat16;
        if (i >= 12) {
            s.unet = {{2, 4, 6}, 1 + 2 * (i % 3), 1 + i / 2 % 2};
            s.unet.channels.resize(1 + i % 3);
        }
        s.obs = 1 + static_cast<int>(random.below(9));
        s.action = 1 + static_cast<int>(random.below(4));
        s.horizon = 1 + static_cast<int>(random.below(4));
        s.embed = 1 + static_cast<int>(random.below(9));
        s.latent = 1 + static_cast<int>(random.below(5));
        s.hidden = s.is_unet() ? 0 : 1 + static_cast<int>(random.below(9));
        s.blocks = s.is_unet() ? 0 : 1 + i % 2;
        s.solver = i / 2 % 4;
        s.steps = 1 + i % 3;
        for (int j = 0; j < i % 3; ++j) s.embed_hidden.push_back(1 + static_cast<int>(random.below(9)));
        for (int j = 0; j < (i + 1) % 3; ++j) s.vib_hidden.push_back(1 + static_cast<int>(random.below(9)));
        if (i >= 8) {
            s.parts = zprl::kPartFlow | (i < 10 ? zprl::kPartBottleneck : 0);
        } else if (i >= 4) {
            s.steered = true;
            s.activation = i - 4;
            s.output = static_cast<zprl::ActorOutput>(i / 2 % 2);
            for (int j = 0; j < i % 3; ++j) s.actor_hidden.push_back(1 + static_cast<int>(random.below(9)));
        }
        originals.push_back(pack(random_model(s, random)));
        const Outcome outcome = attempt(originals.back(), 4, random);
        require(outcome.ran || s.dtype == Dtype::kBfloat16, "an intact blob is refused: " + outcome.refusal);
    }
    long refused = 0, ran = 0, skipped = 0;
    for (long i = 0; i < count; ++i) {
        try {
            std::vector<char> blob = originals[random.below(originals.size())];
            for (size_t j = 1 + random.below(2); j > 0; --j) damage(blob, random);
            constexpr size_t kShifts[] = {0, 4, 8, 12, 1, 2, 3};
            const size_t shift = random.below(4) > 0 ? 4 : pick(kShifts, random);
            Outcome outcome = attempt(blob, shift, random);
            if (give_wanted_length(blob, outcome.refusal, random)) outcome = attempt(blob, shift, random);
            ++(!outcome.refusal.empty() ? refused : outcome.ran ? ran : skipped);
        } catch (const std::exception& error) {
            throw CheckFailed(text("seed %llu, blob %ld: ", static_cast<unsigned long long>(seed), i) + error.what());
        }
    }
    std::printf("core_check: %s: %ld damaged blobs: %ld refused, %ld run, %ld too large to run\n", zprl::cpu_level(),
                count, refused, ran, skipped);
    return 0;
}

}  // namespace core_check
