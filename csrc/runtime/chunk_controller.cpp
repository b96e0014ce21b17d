// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "chunk_controller.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "plan_slot.h"

namespace zprl {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

[[noreturn]] void fail(const std::string& sentence) { throw std::invalid_argument("zprl: " + sentence); }

// The contract, if the options fit it.
const Contract& checked(const Contract& c, const ControllerOptions& o) {
    const auto text = [](int value) { return std::to_string(value); };
    if (o.execute_steps < 0 || o.execute_steps > c.horizon) {
        fail("execute_steps is " + text(o.execute_steps) + "; choose 0 to " + text(c.horizon) + ", the horizon.");
    }
    const int execute = o.execute_steps == 0 ? c.execute_steps : o.execute_steps;
    if (o.blend_steps < 0 || o.blend_steps > execute) {
        fail("blend_steps is " + text(o.blend_steps) + "; choose 0 to " + text(execute) + ", the executed steps.");
    }
    if (o.asynchronous && (o.lead_steps < 0 || o.lead_steps > c.horizon - execute)) {
        fail("lead_steps is " + text(o.lead_steps) + "; choose 0 to " + text(c.horizon - execute) +
             ", what the horizon leaves after the executed steps.");
    }
    if (!(o.range_margin >= 0.0) || !(o.range_slack >= 0.0)) fail("range_margin and range_slack must not be negative.");
    if (!(o.rate_margin > 0.0)) fail("rate_margin must be positive.");
    if (!(o.stale_steps >= 1.0)) fail("stale_steps must be 1 or more.");
    for (int i = 0; i < c.action_dim; ++i) {
        const float low = c.action_low[i], high = c.action_high[i];
        const bool any = low <= high && low < kInfinity && high > -kInfinity;
        if (!any || std::isinf(c.hold[i]) || !(c.max_change[i] >= 0.0f)) {
            fail("action " + c.action_names[i] + " has limits, a hold or a max_change that no number fits.");
        }
    }
    return c;
}

double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The middle of training's range where it is known; for the plan that warms up.
float middle(float low, float high) {
    return std::isfinite(low) && std::isfinite(high) ? low + 0.5f * (high - low) : 0.0f;
}

}  // namespace

float latent_distance(const Contract& contract, const float* z) {
    double sum = 0.0;
    for (int i = 0; i < contract.latent_dim; ++i) {
        const double deviation = (static_cast<double>(z[i]) - static_cast<double>(contract.latent_mean[i])) /
                                 static_cast<double>(contract.latent_std[i]);
        sum += deviation * deviation;
    }
    return static_cast<float>(std::sqrt(sum / contract.latent_dim));
}

std::vector<std::string> flag_names(uint32_t flags) {
    constexpr const char* kNames[] = {
        "planned",
        "holding",
        "blending",
        "late",
        "plan_failed",
        "plan_too_old",
        "thread_dead",
        "observation_not_finite",
        "observation_out_of_range",
        "stopped",
        "limited",
        "rate_limited",
        "stale",
        "no_command",
    };
    std::vector<std::string> names;
    for (size_t i = 0; i < std::size(kNames); ++i) {
        if (flags & (1u << i)) names.emplace_back(kNames[i]);
    }
    return names;
}

class ChunkController::Impl {
 public:
    Impl(const Contract& contract, std::unique_ptr<Backend> backend, const ControllerOptions& options)
        : contract_(checked(contract, options)),
          options_(options),
          clock_(options.clock ? options.clock : steady_seconds),
          slot_(contract_, std::move(backend), clock_) {
        const int a = contract.action_dim;
        execute_ = options.execute_steps == 0 ? contract.execute_steps : options.execute_steps;
        lead_ = options.asynchronous ? options.lead_steps : 0;
        chunk_.resize(contract.chunk_dim());
        blend_.resize(static_cast<size_t>(options.blend_steps) * a);
        next_blend_.resize(blend_.size());
        // A robot at rest does what the safe action does; of what that repeats, nothing is known yet.
        last_ = contract.hold;
        for (int i = 0; i < a; ++i) last_[i] = limited(last_[i], i);
        catch_up_.resize(a);
        stale_after_ = options.stale_steps * contract.period;
        set_limits();
        for (int i = 0; i < contract.obs_dim; ++i) {
            slot_.state_vector[i] = middle(contract.obs_low[i], contract.obs_high[i]);
        }
        slot_.request();  // no thread yet: here and now
        if (!slot_.ok)
            fail("the back end " + std::string(slot_.backend().name()) + " cannot plan: " + slot_.error + ".");
        slot_.release();
        if (options.asynchronous) slot_.start_thread(options.on_thread_start);
        reset(nullptr);
    }

