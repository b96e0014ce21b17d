// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Faults: planning threads that are slow, fail or die, damaged bundles, and allocations where none may be.

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <thread>
#include <utility>

#include "count_allocations.h"
#include "golden.h"
#include "runtime_check.h"
#include "sha256.h"

namespace zprl {

void FakeBackend::plan(const Observation& obs, float* chunk, float* mean, float* decoded) {
    ++controls.plans;
    if (controls.gated) {
        while (sem_wait(&controls.gate) != 0) continue;
    }
    if (controls.during) controls.during();
    if (controls.fault == Fault::kThrowNumber) throw 42;
    if (controls.fault == Fault::kThrow) throw std::runtime_error("the network is on fire");
    if (controls.fault == Fault::kExitThread) pthread_exit(nullptr);
    float brightness = 0.0f;
    const auto* pixels = controls.pixels > 0 ? static_cast<const unsigned char*>(obs.images->data) : nullptr;
    for (size_t i = 0; i < controls.pixels; ++i) brightness += pixels[i];
    for (int i = 0; i < 8; ++i) chunk[i] = 10.0f * *obs.state + 1000.0f * brightness + static_cast<float>(i);
    if (controls.fault == Fault::kNan) chunk[7] = NAN;
    *mean = *obs.state;
    *decoded = *obs.state + 1.0f;
}

void MeanBackend::plan(const Observation& obs, float* chunk, float* mean, float* decoded) {
    float sum = 0.0f;
    for (int i = 0; i < contract_.obs_dim; ++i) sum += obs.state[i];
    for (size_t i = 0; i < contract_.images.size(); ++i) {
        const auto* pixels = static_cast<const unsigned char*>(obs.images[i].data);
        for (size_t k = 0; k < contract_.images[i].bytes; ++k) sum += pixels[k];
    }
    std::fill_n(chunk, contract_.chunk_dim(), 1e-6f * sum);
    std::fill_n(mean, contract_.latent_dim, 0.0f);
    std::fill_n(decoded, contract_.latent_dim, 0.0f);
}

namespace {

// An asynchronous controller whose plans end when the test says so. The observation of step t is t.
class Asynchronous {
 public:
    explicit Asynchronous(std::string name, int lead_steps = 1, const Contract& contract = small_contract())
        : pixels(contract.images.empty() ? 0 : contract.images[0].bytes), name_(std::move(name)) {
        controls.pixels = pixels.size();
        ControllerOptions options;
        options.asynchronous = true;
        options.lead_steps = lead_steps;
        options.range_margin = options.rate_margin = INFINITY;
        options.clock = [this] { return now.load(); };
        controller_ = std::make_unique<ChunkController>(contract, std::make_unique<FakeBackend>(controls), options);
        const float rest = 0.0f;  // what a hold repeats
        controller_->reset(&rest);
        controls.gated = true;  // the plan that warms up is over, and the thread reads this after its first request
    }

    ~Asynchronous() {
        for (int i = 0; i < 3; ++i) sem_post(&controls.gate);  // let go of whatever is under way
    }

    // Let the plan that is under way end, and wait for it.
    void end_plan() {
        require(controller_->planning(), place() + "no plan is under way");
        sem_post(&controls.gate);
        wait([&] { return !controller_->planning(); });
    }

    void step(float action, uint32_t flags) {
        const float obs = static_cast<float>(t_);
        const Image image{pixels.data(), pixels.size()};
        float sent = NAN;
        status = controller_->step({&obs, pixels.empty() ? nullptr : &image}, &sent);
        require(sent == action, place() + "action " + std::to_string(sent) + " instead of " + std::to_string(action));
        require(status.flags == flags,
                place() + "flags " + std::to_string(status.flags) + " instead of " + std::to_string(flags));
        ++t_;
    }

    // Whatever its flags.
    void any_step(float& action) {
        const float obs = static_cast<float>(t_++);
        status = controller_->step(&obs, &action);
    }

    // Until the flag comes, with the action of a hold all the while.
    void hold_until(uint32_t flag, float action) {
        wait([&] {
            const float obs = static_cast<float>(t_);
            float sent = NAN;
            status = controller_->step(&obs, &sent);
            ++t_;
            require(sent == action && (status.flags & kHolding), place() + "it does not hold");
            return (status.flags & flag) != 0;
        });
    }

    void reset() {
        controller_->reset();
        t_ = 0;
    }

    const char* last_error() const { return controller_->last_error(); }

    FakeBackend::Controls controls;
    std::atomic<double> now{0.0};  // [s]
    Status status;
    std::vector<unsigned char> pixels;  // that each step shows

 private:
    std::string place() const { return name_ + ", step " + std::to_string(t_) + ": "; }

