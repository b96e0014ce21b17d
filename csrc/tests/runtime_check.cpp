// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the runtime, without torch and Python, so that it runs under the compiler's sanitizers.
//
//   runtime_check controller | faults | readers          sequences of actions and results that are known
//   runtime_check allocations BUNDLE                     none in 10,000 steps of the control loop
//   runtime_check fuzz BUNDLE SCRATCH SEED COUNT         damaged copies of a bundle, in the folder SCRATCH
//
// Exit status 1 and one line on stderr if something is wrong.

#include "runtime_check.h"

#include <cstdio>
#include <cstdlib>

#include "json.h"
#include "realtime.h"
#include "sha256.h"

namespace zprl {
namespace {

constexpr double kInfinity = INFINITY;

ControllerOptions options_without_limits() {
    ControllerOptions options;
    options.range_margin = options.rate_margin = options.stale_steps = kInfinity;
    return options;
}

// A controller, and the sequence that it should send.
struct Sequence {
    explicit Sequence(std::string name) : name(std::move(name)) {}

    std::string name;
    Contract contract = small_contract();
    ControllerOptions options = options_without_limits();
    FakeBackend::Controls controls;

    // Run the observations of steps 0, 1, ... and compare actions and, where `flags` has as many, flags.
    void expect(const std::vector<float>& obs, const std::vector<float>& actions, const std::vector<uint32_t>& flags) {
        ChunkController controller(contract, std::make_unique<FakeBackend>(controls), options);
        run(controller, obs, actions, flags);
    }

