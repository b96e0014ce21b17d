// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Many odd shapes against the step in double precision.

#include <limits>
#include <stdexcept>

#include "core_calls.h"
#include "core_checks.h"

namespace core_check {

namespace {

constexpr double kMaxRoundingError = 1e-6;  // of what is computed in double precision and rounded once

struct Worst {
    double float32 = 0.0, bf16_max = 0.0, bf16_rms = 0.0;
};

// Allow about this many multiply-adds for a policy's checks, and for those in scalar double precision.
constexpr double kBudget = 4e7, kReferenceBudget = 4e6;

// Numbers of the smallest group that is normalised.
int fewest_normalised(const Shape& s) {
    if (!s.is_unet()) return s.hidden;
    const UNetShape& u = s.unet;
    int fewest = u.padded_horizon(s.horizon) * u.channels[0] / u.groups;
    for (int level = 0; level < u.levels(); ++level) {
        const int width = std::min(u.channels[level], u.channels[std::max(level - 1, 0)]) / u.groups;
        fewest = std::min(fewest, (u.padded_horizon(s.horizon) >> level) * width);
    }
    return fewest;
}

void check_accuracy(const Model& model, const Batch& batch, Call call, const std::vector<float>& result,
                    double row_cost, Worst& worst) {
    const Shape& s = model.shape;
    const Reference reference(model);
    const int width = width_of(call, s);
    const int64_t wanted = std::max<int64_t>(3, static_cast<int64_t>(kReferenceBudget / row_cost / std::size(kCalls)));
    const int64_t stride = std::max<int64_t>(1, batch.rows / std::min<int64_t>(wanted, 24));
    double squares = 0.0, error_squares = 0.0, max_error = 0.0;
    Numbers errors;
    int64_t count = 0;
    for (int64_t row = 0; row < batch.rows; row += stride) {
        const Numbers expected = reference_row(reference, s, batch, call, row);
        for (int i = 0; i < width; ++i, ++count) {
            const double error = static_cast<double>(result[row * width + i]) - expected[i];
            squares += expected[i] * expected[i];
            error_squares += error * error;
            max_error = std::max(max_error, std::abs(error));
            errors.push_back(std::abs(error));
        }
    }
    // Results are about one; where a chunk is a single number, they can cancel to less.
    constexpr double kLeastRms = 0.5;
    const double rms = std::max(std::sqrt(squares / static_cast<double>(count)), kLeastRms);
    const double relative = max_error / rms, relative_rms = std::sqrt(error_squares / static_cast<double>(count)) / rms;
    std::nth_element(errors.begin(), errors.begin() + errors.size() / 2, errors.end());
    const double median = errors[errors.size() / 2] / rms;
    const std::string found = text("%s: maximal error %.2e, rms error %.2e, median error %.2e of the rms %.2e",
                                   name(call), relative, relative_rms, median, rms);
    // Only the layers of the flow are bf16: what a latent depends on is double precision in every
    // policy.
    const bool exact = s.dtype == Dtype::kFloat32 || gives_latents(call);
    if (call == Call::kEncode) require(relative <= kMaxRoundingError, found);
    // LayerNorm and GroupNorm divide by the spread of some numbers. Where these are three, it is nearly zero in some
    // rows, and magnifies what was rounded before without bound, in any implementation: no maximum says anything there.
    const int normalised = fewest_normalised(s);
    if (normalised > 1 && normalised < 16 && !gives_latents(call)) {
        require(median <= (exact ? kMaxError : kMaxRmsErrorBf16), found);
    } else if (exact) {
        worst.float32 = std::max(worst.float32, relative);
        require(relative <= kMaxError, found);
    } else {
        worst.bf16_max = std::max(worst.bf16_max, relative);
        worst.bf16_rms = std::max(worst.bf16_rms, relative_rms);
        require(relative <= kMaxErrorBf16 && relative_rms <= kMaxRmsErrorBf16, found);
    }
}

void check_nan_stays(const zprl::Policy& policy, const Shape& s, const Batch& batch, Call call,
                     const std::vector<float>& clean, int64_t row) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    Batch damaged = batch;
    const Start start = start_of(call);
    (start == Start::kCondition ? damaged.condition[row * s.embed + s.embed / 2]
     : start == Start::kLatent  ? damaged.residual[row * s.latent + s.latent / 2]
                                : damaged.obs[row * s.obs + s.obs / 2]) = kNan;
    const std::vector<float> result = run(policy, s, damaged, call, 4);
    const int width = width_of(call, s);
    const size_t begin = row * width, end = begin + width;
    require(same_bits(result.data(), clean.data(), begin) &&
                same_bits(result.data() + end, clean.data() + end, clean.size() - end),
            text("%s: NaN in row %d reaches other rows", name(call), static_cast<int>(row)));
    require(std::all_of(result.begin() + begin, result.begin() + end, [](float x) { return std::isnan(x); }),
            text("%s: NaN in row %d is lost", name(call), static_cast<int>(row)));
}

void check_policy(const Shape& s, Random& random, Worst& worst) {
    const Model model = random_model(s, random);
    const std::vector<char> bytes = pack(model);
    Memory<char> blob(bytes, 4);
    zprl::Policy policy = zprl::parse_policy(blob.data(), bytes.size());
    zprl::require_runnable(policy);
    zprl::require_finite_weights(policy);

    // The largest batch that the budget allows, then all smaller ones at random places in it.
    constexpr int64_t kRows[] = {97, 48, 47, 13, 7, 6, 5, 2, 1, 0};
    const double row_cost = multiply_adds(policy);
    size_t largest = 0;
    while (largest + 6 < std::size(kRows) && static_cast<double>(kRows[largest]) * row_cost * 18 > kBudget) ++largest;
    const int64_t rows = kRows[largest];
    const Batch batch = random_batch(s, rows, random);
    // A batch within one block and, below, in blocks of a few rows.
    const int planned_rows = policy.block_rows;

    std::vector<float> step;
    for (const Call call : kCalls) {
        if (!can(policy.parts, call)) continue;
        policy.block_rows = planned_rows;
        const int width = width_of(call, s);
        const std::vector<float> together = run(policy, s, batch, call, 0);
        require(std::all_of(together.begin(), together.end(), [](float x) { return std::isfinite(x); }),
                text("%s: a result is not finite", name(call)));
        check_accuracy(model, batch, call, together, row_cost, worst);
        if (call == Call::kStep) step = together;
        if (call == Call::kHalves && !s.steered) {
            require(same_bits(together.data(), step.data(), step.size()), "the two halves are not the whole step");
        }
        require(same_bits(run(policy, s, batch, call, 4).data(), together.data(), together.size()),
                text("%s: a second run, at other addresses, differs", name(call)));
        if (s.is_unet()) {
            require(same_bits(run(policy, s, batch, call, 0, 3).data(), together.data(), together.size()),
                    text("%s: three threads give another result", name(call)));
        }

        policy.block_rows = 12;
        for (size_t i = largest + 1; i < std::size(kRows); ++i) {
            const int64_t first = static_cast<int64_t>(random.below(rows - kRows[i] + 1));
            const std::vector<float> part = run(policy, s, batch.part(s, first, kRows[i]), call, 4 * (i % 4));
            require(same_bits(part.data(), together.data() + first * width, part.size()),
                    text("%s: rows %d to %d of %d differ from the same rows alone", name(call), static_cast<int>(first),
                         static_cast<int>(first + kRows[i]), static_cast<int>(rows)));
        }
        check_nan_stays(policy, s, batch, call, together, static_cast<int64_t>(random.below(rows)));
    }
    require(same_bits(blob.values().data(), bytes.data(), bytes.size()), "the blob was changed");
}

std::vector<int> random_widths(size_t count, Random& random) {
    constexpr int kWidths[] = {1, 17, 31, 64, 65, 96, 130, 256};
    std::vector<int> widths;
    for (size_t i = 0; i < count; ++i) widths.push_back(pick(kWidths, random));
    return widths;
}

Shape random_shape(Dtype dtype, int index, Random& random) {
    constexpr int kObs[] = {1, 37, 40, 130}, kAction[] = {1, 5, 7, 14}, kHorizon[] = {1, 7, 16}, kLatent[] = {1, 7, 16},
                  kEmbed[] = {1, 33, 64}, kHidden[] = {1, 3, 63, 64, 65, 100, 256}, kSteps[] = {1, 2, 3},
                  kStepsBf16[] = {1, 4, 10};  // what is rounded to bf16 in one step averages out over several
    Shape s;
    s.dtype = dtype;
    s.obs = pick(kObs, random);
    s.action = pick(kAction, random);
    s.horizon = pick(kHorizon, random);
    s.latent = pick(kLatent, random);
    s.embed = pick(kEmbed, random);
    s.steps = pick(dtype == Dtype::kFloat32 ? kSteps : kStepsBf16, random);
    // In turns, so that each of these meets each of the others.
    s.hidden = kHidden[index % 7];
    s.solver = index % 4;
    s.blocks = 1 + index / 4 % 4;
    s.embed_hidden = random_widths(index % 3, random);
    s.vib_hidden = random_widths((index / 3 + 3) % 4, random);
    if (index == 11) s.embed_hidden = random_widths(zprl::kMaxHiddenLayers, random);
    if (index % 2 == 1) {
        s.steered = true;
        s.activation = index / 2 % static_cast<int>(zprl::Activation::kCount);
        s.output = static_cast<zprl::ActorOutput>(index / 4 % static_cast<int>(zprl::ActorOutput::kCount));
        s.actor_hidden = random_widths(index / 2 % 3, random);
    } else if (index % 6 > 0) {  // of three policies without an actor, one has all parts
        s.parts = zprl::kPartFlow | (index % 6 == 2 ? zprl::kPartBottleneck : 0);
    }
    return s;
}

// A policy with a U-Net: levels, kernels, groups and horizons in turns. Only narrow ones take more than one evaluation.
Shape random_unet_shape(Dtype dtype, int index, Random& random) {
    const std::vector<int> channels[] = {{6},          {12, 24, 36}, {16, 8, 16, 8}, {64, 32}, {2, 4, 6, 8},
                                         {40, 40, 20}, {66, 17},     {10, 70},       {30, 15}};
    constexpr int kGroups[] = {3, 6, 4, 8, 2, 5, 1, 5, 1};
    Shape s = random_shape(dtype, index, random);
    s.hidden = s.blocks = 0;
    s.action = index % 9 == 3 ? 64 : index % 9 == 7 ? 65 : s.action;  // the former as wide as the first level
    s.horizon = 1 + 3 * (index % 4);
    s.unet = {channels[index % 9], 1 + 2 * (index / 2 % 4), kGroups[index % 9]};
    if (*std::max_element(s.unet.channels.begin(), s.unet.channels.end()) > 24) {
        s.solver = 0;
        s.steps = 1;
    }
    return s;
}

}  // namespace