    void wait(const std::function<bool()>& over) const {
        for (int i = 0; i < 20000; ++i) {
            if (over()) return;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        throw CheckFailed(place() + "nothing happens within 20 seconds");
    }

    std::string name_;
    int t_ = 0;
    std::unique_ptr<ChunkController> controller_;
};

void check_in_time() {
    Asynchronous a{"in time"};
    a.step(0, kHolding);
    a.end_plan();
    a.step(1, kPlanned);  // the plan of step 0, from its action 1 on
    a.step(2, 0);
    a.step(3, 0);
    a.step(4, 0);  // asks for a plan
    a.end_plan();
    a.step(41, kPlanned);
    require(a.status.chunk_index == 1 && a.status.plans == 2, "in time: the status");
    a.step(42, 0);
    a.step(43, 0);
    a.step(44, 0);
    a.end_plan();
    a.step(81, kPlanned);

    Asynchronous b{"a lead of 3", 3};
    b.step(0, kHolding);
    b.end_plan();
    b.step(1, kPlanned);
    b.step(2, 0);
    b.step(3, 0);
    b.step(4, 0);
    b.end_plan();  // early: it waits for its time
    b.step(5, 0);
    b.step(6, 0);
    b.step(43, kPlanned);
}

void check_late() {
    Asynchronous a{"late"};
    a.step(0, kHolding);
    a.step(0, kHolding | kLate);
    a.end_plan();
    a.step(2, kPlanned);
    a.step(3, 0);
    a.step(4, 0);
    a.step(5, kLate);  // asked at step 4, wanted here
    a.step(6, kLate);
    a.step(7, kLate);
    a.step(7, kHolding | kLate);  // the chunk is at its end
    a.step(7, kHolding | kLate);
    a.end_plan();
    a.step(46, kPlanned);  // step 10 of the plan of step 4; it asks for the next at once
    a.end_plan();
    a.step(101, kPlanned);

    Asynchronous b{"too late"};
    b.step(0, kHolding);
    for (int i = 1; i < 8; ++i) b.step(0, kHolding | kLate);
    b.end_plan();
    b.step(0, kHolding | kPlanTooOld);  // and asks anew
    b.end_plan();
    b.step(81, kPlanned);

    Asynchronous c{"a plan of another episode"};
    c.step(0, kHolding);
    c.reset();
    c.step(0, kHolding);
    c.end_plan();
    c.step(0, kHolding);  // thrown away; asks anew
    c.end_plan();
    c.step(11, kPlanned);  // the plan of step 1, from its action 1 on
}

void check_stall() {
    Asynchronous a{"a stall"};
    a.step(0, kHolding);
    a.end_plan();
    a.step(1, kPlanned);
    a.step(2, 0);
    a.step(3, 0);
    a.step(4, 0);  // asks for a plan
    a.now = a.now + 4000.0;
    a.step(4, kHolding | kStale | kLate);
    a.step(4, kHolding | kLate);
    a.end_plan();
    a.step(4, kHolding);  // it is of before the stall: thrown away, and asked for anew
    a.end_plan();
    a.step(71, kPlanned);
}

// The image that a plan was begun with is the plan's, whatever its buffer holds later; other steps look at none.
void check_images_of_the_thread() {
    Asynchronous a{"images", 1, seeing_contract()};
    a.pixels[11] = 1;
    a.step(0, kHolding);
    a.pixels[11] = 9;
    a.end_plan();
    a.step(1001, kPlanned);
    const std::vector<unsigned char> image = std::exchange(a.pixels, {});
    a.step(1002, 0);
    a.step(1003, 0);
    a.step(1004, kPlanFailed);  // no image to plan from
    require(std::strcmp(a.last_error(), "the image camera has 0 bytes instead of 12") == 0, "images: the last error");
    a.pixels = image;
    a.step(1005, 0);
    a.end_plan();
    a.step(9051, kPlanned);  // the plan of step 5
}

void check_failures() {
    using Fault = FakeBackend::Fault;
    Asynchronous a{"an exception"};
    a.step(0, kHolding);
    a.end_plan();
    a.step(1, kPlanned);
    a.step(2, 0);
    a.step(3, 0);
    a.controls.fault = Fault::kThrow;
    a.step(4, 0);
    a.end_plan();
    a.step(5, kPlanFailed);  // the old chunk goes on; asks anew
    require(std::strcmp(a.last_error(), "the network is on fire") == 0, "an exception: the last error");
    a.end_plan();
    a.controls.fault = Fault::kNan;
    a.step(6, kPlanFailed);
    a.end_plan();
    a.controls.fault = Fault::kNone;
    a.step(7, kPlanFailed);
    require(std::strcmp(a.last_error(), "the chunk holds NaN or infinity") == 0, "NaN: the last error");
    a.end_plan();
    a.step(71, kPlanned);
    a.step(72, 0);
    a.step(73, 0);
    a.step(74, 0);  // step 11
    a.controls.fault = Fault::kThrowNumber;
    a.end_plan();
    a.step(75, kPlanFailed);
    require(std::strcmp(a.last_error(), "an exception of an unknown type") == 0, "a number: the last error");

    Asynchronous b{"a dead thread"};
    b.step(0, kHolding);
    b.end_plan();
    b.step(1, kPlanned);
    b.step(2, 0);
    b.step(3, 0);
    b.controls.fault = Fault::kExitThread;
    b.step(4, 0);
    sem_post(&b.controls.gate);
    float action = 0.0f;
    for (int i = 5; i < 8; ++i) {  // whether it is dead yet or not
        b.any_step(action);
        require(action == static_cast<float>(i), "a dead thread: the old chunk does not go on");
    }
    b.hold_until(kThreadDead, 7);
    b.step(7, kHolding | kLate | kThreadDead);

    Asynchronous c{"death without a plan"};
    c.controls.fault = Fault::kExitThread;
    c.step(0, kHolding);
    sem_post(&c.controls.gate);
    c.hold_until(kThreadDead, 0);

    // A thread that fails before its first plan.
    FakeBackend::Controls unused;
    ControllerOptions failing;
    failing.asynchronous = true;
    failing.on_thread_start = [] { throw 42; };
    int thrown = 0;
    try {
        const ChunkController never(small_contract(), std::make_unique<FakeBackend>(unused), failing);
    } catch (const int number) {
        thrown = number;
    }
    require(thrown == 42, "what on_thread_start throws is lost");

    // On the caller's thread.
    FakeBackend::Controls controls;
    ControllerOptions options;
    ChunkController synchronous(small_contract(), std::make_unique<FakeBackend>(controls), options);
    float obs = 1.0f;
    require(synchronous.step(&obs, &action).flags == kPlanned && action == 10.0f, "synchronous: the first plan");
    for (int i = 1; i < 4; ++i) synchronous.step(&obs, &action);
    controls.fault = Fault::kThrow;
    require(synchronous.step(&obs, &action).flags == kPlanFailed && action == 14.0f, "synchronous: a failure");
    controls.fault = Fault::kNone;
    require(synchronous.step(&obs, &action).flags == kPlanned && action == 10.0f, "synchronous: after a failure");

    controls.fault = Fault::kThrow;
    bool refused = false;
    try {
        const ChunkController broken(small_contract(), std::make_unique<FakeBackend>(controls), options);
    } catch (const std::invalid_argument& error) {
        refused = std::string(error.what()) == "zprl: the back end fake cannot plan: the network is on fire.";
    }
    require(refused, "a back end that cannot plan is not refused");
    controls.fault = Fault::kThrowNumber;
    require(synchronous.step(&obs, &action).flags == 0, "synchronous: the chunk goes on");
}

// ---- Bundles --------------------------------------------------------------------------------------------------------

using Files = std::map<std::string, std::string>;

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

class Random {  // SplitMix64; see core_check.cpp
 public:
    explicit Random(uint64_t seed) : state_(seed) {}
    size_t below(size_t count) {
        uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return static_cast<size_t>((z ^ (z >> 31)) % count);
    }