    Status step(const Observation& obs, float* action) noexcept {
        Status& s = status_;
        s.flags = stopped_ ? uint32_t{kStopped} : 0;
        s.step = next_step_++;
        OnBadObservation reaction = check(obs.state);
        if (sent_ && !(clock_() - last_time_ <= stale_after_)) {
            s.flags |= kStale;
            ++generation_;
            reaction = std::max(reaction, OnBadObservation::kHold);
        }
        const bool usable = reaction == OnBadObservation::kReport;
        if (reaction == OnBadObservation::kStop) {
            stopped_ = true;
            s.flags |= kStopped;
        }
        if (stopped_ || reaction == OnBadObservation::kHold) age_ = kNoChunk;

        if (!stopped_ && reaction < OnBadObservation::kHold) collect();
        if (!stopped_ && usable && slot_.state() == PlanSlot::State::kIdle && age_ >= execute_) {
            request(obs);
            if (!options_.asynchronous) collect();
        }
        if (slot_.state() == PlanSlot::State::kRequested && age_ >= execute_ + lead_ && requested_before_)
            s.flags |= kLate;
        requested_before_ = slot_.state() == PlanSlot::State::kRequested;
        if (slot_.thread_is_dead()) s.flags |= kThreadDead;
        send(action);
        last_time_ = clock_();
        return s;
    }

    void reset(const float* last_action) noexcept {
        age_ = kNoChunk;
        blend_left_ = 0;
        stopped_ = sent_ = requested_before_ = false;
        held_ = true;
        std::fill(catch_up_.begin(), catch_up_.end(), kCatchUpSteps);
        next_step_ = 0;
        ++generation_;
        status_ = Status{};
        status_.latent_distance = status_.decoded_distance = kNan;
        if (last_action == nullptr) return;
        for (int i = 0; i < contract_.action_dim; ++i) {
            last_[i] = std::isfinite(last_action[i]) ? limited(last_action[i], i) : kNan;
        }
    }

    // Until a chunk is old enough nothing is planned, and then at the latest the slot is free.
    bool may_plan() const { return !stopped_ && age_ >= execute_; }

    const Contract& contract() const { return contract_; }
    const PlanSlot& slot() const { return slot_; }
    const char* last_error() const { return error_; }

 private:
    static constexpr int kNoChunk = std::numeric_limits<int>::max() / 2;  // an age that every comparison takes for old

    // Within the contract's limits. NaN stays.
    float limited(float value, int i) const {
        return std::clamp(value, contract_.action_low[i], contract_.action_high[i]);
    }

    // An infinite margin is no limit, also of what never moved.
    void set_limits() {
        for (int i = 0; i < contract_.obs_dim; ++i) {
            const float width = contract_.obs_high[i] - contract_.obs_low[i];
            const double margin = std::isinf(options_.range_margin)
                                      ? options_.range_margin
                                      : options_.range_margin * static_cast<double>(width) + options_.range_slack;
            obs_low_.push_back(static_cast<float>(static_cast<double>(contract_.obs_low[i]) - margin));
            obs_high_.push_back(static_cast<float>(static_cast<double>(contract_.obs_high[i]) + margin));
        }
        for (const float change : contract_.max_change) {
            const double margin = options_.rate_margin;
            max_change_.push_back(
                static_cast<float>(std::isinf(margin) ? margin : margin * static_cast<double>(change)));
        }
    }

    // What to do about this observation: kReport if nothing.
    OnBadObservation check(const float* state) {
        status_.observation_index = -1;
        OnBadObservation reaction = OnBadObservation::kReport;
        for (int i = 0; i < contract_.obs_dim; ++i) {
            const bool finite = std::isfinite(state[i]);
            if (finite && !(state[i] < obs_low_[i]) && !(state[i] > obs_high_[i])) continue;
            if (status_.observation_index < 0) status_.observation_index = i;
            OnBadObservation wanted = finite ? options_.on_out_of_range : options_.on_not_finite;
            if (!finite) wanted = std::max(wanted, OnBadObservation::kContinue);
            status_.flags |= finite ? kObservationOutOfRange : kObservationNotFinite;
            reaction = std::max(reaction, wanted);
        }
        return reaction;
    }

    void request(const Observation& obs) {
        if (!slot_.take(obs)) return plan_failed();
        slot_.step = status_.step;
        slot_.generation = generation_;
        requested_before_ = false;
        slot_.request();
        if (!options_.asynchronous && slot_.seconds > contract_.period) status_.flags |= kLate;
    }

    void plan_failed() {
        status_.flags |= kPlanFailed;
        std::memcpy(error_, slot_.error, sizeof(error_));
    }

    // Take over a plan that is done, if its time has come.
    void collect() {
        if (slot_.state() != PlanSlot::State::kDone) return;
        if (slot_.generation != generation_) return slot_.release();
        if (!options_.asynchronous && !(slot_.seconds <= stale_after_)) {
            status_.flags |= kStale;
            age_ = kNoChunk;
            return slot_.release();
        }
        if (!slot_.ok) {
            plan_failed();
            return slot_.release();
        }
        if (age_ < execute_ + lead_) return;  // its time will come
        const int64_t age = status_.step - slot_.step;
        if (age >= contract_.horizon) {
            status_.flags |= kPlanTooOld;
            return slot_.release();
        }
        prepare_blend();
        std::swap(chunk_, slot_.chunk);
        age_ = static_cast<int>(age);
        status_.flags |= kPlanned;
        ++status_.plans;
        status_.planning_time = slot_.seconds;
        status_.latent_distance = latent_distance(contract_, slot_.mean.data());
        status_.decoded_distance = latent_distance(contract_, slot_.decoded.data());
        slot_.release();
    }

