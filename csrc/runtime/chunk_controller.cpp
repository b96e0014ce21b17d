// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "chunk_controller.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "plan_slot.h"

namespace zprl {
namespace {

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
    return c;
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
        : contract_(checked(contract, options)), options_(options), slot_(contract, std::move(backend)) {
        const int a = contract.action_dim;
        execute_ = options.execute_steps == 0 ? contract.execute_steps : options.execute_steps;
        lead_ = options.asynchronous ? options.lead_steps : 0;
        chunk_.resize(contract.chunk_dim());
        blend_.resize(static_cast<size_t>(options.blend_steps) * a);
        next_blend_.resize(blend_.size());
        last_.resize(a);
        set_limits();
        for (int i = 0; i < contract.obs_dim; ++i) slot_.obs[i] = middle(contract.obs_low[i], contract.obs_high[i]);
        slot_.request();  // no thread yet: here and now
        if (!slot_.ok)
            fail("the back end " + std::string(slot_.backend().name()) + " cannot plan: " + slot_.error + ".");
        slot_.release();
        if (options.asynchronous) slot_.start_thread(options.on_thread_start);
        reset();
    }

    Status step(const float* obs, float* action) noexcept {
        Status& s = status_;
        s.flags = stopped_ ? uint32_t{kStopped} : 0;
        s.step = next_step_++;
        const OnBadObservation reaction = check(obs);
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
        return s;
    }

    void reset() noexcept {
        age_ = kNoChunk;
        blend_left_ = 0;
        stopped_ = sent_ = requested_before_ = false;
        next_step_ = 0;
        ++episode_;
        status_ = Status{};
        const float nan = std::numeric_limits<float>::quiet_NaN();
        status_.latent_distance = status_.decoded_distance = nan;
        for (size_t i = 0; i < last_.size(); ++i) {
            const float hold = std::isnan(contract_.hold[i]) ? 0.0f : contract_.hold[i];
            last_[i] = std::clamp(hold, contract_.action_low[i], contract_.action_high[i]);
        }
    }

    const Contract& contract() const { return contract_; }
    const PlanSlot& slot() const { return slot_; }
    const char* last_error() const { return error_; }

 private:
    static constexpr int kNoChunk = std::numeric_limits<int>::max() / 2;  // an age that every comparison takes for old

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
    OnBadObservation check(const float* obs) {
        status_.observation_index = -1;
        OnBadObservation reaction = OnBadObservation::kReport;
        for (int i = 0; i < contract_.obs_dim; ++i) {
            const bool finite = std::isfinite(obs[i]);
            if (finite && !(obs[i] < obs_low_[i]) && !(obs[i] > obs_high_[i])) continue;
            if (status_.observation_index < 0) status_.observation_index = i;
            OnBadObservation wanted = finite ? options_.on_out_of_range : options_.on_not_finite;
            if (!finite) wanted = std::max(wanted, OnBadObservation::kContinue);
            status_.flags |= finite ? kObservationOutOfRange : kObservationNotFinite;
            reaction = std::max(reaction, wanted);
        }
        return reaction;
    }

    void request(const float* obs) {
        std::memcpy(slot_.obs.data(), obs, sizeof(float) * slot_.obs.size());
        slot_.step = status_.step;
        slot_.episode = episode_;
        requested_before_ = false;
        slot_.request();
        if (!options_.asynchronous && slot_.seconds > contract_.period) status_.flags |= kLate;
    }

    // Take over a plan that is done, if its time has come.
    void collect() {
        if (slot_.state() != PlanSlot::State::kDone) return;
        if (slot_.episode != episode_) return slot_.release();
        if (!slot_.ok) {
            status_.flags |= kPlanFailed;
            std::memcpy(error_, slot_.error, sizeof(error_));
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

    // Dimension i of the chunk's action `index`, `ahead` steps from now, blended.
    float planned(int index, int ahead, int i) const {
        const int a = contract_.action_dim;
        const float now = chunk_[index * a + i];
        if (ahead >= blend_left_) return now;
        const int k = options_.blend_steps - blend_left_ + ahead;
        const float weight = static_cast<float>(k + 1) / static_cast<float>(options_.blend_steps + 1);
        return (1.0f - weight) * blend_[k * a + i] + weight * now;
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
        for (int i = 0; i < contract_.action_dim; ++i) {
            const float safe = std::isnan(contract_.hold[i]) ? last_[i] : contract_.hold[i];
            const float wanted = hold ? safe : planned(age_, 0, i);
            const float within = std::clamp(wanted, contract_.action_low[i], contract_.action_high[i]);
            if (within != wanted) status_.flags |= kLimited;
            float sent = within;
            if (sent_) sent = std::clamp(within, last_[i] - max_change_[i], last_[i] + max_change_[i]);
            if (sent != within) status_.flags |= kRateLimited;
            action[i] = sent;
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
    int execute_ = 0, lead_ = 0;
    std::vector<float> obs_low_, obs_high_, max_change_;

    PlanSlot slot_;
    Status status_;
    int64_t next_step_ = 0;
    uint32_t episode_ = 0;
    bool stopped_ = false;
    bool sent_ = false;              // whether an action was sent in this episode
    bool requested_before_ = false;  // whether a plan was under way at the end of the last step

    std::vector<float> chunk_;               // the one that is executed
    int age_ = kNoChunk;                     // index of its next action
    std::vector<float> blend_, next_blend_;  // what to blend from
    int blend_left_ = 0;                     // steps of blending still to come
    std::vector<float> last_;                // action sent last
    char error_[256] = "";
};

ChunkController::ChunkController(const Contract& contract, std::unique_ptr<Backend> backend,
                                 const ControllerOptions& options)
    : impl_(std::make_unique<Impl>(contract, std::move(backend), options)) {}

ChunkController::~ChunkController() = default;

Status ChunkController::step(const float* obs, float* action) noexcept { return impl_->step(obs, action); }

void ChunkController::reset() noexcept { impl_->reset(); }

bool ChunkController::planning() const { return impl_->slot().state() == PlanSlot::State::kRequested; }

const Contract& ChunkController::contract() const { return impl_->contract(); }

const Backend& ChunkController::backend() const { return impl_->slot().backend(); }

const char* ChunkController::last_error() const { return impl_->last_error(); }

}  // namespace zprl