 private:
    uint64_t state_;
};

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
}

// Damage a file's bytes.
void damage(std::string& bytes, Random& random) {
    if (bytes.empty()) return;
    switch (random.below(4)) {
        case 0:  // truncation
            bytes.resize(random.below(bytes.size()));
            break;
        case 1:  // extension
            bytes.append(1 + random.below(100), static_cast<char>(random.below(256)));
            break;
        case 2:  // bytes at the beginning, where headers are
            for (size_t i = 1 + random.below(4); i > 0; --i) {
                bytes[random.below(std::min<size_t>(bytes.size(), 256))] = static_cast<char>(random.below(256));
            }
            break;
        default:
            for (size_t i = 1 + random.below(8); i > 0; --i) {
                bytes[random.below(bytes.size())] ^= static_cast<char>(1 + random.below(255));
            }
    }
}

// Exchange a number, or another value, of the contract.
void damage_contract(std::string& text, Random& random) {
    constexpr const char* kValues[] = {"0",     "-1",   "1",     "2",  "1e300", "-1e300",           "0.5",
                                       "null",  "true", "\"x\"", "[]", "{}",    "9007199254740993", "65536",
                                       "1e-300"};
    const size_t start = text.find_first_of("0123456789-", random.below(text.size()));
    if (start == std::string::npos) return;
    const size_t end = text.find_first_not_of("0123456789-.e+", start);
    text.replace(start, (end == std::string::npos ? text.size() : end) - start,
                 kValues[random.below(std::size(kValues))]);
}

std::unique_ptr<Backend> make_backend(const Bundle& bundle) {
    if (bundle.contract().images.empty()) return make_native_backend(bundle);
    return std::make_unique<MeanBackend>(bundle.contract());
}

// Use a bundle as a program does; true if it runs.
bool use(const std::string& folder) {
    const Bundle bundle(folder);
    const auto make = [&] { return make_backend(bundle); };
    replay_golden(bundle, bundle.file_of_kind(bundle.contract().images.empty() ? "native" : "portable"), make);
    ControllerOptions options;
    options.asynchronous = true;
    options.lead_steps = 0;
    ChunkController controller(bundle.contract(), make(), options);
    const GoldenObservations obs = golden_observations(bundle);
    std::vector<float> action(bundle.contract().action_dim);
    for (int i = 0; i < 8; ++i) controller.step(obs.at(i % obs.steps()), action.data());
    return true;
}

}  // namespace

int check_faults() {
    check_in_time();
    check_late();
    check_stall();
    check_images_of_the_thread();
    check_failures();
    std::printf("runtime_check: faults: ok\n");
    return 0;
}

int check_allocations(const std::string& folder) {
    const Bundle bundle(folder);
    const GoldenObservations obs = golden_observations(bundle);
    const Contract& c = bundle.contract();
    std::vector<float> action(c.action_dim);
    const int64_t at_first = count_allocations();
    require(at_first > 0, "allocations are not counted");
    for (const bool asynchronous : {false, true}) {
        ControllerOptions options;
        options.asynchronous = asynchronous;
        options.lead_steps = 0;
        options.blend_steps = 1;
        options.stale_steps = INFINITY;
        ChunkController controller(c, make_backend(bundle), options);
        const int64_t before = count_allocations();
        int64_t plans = 0;
        for (int i = 0; i < 5000; ++i) {
            if (i % 100 == 0) controller.reset();
            while (controller.planning()) std::this_thread::yield();
            plans += (controller.step(obs.at(i % obs.steps()), action.data()).flags & kPlanned) != 0;
        }
        const int64_t count = count_allocations() - before;
        require(count == 0, std::to_string(count) + " allocations in 5000 steps");
        require(plans > 0, "nothing was planned");
    }
    std::printf("runtime_check: no allocations in 10000 steps\n");
    return 0;
}

// Give a contract its own checksum again, as an enemy would.
void reseal(std::string& contract) {
    const std::string before = "\"sha256\": \"";
    const size_t at = contract.find(before) + before.size();
    constexpr size_t kDigits = 64;
    if (contract.find(before) == std::string::npos || contract.size() < at + kDigits) return;
    contract.replace(at, kDigits, kDigits, '0');
    contract.replace(at, kDigits, sha256(contract.data(), contract.size()));
}

int fuzz_bundles(const std::string& folder, const std::string& scratch, uint64_t seed, long count) {
    Random random(seed);
    Files files;
    const std::string policy = Bundle(folder).contract().images.empty() ? "policy.zprl" : "policy_portable.pt";
    for (const std::string& name : {std::string("contract.json"), policy, std::string("golden.npz")})
        files[name] = read_text(folder + "/" + name);
    require(use(folder), "the intact bundle does not run");
    long ran = 0, refused = 0;
    for (long i = 0; i < count; ++i) {
        Files damaged = files;
        const std::string names[] = {"contract.json", policy, "golden.npz"};
        const std::string& name = names[random.below(3)];
        std::string& bytes = damaged[name];
        const std::string old_sum = sha256(bytes.data(), bytes.size());
        const std::string old_size = "\"size\": " + std::to_string(bytes.size());
        if (name == "contract.json" && random.below(4) > 0) {
            damage_contract(bytes, random);
        } else {
            damage(bytes, random);
        }
        if (name != "contract.json" && random.below(8) > 0) {  // a damage that the checksum does not show
            replace_all(damaged["contract.json"], old_sum, sha256(bytes.data(), bytes.size()));
            replace_all(damaged["contract.json"], old_size, "\"size\": " + std::to_string(bytes.size()));
        }
        if (random.below(8) > 0) reseal(damaged["contract.json"]);
        for (const auto& [file, content] : damaged) {
            std::ofstream(scratch + "/" + file, std::ios::binary)
                .write(content.data(), static_cast<std::streamsize>(content.size()));
        }
        try {
            ran += use(scratch);
        } catch (const std::invalid_argument& error) {
            const std::string text = error.what();
            require(text.size() > 10 && text.find('\n') == std::string::npos, "a refusal is not one sentence: " + text);
            ++refused;
        }
    }
    std::printf("runtime_check: %ld damaged bundles: %ld refused, %ld run\n", count, refused, ran);
    return 0;
}

}  // namespace zprl