    // The actions that would follow without a new chunk, to blend from. The first chunk follows nothing.
    void prepare_blend() {
        if (!sent_ || options_.blend_steps == 0) return;
        const int a = contract_.action_dim;
        const bool held = age_ >= contract_.horizon;
        for (int k = 0; k < options_.blend_steps; ++k) {
            for (int i = 0; i < a; ++i) {
                next_blend_[k * a + i] = held ? last_[i] : planned(std::min(age_ + k, contract_.horizon - 1), k, i);
            }
        }
        std::swap(blend_, next_blend_);
        blend_left_ = options_.blend_steps;
    }

    // Dimension i of the chunk's action `index`, `ahead` steps from now, blended with what is known.
    float planned(int index, int ahead, int i) const {
        const int a = contract_.action_dim;
        const float now = chunk_[index * a + i];
        if (ahead >= blend_left_) return now;
        const int k = options_.blend_steps - blend_left_ + ahead;
        const float weight = static_cast<float>(k + 1) / static_cast<float>(options_.blend_steps + 1);
        const float old = blend_[k * a + i];
        return std::isnan(old) ? now : (1.0f - weight) * old + weight * now;
    }

    void send(float* action) {
        const bool hold = stopped_ || age_ >= contract_.horizon;
        if (hold) {
            status_.flags |= kHolding;
            status_.chunk_index = -1;
            age_ = kNoChunk;
            blend_left_ = 0;
        } else {
            if (blend_left_ > 0) status_.flags |= kBlending;
            status_.chunk_index = age_;
        }
        if (hold != held_) std::fill(catch_up_.begin(), catch_up_.end(), kCatchUpSteps);
        held_ = hold;
        for (int i = 0; i < contract_.action_dim; ++i) {
            const float safe = std::isnan(contract_.hold[i]) ? last_[i] : contract_.hold[i];
            const float wanted = hold ? safe : planned(age_, 0, i);
            if (std::isnan(wanted)) {  // the safe action repeats what is not known
                status_.flags |= kNoCommand;
                action[i] = wanted;
                continue;
            }
            action[i] = limited(wanted, i);
            if (action[i] != wanted) status_.flags |= kLimited;
            const float change = action[i] - last_[i];
            float largest = max_change_[i];
            if (catch_up_[i] > 0) largest = std::max(largest, std::abs(change) / static_cast<float>(catch_up_[i]));
            if (std::abs(change) > largest) {  // not where the last action is NaN, that is not known
                status_.flags |= kRateLimited;
                action[i] = last_[i] + std::copysign(largest, change);
                catch_up_[i] = std::max(catch_up_[i] - 1, 0);
            } else {
                catch_up_[i] = 0;
            }
        }
        std::memcpy(last_.data(), action, sizeof(float) * last_.size());
        sent_ = true;
        if (!hold) {
            ++age_;
            blend_left_ = std::max(blend_left_ - 1, 0);
        }
    }

    const Contract contract_;
    const ControllerOptions options_;
    const std::function<double()> clock_;
    double stale_after_ = 0.0;  // [s]
    int execute_ = 0, lead_ = 0;
    std::vector<float> obs_low_, obs_high_, max_change_;

    PlanSlot slot_;
    Status status_;
    int64_t next_step_ = 0;
    uint32_t generation_ = 0;  // of the plans that count
    double last_time_ = 0.0;   // at the end of the last step [s]
    bool stopped_ = false;
    bool sent_ = false;              // whether an action was sent in this episode
    bool requested_before_ = false;  // whether a plan was under way at the end of the last step

    std::vector<float> chunk_;               // the one that is executed
    int age_ = kNoChunk;                     // index of its next action
    std::vector<float> blend_, next_blend_;  // what to blend from
    int blend_left_ = 0;                     // steps of blending still to come
    std::vector<float> last_;                // action sent last; NaN: not known
    bool held_ = true;                       // whether it was a hold
    std::vector<int> catch_up_;              // steps by which each wanted action has to be reached; 0: no matter when
    char error_[256] = "";
};

ChunkController::ChunkController(const Contract& contract, std::unique_ptr<Backend> backend,
                                 const ControllerOptions& options)
    : impl_(std::make_unique<Impl>(contract, std::move(backend), options)) {}

ChunkController::~ChunkController() = default;

Status ChunkController::step(const Observation& obs, float* action) noexcept { return impl_->step(obs, action); }

bool ChunkController::needs_images() const { return impl_->may_plan(); }

void ChunkController::reset(const float* last_action) noexcept { impl_->reset(last_action); }

bool ChunkController::planning() const { return impl_->slot().state() == PlanSlot::State::kRequested; }

const Contract& ChunkController::contract() const { return impl_->contract(); }

const Backend& ChunkController::backend() const { return impl_->slot().backend(); }

const char* ChunkController::last_error() const { return impl_->last_error(); }

}  // namespace zprl
