// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// zprl_run: does an exported policy compute here what it computed in training, and how fast? See kUsage.
//
// Exit status: 0 if all is well, 1 if the replay is beyond its tolerance or the loop allocated, 2 for an error.

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "chunk_controller.h"
#include "count_allocations.h"
#include "golden.h"
#include "realtime.h"
#if defined(ZPRL_TORCH_BACKEND)
#include "torch_backend.h"
#endif

namespace {

constexpr const char* kUsage =
    "usage: zprl_run --bundle DIR (--golden | --bench) [options]\n"
    "  --golden               replay the bundle's recording; exit status 1 beyond the tolerance\n"
    "  --bench                run the control loop and time it\n"
    "  --backend native|torch what computes the policy (default native); one that sees images runs on torch\n"
    "  --torch-library PATH   libzprl_torch.so, for the back end torch; without it policy_portable.pt runs\n"
    "  --rate HZ              of the loop (default 1000)\n"
    "  --seconds S            length of the loop (default 10)\n"
    "  --asynchronous         plan on a thread of its own\n"
    "  --blend STEPS          steps of the hand-over between chunks (default 0)\n"
    "  --priority N --cpu N   real-time priority of the loop, and the processor that it runs on\n";

struct Arguments {
    std::string bundle, backend = "native", torch_library;
    bool golden = false, bench = false, asynchronous = false;
    double rate = 1000.0, seconds = 10.0;
    int blend = 0, priority = 0, cpu = -1;
};

double number(const char* text, double low, double high, const std::string& option) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) {
        throw std::invalid_argument("zprl: " + option + " is '" + text + "'; it must be a number within its bounds.");
    }
    return value;
}

Arguments parse(int argc, char** argv) {
    Arguments a;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "--golden") {
            a.golden = true;
        } else if (option == "--bench") {
            a.bench = true;
        } else if (option == "--asynchronous") {
            a.asynchronous = true;
        } else if (i + 1 == argc) {
            throw std::invalid_argument("zprl: " + option + " is unknown or lacks its value.\n" + kUsage);
        } else if (const char* value = argv[++i]; option == "--bundle") {
            a.bundle = value;
        } else if (option == "--backend") {
            a.backend = value;
        } else if (option == "--torch-library") {
            a.torch_library = value;
        } else if (option == "--rate") {
            a.rate = number(value, 0.1, 1e5, option);
        } else if (option == "--seconds") {
            a.seconds = number(value, 0.01, 3600.0, option);
        } else if (option == "--blend") {
            a.blend = static_cast<int>(number(value, 0, 1000, option));
        } else if (option == "--priority") {
            a.priority = static_cast<int>(number(value, 0, 99, option));
        } else if (option == "--cpu") {
            a.cpu = static_cast<int>(number(value, -1, 4095, option));
        } else {
            throw std::invalid_argument("zprl: " + option + " is unknown.\n" + kUsage);
        }
    }
    if (a.bundle.empty() || a.golden == a.bench) {
        throw std::invalid_argument(std::string("zprl: give a bundle, and either --golden or --bench.\n") + kUsage);
    }
    return a;
}

// Name of the bundle's file that the back end runs.
std::string file_of(const Arguments& a, const zprl::Bundle& bundle) {
    if (a.backend == "native") return zprl::native_file(bundle);
    if (a.backend != "torch")
        throw std::invalid_argument("zprl: --backend is '" + a.backend + "'; choose native or torch.");
    return bundle.file_of_kind(a.torch_library.empty() ? "portable" : "torchscript");
}

std::unique_ptr<zprl::Backend> make_backend(const Arguments& a, const zprl::Bundle& bundle) {
    if (a.backend == "native") return zprl::make_native_backend(bundle);
#if defined(ZPRL_TORCH_BACKEND)
    return zprl::make_torch_backend(bundle, file_of(a, bundle), a.torch_library);
#else
    throw std::invalid_argument(
        "zprl: this program was built without LibTorch; build it with -DZPRL_TORCH_BACKEND=ON.");
#endif
}

int golden(const Arguments& a, const zprl::Bundle& bundle) {
    const zprl::Contract& c = bundle.contract();
    const zprl::GoldenResult r =
        zprl::replay_golden(bundle, file_of(a, bundle), [&] { return make_backend(a, bundle); });
    std::printf("%s: %lld steps and %lld plans of %lld episodes\n", a.backend.c_str(), static_cast<long long>(r.steps),
                static_cast<long long>(r.plans), static_cast<long long>(r.episodes));
    std::printf("%-24s %12s %12s\n", "action", "max error", "tolerance");
    for (int i = 0; i < c.action_dim; ++i) {
        std::printf("%-24s %12.3e %12.3e\n", c.action_names[i].c_str(), r.error[i], r.tolerance[i]);
    }
    std::printf("max error %.3e of the chunks' RMS; latent: %.3e of its RMS\n", r.relative_error, r.latent_error);
    std::printf("in the loop: action error %.3e, %lld plans at other steps\n", r.action_error,
                static_cast<long long>(r.misplaced_plans));
    std::printf("%s\n", r.passed ? "passed" : "FAILED: beyond the tolerance");
    return r.passed ? 0 : 1;
}