    void run(ChunkController& controller, const std::vector<float>& obs, const std::vector<float>& actions,
             const std::vector<uint32_t>& flags) {
        for (size_t t = 0; t < obs.size(); ++t) {
            float action = NAN;
            const Status status = controller.step(&obs[t], &action);
            const std::string place = name + ", step " + std::to_string(t) + ": ";
            const bool unknown = std::isnan(action) && std::isnan(actions[t]);
            require(unknown || std::abs(action - actions[t]) <= 1e-5f * std::max(1.0f, std::abs(actions[t])),
                    place + "action " + std::to_string(action) + " instead of " + std::to_string(actions[t]));
            if (t < flags.size()) {
                require(status.flags == flags[t],
                        place + "flags " + std::to_string(status.flags) + " instead of " + std::to_string(flags[t]));
            }
            require(status.step == static_cast<int64_t>(t), place + "its number is wrong");
        }
    }
};

constexpr uint32_t kHeldNotFinite = kHolding | kObservationNotFinite;

void check_planning() {
    Sequence plain{"plain"};
    plain.expect({0, 1, 2, 3, 4, 5, 6, 7, 8}, {0, 1, 2, 3, 40, 41, 42, 43, 80},
                 {kPlanned, 0, 0, 0, kPlanned, 0, 0, 0, kPlanned});

    Sequence own_steps{"execute_steps"};
    own_steps.options.execute_steps = 2;
    own_steps.expect({0, 1, 2, 3, 4}, {0, 1, 20, 21, 40}, {kPlanned, 0, kPlanned, 0, kPlanned});

    // Weights 1/4, 2/4, 3/4: 0.75 * 4 + 0.25 * 40 = 13 ...
    Sequence blend{"blend"};
    blend.options.blend_steps = 3;
    blend.expect({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {0, 1, 2, 3, 13, 23, 33, 43, 53, 63, 73, 83},
                 {kPlanned, 0, 0, 0, kPlanned | kBlending, kBlending, kBlending, 0, kPlanned | kBlending, kBlending,
                  kBlending, 0});

    Sequence slow{"slower than a period"};
    slow.contract.period = 1e-12;
    slow.expect({0, 1}, {0, 1}, {kPlanned | kLate, 0});

    Sequence status{"status"};
    ChunkController controller(status.contract, std::make_unique<FakeBackend>(status.controls), status.options);
    float obs = 5.0f, action = NAN;
    const Status s = controller.step(&obs, &action);
    require(s.latent_distance == 2.0f && s.decoded_distance == 2.5f,
            "distance of the latents: (5 - 1) / 2, (6 - 1) / 2");
    require(s.chunk_index == 0 && s.plans == 1 && s.planning_time >= 0.0, "the status of the first step");
    require(controller.step(&obs, &action).chunk_index == 1, "the chunk index of the second step");
    controller.reset();
    const Status after = controller.step(&obs, &action);
    require(after.step == 0 && after.flags == kPlanned && action == 50.0f, "a reset begins anew");
}

// Images are looked at where a plan begins, and nowhere else.
void check_images() {
    FakeBackend::Controls controls;
    controls.pixels = 12;
    ChunkController controller(seeing_contract(), std::make_unique<FakeBackend>(controls), options_without_limits());
    std::vector<unsigned char> pixels(12, 1);
    const Image whole{pixels.data(), 12}, half{pixels.data(), 6}, missing{nullptr, 12};
    float state = 2.0f, action = NAN;
    const auto step = [&](const Image* image, float wanted, uint32_t flags, const std::string& error) {
        const uint32_t found = controller.step({&state, image}, &action).flags;
        require(found == flags, "images: flags " + std::to_string(found) + " instead of " + std::to_string(flags));
        require(action == wanted || (flags & kNoCommand), "images: action " + std::to_string(action));
        require(controller.last_error() == error, std::string("images: ") + controller.last_error());
    };
    const std::string no_image = "the image camera has 0 bytes instead of 12";
    require(controller.needs_images(), "images: none is needed for the first plan");
    step(nullptr, NAN, kHolding | kNoCommand | kPlanFailed, no_image);
    step(&half, NAN, kHolding | kNoCommand | kPlanFailed, "the image camera has 6 bytes instead of 12");
    step(&missing, NAN, kHolding | kNoCommand | kPlanFailed, no_image);
    step(&whole, 12020.0f, kPlanned, no_image);
    for (int i = 1; i < 4; ++i) {
        require(!controller.needs_images(), "images: one is needed in the middle of a chunk");
        step(nullptr, 12020.0f + static_cast<float>(i), 0, no_image);
    }
    require(controller.needs_images(), "images: none is needed for the second plan");
    step(nullptr, 12024.0f, kPlanFailed, no_image);  // the old chunk goes on
    pixels[0] = 2;
    step(&whole, 13020.0f, kPlanned, no_image);
}

void check_limits() {
    Sequence limits{"limits"};
    limits.contract.action_low = {1.0f};
    limits.contract.action_high = {2.5f};
    limits.expect({0, 1, 2, 3}, {1, 1, 2, 2.5}, {kPlanned | kLimited, 0, 0, kLimited});

    // Twice the change of training, 0.5.
    Sequence rate{"rate"};
    rate.contract.max_change = {0.5f};
    rate.options.rate_margin = 2.0;
    rate.expect({0, 1, 2, 3, 4, 5, 6}, {0, 1, 2, 3, 4, 5, 6},
                {kPlanned, 0, 0, 0, kPlanned | kRateLimited, kRateLimited, kRateLimited});

    // The safe action is limited as well, and the first action from it: from -9 to 0 and from 3 to -9 at 5 a step.
    Sequence hold{"rate of a hold"};
    hold.contract.hold = {-9.0f};
    hold.contract.max_change = {5.0f};
    hold.options.rate_margin = 1.0;
    hold.options.on_not_finite = OnBadObservation::kHold;
    hold.expect({0, 1, 2, 3, NAN, NAN, NAN, NAN}, {-4, 1, 2, 3, -2, -7, -9, -9},
                {kPlanned | kRateLimited, 0, 0, 0, kHeldNotFinite | kRateLimited, kHeldNotFinite | kRateLimited,
                 kHeldNotFinite, kHeldNotFinite});
}

// A dimension whose largest change in training was next to nothing.
void let_barely_move(Sequence& sequence) {
    sequence.contract.hold = {0.0f};
    sequence.contract.max_change = {1e-4f};
    sequence.options.rate_margin = 2.0;
    sequence.options.on_not_finite = OnBadObservation::kHold;
}

// The action is to be near the wanted one at the given step, and neither at half the way nor without a flag till then.
void expect_arrival(ChunkController& controller, const std::string& name, float obs, float wanted, int steps) {
    float action = NAN;
    for (int step = 1; step <= steps; ++step) {
        const Status status = controller.step(&obs, &action);
        const bool there = std::abs(action - wanted) < 8.0f;  // the chunk itself moves by 7
        require(step < steps / 2 ? !there : step < steps || there, name + ": action " + std::to_string(action) +
                                                                       " at step " + std::to_string(step) +
                                                                       " on the way to " + std::to_string(wanted));
        require(step == steps || (status.flags & kRateLimited) != 0,
                name + ": the limit on the change is not reported");
    }
}

void check_catching_up() {
    Sequence start{"the first action"};
    let_barely_move(start);
    ChunkController controller(start.contract, std::make_unique<FakeBackend>(start.controls), start.options);
    expect_arrival(controller, "the first action", 100.0f, 1000.0f, kCatchUpSteps);
    expect_arrival(controller, "a hold that begins", NAN, 0.0f, kCatchUpSteps);
    expect_arrival(controller, "a hold that ends", 100.0f, 1000.0f, kCatchUpSteps);
    controller.reset();
    expect_arrival(controller, "another episode", -100.0f, -1000.0f, kCatchUpSteps);

    // Evenly, and no faster where training's own change is enough: 30 / 20 a step, or 4.
    Sequence ramp{"a ramp"};
    let_barely_move(ramp);
    ramp.contract.hold = {-30.0f};
    ramp.contract.max_change = {0.0f};
    ramp.options.execute_steps = 1;
    std::vector<float> obs(24, 0.0f), actions;
    std::vector<uint32_t> flags;
    for (int t = 1; t <= 24; ++t) {
        actions.push_back(std::min(-30.0f + 1.5f * static_cast<float>(t), 0.0f));
        flags.push_back(t < kCatchUpSteps ? kPlanned | kRateLimited : uint32_t{kPlanned});
    }
    ramp.expect(obs, actions, flags);
    ramp.contract.max_change = {2.0f};
    ramp.expect({0, 0, 0, 0, 0, 0, 0, 0, 0}, {-26, -22, -18, -14, -10, -6, -2, 0, 0}, {});

    // Afterwards the limit is that of training.
    ramp.contract.max_change = {1.0f};
    obs.assign(22, 0.0f);
    actions.assign(22, 0.0f);
    for (int t = 0; t < 15; ++t) actions[t] = -28.0f + 2.0f * static_cast<float>(t);
    obs[21] = 10.0f;
    actions[21] = 2.0f;
    ramp.expect(obs, actions, {});
}

// What was sent last counts in the next episode as well.
void check_last_action() {
    Sequence sequence{"the last action"};
    sequence.contract.max_change = {1.0f};
    sequence.options.execute_steps = 1;
    sequence.options.rate_margin = 1.0;
    ChunkController controller(sequence.contract, std::make_unique<FakeBackend>(sequence.controls), sequence.options);
    // Nothing is known yet: a hold leaves it as it is, and no change is too large.
    sequence.run(controller, {NAN, 1, 2}, {NAN, 10, 11},
                 {kHeldNotFinite | kNoCommand, kPlanned, kPlanned | kRateLimited});
    controller.reset();
    sequence.run(controller, {NAN, -2}, {11, 9.45f}, {kHeldNotFinite, kPlanned | kRateLimited});  // 31 / 20
    const float commanded = 4.0f, unknown = NAN;
    controller.reset(&commanded);
    sequence.run(controller, {NAN, 0.45f}, {4, 4.5f}, {kHeldNotFinite, kPlanned});
    controller.reset(&unknown);
    sequence.run(controller, {NAN, 9}, {NAN, 90}, {kHeldNotFinite | kNoCommand, kPlanned});

    Sequence limits{"a last action beyond the limits"};
    limits.contract.action_high = {5.0f};
    limits.options = sequence.options;
    limits.contract.max_change = {1.0f};
    ChunkController limited(limits.contract, std::make_unique<FakeBackend>(limits.controls), limits.options);
    const float beyond = 1e6f;
    limited.reset(&beyond);
    limits.run(limited, {NAN, 0}, {5, 4}, {kHeldNotFinite, kPlanned | kRateLimited});

    // Blended from what is not known: the new chunk alone.
    Sequence blend{"a blend from nothing"};
    blend.options.blend_steps = 1;
    blend.expect({NAN, 1, 2}, {NAN, 10, 11}, {kHeldNotFinite | kNoCommand, kPlanned | kBlending, 0});
}

void check_time() {
    double now = 100.0;  // [s]
    Sequence stall{"a stall"};
    stall.contract.hold = {-3.0f};
    stall.contract.period = 0.5;
    stall.options.stale_steps = 4.0;
    stall.options.clock = [&now] { return now; };
    ChunkController controller(stall.contract, std::make_unique<FakeBackend>(stall.controls), stall.options);
    const auto expect = [&](const std::string& what, double passed, float obs, float action, uint32_t flags) {
        now += passed;
        float sent = NAN;
        const Status status = controller.step(&obs, &sent);
        require(sent == action && status.flags == flags,
                what + ": action " + std::to_string(sent) + ", flags " + std::to_string(status.flags));
    };
    expect("the first step", 1000.0, 1, 10, kPlanned);
    expect("as late as may be", 2.0, 2, 11, 0);
    expect("a stall", 2.25, 3, -3, kHolding | kStale);
    expect("after a stall", 0.5, 4, 40, kPlanned);
    expect("no time at all", 0.0, 5, 41, 0);
    expect("a clock that is set back", -50.0, 6, 42, 0);
    expect("a clock that is none", NAN, 7, -3, kHolding | kStale);
    now = 0.0;
    controller.reset();
    expect("a pause between episodes", 1000.0, 8, 80, kPlanned);

    // Planning itself takes that long.
    stall.controls.during = [&now] { now += 2.25; };
    for (int i = 0; i < 3; ++i) expect("while the chunk lasts", 0.5, 9, static_cast<float>(81 + i), 0);
    expect("a stall in planning", 0.5, 12, -3, kHolding | kLate | kStale);
    stall.controls.during = [&now] { now += 1.75; };
    expect("slow planning", 0.5, 13, 130, kPlanned | kLate);
}

void check_observations() {
    // The old chunk to its end, then the last action, then a new chunk.
    Sequence last{"continue, then repeat"};
    last.expect({0, 1, 2, 3, NAN, INFINITY, NAN, NAN, NAN, NAN, 10, 11}, {0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 100, 101},
                {kPlanned, 0, 0, 0, kObservationNotFinite, kObservationNotFinite, kObservationNotFinite,
                 kObservationNotFinite, kHeldNotFinite, kHeldNotFinite, kPlanned, 0});

    // Between plans a bad observation is reported and does no harm.
    Sequence between{"between plans"};
    between.expect({0, NAN, 2, 3, 4}, {0, 1, 2, 3, 40}, {kPlanned, kObservationNotFinite, 0, 0, kPlanned});

    Sequence safe{"hold with a safe action, and blend from it"};
    safe.contract.hold = {-3.0f};
    safe.options.on_not_finite = OnBadObservation::kHold;
    safe.options.blend_steps = 1;
    safe.expect({0, 1, NAN, NAN, 4, 5}, {0, 1, -3, -3, 18.5, 41},
                {kPlanned, 0, kHeldNotFinite, kHeldNotFinite, kPlanned | kBlending, 0});

    // Range [0, 10], margin 5, slack 0.25.
    Sequence range{"range"};
    range.contract.obs_low = {0.0f};
    range.contract.obs_high = {10.0f};
    range.options.range_margin = 0.5;
    range.options.range_slack = 0.25;
    const uint32_t held = kHolding | kObservationOutOfRange;
    range.expect({15.25f, 15.5f, -5.25f, -5.5f}, {152.5, 152.5, -52.5, -52.5}, {kPlanned, held, kPlanned, held});
    range.options.on_out_of_range = OnBadObservation::kReport;
    range.expect({16}, {160}, {kPlanned | kObservationOutOfRange});

    Sequence stop{"stop"};
    stop.options.on_not_finite = OnBadObservation::kStop;
    ChunkController controller(stop.contract, std::make_unique<FakeBackend>(stop.controls), stop.options);
    stop.run(controller, {0, 1, NAN, 3, 4}, {0, 1, 1, 1, 1},
             {kPlanned, 0, kHeldNotFinite | kStopped, kHolding | kStopped, kHolding | kStopped});
    controller.reset();
    stop.run(controller, {7, 8}, {70, 71}, {kPlanned, 0});
}

void expect_refusal(const std::string& what, const std::string& part, const ControllerOptions& options,
                    const Contract& contract = small_contract()) {
    FakeBackend::Controls controls;
    try {
        const ChunkController controller(contract, std::make_unique<FakeBackend>(controls), options);
    } catch (const std::invalid_argument& error) {
        const std::string text = error.what();
        require(text.find(part) != std::string::npos && text.find('\n') == std::string::npos, what + ": " + text);
        return;
    }
    throw CheckFailed(what + " is not refused");
}

void check_refusals() {
    ControllerOptions options;
    options.execute_steps = 9;
    expect_refusal("more steps than the horizon", "execute_steps is 9; choose 0 to 8", options);
    options = {};
    options.blend_steps = 5;
    expect_refusal("a long blend", "blend_steps is 5; choose 0 to 4", options);
    options = {};
    options.asynchronous = true;
    options.lead_steps = 5;
    expect_refusal("a long lead", "lead_steps is 5; choose 0 to 4", options);
    options = {};
    options.rate_margin = NAN;
    expect_refusal("a rate that is not a number", "rate_margin", options);
    options = {};
    options.stale_steps = 0.5;
    expect_refusal("less time than a step takes", "stale_steps must be 1 or more", options);

    const std::string what = "action a has limits, a hold or a max_change that no number fits";
    const auto with = [](void (*change)(Contract&)) {
        Contract contract = small_contract();
        change(contract);
        return contract;
    };
    expect_refusal("a lower limit that is infinite", what, {}, with([](Contract& c) { c.action_low = {INFINITY}; }));
    expect_refusal("an upper limit that is infinite", what, {}, with([](Contract& c) { c.action_high = {-INFINITY}; }));
    expect_refusal("a limit that is not a number", what, {}, with([](Contract& c) { c.action_high = {NAN}; }));
    expect_refusal("an infinite hold", what, {}, with([](Contract& c) { c.hold = {INFINITY}; }));
    expect_refusal("a change that is not a number", what, {}, with([](Contract& c) { c.max_change = {NAN}; }));
}

void expect_json_error(const std::string& text, const std::string& part) {
    try {
        Json::parse(text);
    } catch (const std::invalid_argument& error) {
        require(std::string(error.what()).find(part) != std::string::npos, text + ": " + error.what());
        return;
    }
    throw CheckFailed("this is not refused: " + text);
}

template <typename Ask>
void expect_json_answer(const Ask& ask, const std::string& message) {
    try {
        ask();
    } catch (const std::invalid_argument& error) {
        require(error.what() == message, std::string(error.what()) + " instead of " + message);
        return;
    }
    throw CheckFailed("no error where this one is expected: " + message);
}

void check_json() {
    const Json json = Json::parse(
        " {\"a\": [1, -2.5e3, 0.1], \"b\": {\"c\": null, \"d\": true}, \"e\": \"\\u00e9\\ud83d\\ude00\\n\xc3\xa9\"} ");
    const std::vector<Json>& a = json.at("a").items(3);
    require(a[0].number() == 1.0 && a[1].single() == -2500.0f && a[2].single() == 0.1f, "numbers");
    require(json.at("b").at("c").is_null(), "null");
    require(json.at("e").string() == "\xc3\xa9\xf0\x9f\x98\x80\n\xc3\xa9", "a string");
    expect_json_answer([&] { json.at("b").at("x"); }, "b.x is missing");
    expect_json_answer([&] { json.at("b").at("d").number(); }, "b.d is not a number");
    expect_json_answer([&] { json.at("a").items()[1].integer(0, 5); }, "a[1] is not a whole number from 0 to 5");
    expect_json_answer([&] { json.at("a").items(2); }, "a has 3 values instead of 2");
    const Json large = Json::parse("[{\"a\": [1e39]}, \"" + std::string(257, 'x') + "\"]");
    expect_json_answer([&] { large.items()[0].at("a").items()[0].single(); }, "[0].a[0] is too large");
    expect_json_answer([&] { large.items()[1].string(); }, "[1] is longer than 256 bytes");
    for (const char* text :
         {"",         "{",   "[1,]",    "{\"a\" 1}",   "[1] 2", "01",     "1.",       "+1",     "NaN",
          "Infinity", "nul", "\"\\x\"", "\"\\ud800\"", "\"a",   "\"\t\"", "\"\xff\"", "\"\xc3", "{\"a\":1,\"a\":2}",
          "1e999",    "'a'"}) {
        expect_json_error(text, "it is not JSON: ");
    }
    expect_json_error(std::string(100000, '['), "nested too deeply");

    // What a small document costs, of memory and time, does not grow with what else it holds.
    const std::string name(1 << 20, 'x'), short_name = std::string(40, 'x') + "...";
    std::string many = "{\"" + name + "\": [0";
    for (int i = 1; i < 10000; ++i) many += ",0";
    const Json long_name = Json::parse(many + "]}");
    expect_json_answer([&] { long_name.at(name).items()[9999].string(); }, short_name + "[9999] is not a string");
    many = "{\"n\": 0";
    for (int i = 0; i < 100000; ++i) many += ",\"n" + std::to_string(i) + "\": 0";
    require(Json::parse(many + "}").members().size() == 100001, "many names");
    many = "[0";
    for (int i = 0; i < 1 << 20; ++i) many += ",0";
    try {
        Json::parse(many + "]");
        throw CheckFailed("a million values are not refused");
    } catch (const std::invalid_argument& error) {
        require(std::string(error.what()).find("it holds too many values") != std::string::npos, error.what());
    }
}

// Examples of FIPS 180-4, and lengths around a block's end against Python's hashlib.
void check_sha256() {
    const auto expect = [](const std::string& text, const std::string& digits) {
        require(sha256(text.data(), text.size()) == digits, "SHA-256 of " + std::to_string(text.size()) + " bytes");
    };
    expect("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(std::string(55, 'a'), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    expect(std::string(56, 'a'), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    expect(std::string(64, 'a'), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    expect(std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

void check_realtime() {
    RealtimeOptions nothing;
    nothing.priority = 0;
    nothing.lock_memory = false;
    require(make_realtime(nothing).empty(), "nothing to set, and something failed");
    nothing.cpu = 100000;
    const std::vector<std::string> failed = make_realtime(nothing);
    require(failed.size() == 1 && failed[0].find("not bound to processor 100000") != std::string::npos,
            "a processor that does not exist");
}

}  // namespace

int check_controller() {
    check_realtime();
    check_planning();
    check_images();
    check_limits();
    check_catching_up();
    check_last_action();
    check_time();
    check_observations();
    check_refusals();
    std::printf("runtime_check: controller: ok\n");
    return 0;
}

int check_readers() {
    check_json();
    check_sha256();
    std::printf("runtime_check: readers: ok\n");
    return 0;
}

}  // namespace zprl

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    try {
        if (argc == 2 && command == "controller") return zprl::check_controller();
        if (argc == 2 && command == "faults") return zprl::check_faults();
        if (argc == 2 && command == "readers") return zprl::check_readers();
        if (argc == 3 && command == "allocations") return zprl::check_allocations(argv[2]);
        if (argc == 6 && command == "fuzz") {
            return zprl::fuzz_bundles(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10),
                                      std::strtol(argv[5], nullptr, 10));
        }
        std::fprintf(stderr,
                     "usage: runtime_check controller | faults | readers | allocations B | fuzz B DIR SEED N\n");
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "runtime_check: %s\n", error.what());
    }
    return 1;
}