int check_shapes() {
    constexpr int kMlps = 84;   // 7 hidden widths with 4 solvers and 0 to 2 hidden layers
    constexpr int kUNets = 18;  // 9 lists of channels, twice, with several kernels and horizons
    int policies = 0;
    Worst worst;
    for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBfloat16}) {
        for (int index = 0; index < kMlps + kUNets; ++index) {
            Random random(1000 * (static_cast<uint64_t>(dtype) + 1) + index);
            const Shape shape =
                index < kMlps ? random_shape(dtype, index, random) : random_unet_shape(dtype, index - kMlps, random);
            if (dtype == Dtype::kBfloat16 && !zprl::multiplies_bfloat16()) {
                const std::vector<char> bytes = pack(random_model(shape, random));
                Memory<char> blob(bytes, 4);
                bool refused = false;
                try {
                    zprl::require_runnable(zprl::parse_policy(blob.data(), bytes.size()));
                } catch (const std::invalid_argument&) {
                    refused = true;
                }
                require(refused, "a bfloat16 policy is not refused on " + std::string(zprl::cpu_level()));
                break;
            }
            try {
                check_policy(shape, random, worst);
            } catch (const std::exception& error) {
                throw CheckFailed(std::string(error.what()) + " [" + describe(shape) + "]");
            }
            ++policies;
        }
    }
    std::printf("core_check: %s: %d policies; largest errors: float32 %.1e, bfloat16 %.1e (rms %.1e)\n",
                zprl::cpu_level(), policies, worst.float32, worst.bf16_max, worst.bf16_rms);
    return 0;
}

}  // namespace core_check