void print_times(const char* name, std::vector<double>& seconds) {
    if (seconds.empty()) return;
    std::sort(seconds.begin(), seconds.end());
    const auto quantile = [&](double q) {
        return 1e6 *
               seconds[std::min(seconds.size() - 1, static_cast<size_t>(q * static_cast<double>(seconds.size())))];
    };
    std::printf("%-22s %9zu %9.1f %9.1f %9.1f %9.1f\n", name, seconds.size(), quantile(0.5), quantile(0.99),
                quantile(0.999), 1e6 * seconds.back());
}

double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void sleep_until(double seconds) {
    timespec time;
    time.tv_sec = static_cast<time_t>(seconds);
    time.tv_nsec = static_cast<long>(1e9 * (seconds - static_cast<double>(time.tv_sec)));
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) != 0) continue;
}

// Seconds of plans without a controller, one every `interval` seconds, or one after the other if that is zero.
std::vector<double> time_plans(zprl::Backend& backend, const zprl::Contract& c, const zprl::GoldenObservations& obs,
                               size_t count, double interval) {
    std::vector<float> chunk(c.chunk_dim()), mean(c.latent_dim), decoded(c.latent_dim);
    std::vector<double> seconds(count);
    const double begin = now();
    for (size_t i = 0; i < count; ++i) {
        if (interval > 0.0) sleep_until(begin + static_cast<double>(i) * interval);
        const double start = now();
        backend.plan(obs.at(static_cast<int64_t>(i) % obs.steps()), chunk.data(), mean.data(), decoded.data());
        seconds[i] = now() - start;
    }
    return seconds;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

int bench(const Arguments& a, const zprl::Bundle& bundle) {
    zprl::ControllerOptions options;
    options.asynchronous = a.asynchronous;
    options.blend_steps = a.blend;
    if (a.asynchronous) options.lead_steps = std::min(1, bundle.contract().horizon - bundle.contract().execute_steps);
    options.stale_steps = INFINITY;  // a loop that is always behind is timed as well
    zprl::Contract contract = bundle.contract();
    contract.period = 1.0 / a.rate;  // what counts as late
    const zprl::GoldenObservations obs = zprl::golden_observations(bundle);
    zprl::ChunkController controller(contract, make_backend(a, bundle), options);
    zprl::RealtimeOptions realtime;
    realtime.priority = a.priority;
    realtime.cpu = a.cpu;
    for (const std::string& problem : zprl::make_realtime(realtime)) std::printf("note: %s\n", problem.c_str());

    const auto steps = static_cast<size_t>(a.seconds * a.rate) + 1;
    std::vector<double> latency(steps), jitter(steps), planning, planning_steps;
    planning.reserve(steps);
    planning_steps.reserve(steps);
    std::vector<float> action(contract.action_dim);
    int64_t late = 0, holding = 0;
    const int64_t before = zprl::count_allocations();
    const double start = now() + 0.01;
    for (size_t i = 0; i < steps; ++i) {
        const double due = start + static_cast<double>(i) / a.rate;
        sleep_until(due);
        const double woken = now();
        const zprl::Status status = controller.step(obs.at(static_cast<int64_t>(i) % obs.steps()), action.data());
        latency[i] = now() - woken;
        jitter[i] = woken - due;
        if (status.flags & zprl::kPlanned) {
            planning.push_back(status.planning_time);
            planning_steps.push_back(latency[i]);
        }
        late += (status.flags & zprl::kLate) != 0;
        holding += (status.flags & zprl::kHolding) != 0;
    }
    const int64_t allocations = zprl::count_allocations() - before;
    const auto alone = make_backend(a, bundle);
    const size_t plans = planning.size();
    std::vector<double> paced = time_plans(*alone, contract, obs, plans, contract.execute_steps / a.rate);
    std::vector<double> in_a_row = time_plans(*alone, contract, obs, plans, 0.0);

    std::printf("%s%s at %.0f Hz for %.1f s\n", controller.backend().name(),
                a.asynchronous ? ", asynchronous" : ", synchronous", a.rate, a.seconds);
    std::printf("%-22s %9s %9s %9s %9s %9s\n", "[us]", "count", "median", "p99", "p99.9", "worst");
    print_times("step", latency);
    if (!a.asynchronous) print_times("step that plans", planning_steps);
    print_times("plan", planning);
    print_times("plan alone, as often", paced);
    print_times("plan alone, in a row", in_a_row);
    print_times("wake-up after due time", jitter);
    if (!a.asynchronous && plans > 0) {
        std::printf("a step that plans takes %.2f times as long as a plan alone as often, %.2f times one in a row\n",
                    median(planning_steps) / median(paced), median(planning_steps) / median(in_a_row));
    }
    std::printf("%lld late, %lld holding, %lld allocations in the loop\n", static_cast<long long>(late),
                static_cast<long long>(holding), static_cast<long long>(allocations));
    return allocations == 0 || a.backend == "torch" ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Arguments a = parse(argc, argv);
        const zprl::Bundle bundle(a.bundle);
        return a.golden ? golden(a, bundle) : bench(a, bundle);
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "error: zprl: memory does not suffice; choose a lower --rate or fewer --seconds.\n");
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}
