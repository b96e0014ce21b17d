// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: whole steps of odd shapes, by every kernel, against double precision.

#pragma once

#include "cuda_check_reference.h"
#include "cuda_check_run.h"

namespace core_check {
namespace {

// The calls that the GPU has.
constexpr Call kCudaCalls[] = {Call::kStep, Call::kSampledStep,      Call::kPlainStep, Call::kEncode,
                               Call::kAct,  Call::kActFromCondition, Call::kIntegrate, Call::kPlainIntegrate};

struct Case {
    const char* name;
    Precision precision;
    Kernel kernel;
    int tile_rows, cluster_size;
    int64_t rows;
    Shape shape;
    Placement placement = Placement::kShared;
    int stages = 3, outputs = 256;
    int resident = 1 << 20;  // as many as there are
};

Plan plan_of(const Case& c, const DevicePolicy& policy) {
    const int resident = std::min(c.resident, 2 * policy.num_blocks + 2);
    const int threads = zprl::cuda::threads_of(c.kernel, c.cluster_size);
    Plan plan{c.kernel, c.tile_rows, c.cluster_size, threads, c.stages, c.outputs, resident, c.placement, 0, 0, 0};
    const zprl::cuda::Memory memory = zprl::cuda::lay_out_memory(policy, plan);
    const int64_t tiles = (c.rows + c.tile_rows - 1) / c.tile_rows, size = c.cluster_size;
    plan.blocks = c.kernel == Kernel::kCluster ? tiles * size : (tiles + size - 1) / size * size;
    plan.shared_bytes = memory.shared_bytes;
    require(plan.shared_bytes <= 232448, "the case needs more shared memory than any GPU has");
    plan.workspace_bytes = memory.workspace_bytes * plan.blocks;
    return plan;
}

// The same case for fewer rows.
Plan plan_of(Case c, const DevicePolicy& policy, int64_t rows) {
    c.rows = rows;
    return plan_of(c, policy);
}

// Root mean square errors keep to the rule for real policies: against double precision with weights as they are stored
// and nothing else rounded.
constexpr double kMaxRmsErrorTf32 = 1e-3;
// Largest error against double precision with operands rounded as the kernel rounds them. What is left are sums and
// activations in float32, some 1e-7 each, and sums of the matrix unit, which are cut off instead of rounded; layer
// norms of random policies magnify that up to tenfold.
constexpr double kMaxRoundedError = 6e-6;
// Numbers that come as near to the middle between two roundings, of their root mean square, may go either way. A row
// with such numbers departs by no more than so many times what moving all of its numbers that far changes, and so
// many times what rounding does to it, or to all rows: what went the other way moves numbers of later layers farther,
// and some of them go the other way then. Rows differ in how much they magnify it.
constexpr double kUncertain = 2e-6, kUncertainFactor = 2.0, kKnockOn = 1.0;

// Of results, in units of their root mean square.
struct Errors {
    double rms = 0.0;      // against double precision
    double rounded = 0.0;  // largest one against the rounded step, of rows where rounding is certain
    double excess = 0.0;   // rms of a row in units of what is allowed, of the other rows
    int64_t certain = 0, rows = 0;

    void add(const Errors& other) {
        rms = std::max(rms, other.rms);
        rounded = std::max(rounded, other.rounded);
        excess = std::max(excess, other.excess);
        certain += other.certain;
        rows += other.rows;
    }
};

double rms_difference(const Numbers& a, const Numbers& b) {
    double squares = 0.0;
    for (size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
    return std::sqrt(squares / static_cast<double>(a.size()));
}

double max_rms_error(Precision precision) {
    return precision == Precision::kFloat32 ? kMaxError
           : precision == Precision::kTf32  ? kMaxRmsErrorTf32
                                            : kMaxRmsErrorBf16;
}

Errors errors_of(const Model& model, Precision precision, const Batch& batch, Call call,
                 const std::vector<float>& result) {
    const Reference exact(model);
    const RoundedReference rounded(model, {precision, 0.0}), up(model, {precision, kUncertain}),
        down(model, {precision, -kUncertain});
    const int width = width_of(call, model.shape);
    std::vector<Numbers> expected, truths;
    double squares = 0.0, error_squares = 0.0;
    for (int64_t row = 0; row < batch.rows; ++row) {
        expected.push_back(rounded.row(batch, call, row));
        truths.push_back(reference_row(exact, model.shape, batch, call, row));
        const Numbers& truth = truths.back();
        for (int i = 0; i < width; ++i) {
            const double error = static_cast<double>(result[row * width + i]) - truth[i];
            require(std::isfinite(error),
                    text("%s: row %d, number %d is not finite", name(call), static_cast<int>(row), i));
            squares += truth[i] * truth[i];
            error_squares += error * error;
        }
    }
    const double count = static_cast<double>(result.size());
    const double unit = std::max(std::sqrt(squares / count), 0.5);
    Errors errors;
    errors.rows = batch.rows;
    errors.rms = std::sqrt(error_squares / count) / unit;
    for (int64_t row = 0; row < batch.rows; ++row) {
        const Numbers actual(result.begin() + row * width, result.begin() + (row + 1) * width);
        const double undecided = rms_difference(up.row(batch, call, row), expected[row]) +
                                 rms_difference(down.row(batch, call, row), expected[row]);
        if (undecided > kMaxRoundedError / 10 * unit) {
            const double rounding = std::max(rms_difference(expected[row], truths[row]), errors.rms * unit);
            const double allowed = kUncertainFactor * undecided + kKnockOn * rounding + kMaxRoundedError * unit;
            errors.excess = std::max(errors.excess, rms_difference(actual, expected[row]) / allowed);
            continue;
        }
        ++errors.certain;
        for (int i = 0; i < width; ++i) {
            errors.rounded = std::max(errors.rounded, std::abs(actual[i] - expected[row][i]) / unit);
        }
    }
    return errors;
}

void check_case(const Case& c, Random& random, Errors* worst) {
    const Model model = random_model(c.shape, random);
    Blob blob = pack_for_cuda(pack(model), c.precision);
    const DevicePolicy policy = zprl::cuda::parse_header(blob.header(), blob.bytes);
    const Plan plan = plan_of(c, policy);
    const Batch batch = random_batch(c.shape, c.rows, random);
    std::vector<float> step;
    for (const Call call : kCudaCalls) {
        if (!can(policy.parts, call)) continue;
        // One call in full, the others in turns, so that every case stays short.
        const bool thorough =
            call == (can(policy.parts, Call::kSampledStep) ? Call::kSampledStep : Call::kActFromCondition);
        const std::vector<float> result = run(blob, plan, c.shape, batch, call, random.bits() | 1);
        const Errors errors = errors_of(model, c.precision, batch, call, result);
        worst->add(errors);
        const double rms_allowed = call == Call::kEncode ? kMaxError : max_rms_error(c.precision);
        require(errors.rms <= rms_allowed && errors.rounded <= kMaxRoundedError && errors.excess <= 1.0,
                text("%s: rms error %.2e, %.2e of the rounded step, %.2f of what its uncertain rows are allowed",
                     name(call), errors.rms, errors.rounded, errors.excess));
        if (call == Call::kStep) step = result;
        if (call == Call::kEncode && !c.shape.steered) {  // the rest of the step, from this latent on
            Batch rest = batch;
            for (int64_t i = 0; i < c.rows * c.shape.latent; ++i) {
                rest.residual[i] += result[i / c.shape.latent * 2 * c.shape.latent + i % c.shape.latent];
            }
            const std::vector<float> chunk = run(blob, plan, c.shape, rest, Call::kAct, random.bits() | 1);
            require(same_bits(chunk.data(), step.data(), step.size()), "the two halves are not the whole step");
        }
        if (!thorough) continue;

        require(same_bits(run(blob, plan, c.shape, batch, call, 0).data(), result.data(), result.size()),
                "another order of threads gives other numbers");
        const int width = width_of(call, c.shape);
        if (c.rows > 1) {  // the last rows alone, so at other places of other blocks
            const int64_t first = c.rows / 2;
            const std::vector<float> part = run(blob, plan_of(c, policy, c.rows - first), c.shape,
                                                batch.part(c.shape, first, c.rows - first), call, random.bits() | 1);
            require(same_bits(part.data(), result.data() + first * width, part.size()),
                    "rows depend on their place in the batch");
        }
        // NaN in one row reaches all of this row, and no other.
        const int64_t row = static_cast<int64_t>(random.below(c.rows));
        Batch damaged = batch;
        (start_of(call) == Start::kCondition ? damaged.condition[row * c.shape.embed + c.shape.embed / 2]
                                             : damaged.obs[row * c.shape.obs + c.shape.obs / 2]) =
            std::numeric_limits<float>::quiet_NaN();
        const std::vector<float> nan = run(blob, plan, c.shape, damaged, call, random.bits() | 1);
        for (size_t i = 0; i < nan.size(); ++i) {
            const bool own = static_cast<int64_t>(i) / width == row;
            require(own ? std::isnan(nan[i]) : same_bits(&nan[i], &result[i], 1),
                    text("NaN in row %d: number %d of row %d is %g", static_cast<int>(row), static_cast<int>(i % width),
                         static_cast<int>(i / width), static_cast<double>(nan[i])));
        }
    }
}

int check_steps(const char* only) {
    constexpr Precision kFp32 = Precision::kFloat32, kTf32 = Precision::kTf32, kBf16 = Precision::kBfloat16;
    constexpr Kernel kTile = Kernel::kTile, kWgmma = Kernel::kWgmmaTile, kCluster = Kernel::kCluster;
    const auto steered = [](Shape s, int activation, std::vector<int> hidden) {
        s.steered = true;
        s.activation = activation;
        s.actor_hidden = std::move(hidden);
        return s;
    };
    const auto squashed = [](Shape s) {
        s.output = zprl::ActorOutput::kTanh;
        return s;
    };
    const auto without_encoder = [](Shape s) {
        s.parts = zprl::kPartBottleneck | zprl::kPartFlow;
        return s;
    };
    const auto flow_alone = [](Shape s) {
        s.parts = zprl::kPartFlow;
        return s;
    };
    const Shape small = shape_of(32, 1, 0, 3, 3, 4, 10, 32, 8, {}, {32});
    const Shape odd = shape_of(40, 2, 1, 1, 7, 3, 37, 24, 5, {48}, {40, 20});
    const Shape heun = shape_of(64, 2, 2, 1, 7, 8, 40, 64, 16, {}, {64});
    const Shape rk4 = shape_of(96, 1, 3, 1, 9, 8, 40, 70, 33, {130}, {64});
    const Shape rk4_twice = shape_of(64, 1, 3, 2, 1, 1, 1, 1, 1, {}, {});
    const Shape wide = shape_of(256, 1, 0, 1, 8, 8, 40, 256, 32, {}, {256});
    const Shape two_rounds = shape_of(320, 1, 0, 1, 3, 4, 8, 24, 5, {}, {});
    const Shape many_pieces = shape_of(550, 1, 0, 1, 3, 4, 8, 16, 4, {}, {});
    const Shape very_wide = shape_of(400, 1, 0, 1, 14, 16, 40, 256, 32, {}, {256});
    const Shape long_chunk = shape_of(64, 1, 0, 2, 14, 24, 20, 300, 150, {}, {});
    const Case cases[] = {
        {"tile fp32 16", kFp32, kTile, 16, 1, 9, small},
        {"tile fp32 32", kFp32, kTile, 32, 1, 33, odd, Placement::kModulation, 2},
        {"tile fp32 rk4", kFp32, kTile, 16, 1, 17, rk4, Placement::kWorkspace, 4, 64},
        {"tile fp32 heun", kFp32, kTile, 16, 1, 3, heun},
        {"tile fp32 rk4 twice", kFp32, kTile, 16, 1, 5, rk4_twice},
        {"tile fp32 long chunk", kFp32, kTile, 16, 1, 2, long_chunk},
        {"tile fp32 elu actor", kFp32, kTile, 16, 1, 9, steered(small, 0, {48, 20})},
        {"tile fp32 relu actor", kFp32, kTile, 32, 1, 3, steered(rk4_twice, 1, {16})},
        {"tile fp32 tanh actor", kFp32, kTile, 16, 1, 4, steered(small, 2, {130})},
        {"tile fp32 silu actor", kFp32, kTile, 16, 1, 2, steered(small, 3, {8})},
        {"tile fp32 gelu actor", kFp32, kTile, 16, 1, 2, steered(small, 4, {64})},
        {"tile fp32 squashed actor", kFp32, kTile, 16, 1, 9, squashed(steered(small, 0, {48, 20}))},
        {"tile fp32 no encoder", kFp32, kTile, 16, 1, 17, without_encoder(odd)},
        {"tile fp32 flow alone", kFp32, kTile, 16, 1, 9, flow_alone(rk4)},
        {"tile fp32 once", kFp32, kTile, 32, 1, 33, odd, Placement::kOnce, 2},
        {"tile fp32 once, actor", kFp32, kTile, 16, 1, 9, steered(small, 0, {48, 20}), Placement::kOnce},
        {"tile fp32 8", kFp32, kTile, 8, 1, 9, odd},
        {"tile fp32 8 steered", kFp32, kTile, 8, 1, 17, steered(small, 4, {130}), Placement::kOnce, 4, 64},
        {"tile fp32 8 by 2", kFp32, kTile, 8, 2, 17, small},
        {"tile fp32 32 by 4", kFp32, kTile, 32, 4, 33, odd, Placement::kModulation, 4, 64},
        {"tile tf32 8", kTf32, kTile, 8, 1, 9, heun, Placement::kWorkspace, 2, 128},
        {"tile tf32 8 by 2", kTf32, kTile, 8, 2, 17, odd, Placement::kShared, 3, 64},
        {"tile bf16 8", kBf16, kTile, 8, 1, 3, wide},
        {"tile bf16 8 rk4", kBf16, kTile, 8, 1, 17, rk4, Placement::kModulation, 4, 64},
        {"tile bf16 8 by 4", kBf16, kTile, 8, 4, 33, small},
        {"tile tf32 16", kTf32, kTile, 16, 1, 17, odd},
        {"tile tf32 32", kTf32, kTile, 32, 1, 7, heun, Placement::kWorkspace, 2},
        {"tile tf32 wide", kTf32, kTile, 16, 1, 2, wide},
        {"tile bf16 16", kBf16, kTile, 16, 1, 8, small, Placement::kShared, 2},
        {"tile bf16 32", kBf16, kTile, 32, 1, 33, odd, Placement::kModulation, 4},
        {"tile bf16 64", kBf16, kTile, 64, 1, 65, heun, Placement::kWorkspace, 3, 128},
        {"tile bf16 rk4", kBf16, kTile, 64, 1, 6, rk4, Placement::kModulation, 3, 128},
        {"tile bf16 wide", kBf16, kTile, 16, 1, 3, wide},
        {"tile tf32 16 by 2", kTf32, kTile, 16, 2, 33, odd, Placement::kShared, 3, 128},
        {"tile tf32 32 by 4", kTf32, kTile, 32, 4, 33, heun, Placement::kModulation, 4, 64},
        {"tile bf16 16 by 4", kBf16, kTile, 16, 4, 65, small},
        {"tile bf16 16 by 2 rk4", kBf16, kTile, 16, 2, 17, rk4, Placement::kWorkspace, 4, 256},
        {"tile bf16 32 by 2", kBf16, kTile, 32, 2, 65, odd, Placement::kShared, 4, 64},
        {"tile bf16 64 by 2", kBf16, kTile, 64, 2, 65, heun, Placement::kModulation, 3, 64},
        {"tile bf16 16 by 2 wide", kBf16, kTile, 16, 2, 17, wide, Placement::kShared, 3, 128},
        {"wgmma bf16", kBf16, kWgmma, 64, 1, 65, odd, Placement::kModulation, 3, 64},
        {"wgmma bf16 by 2", kBf16, kWgmma, 64, 2, 65, heun, Placement::kShared, 3, 128},
        {"wgmma bf16 rk4", kBf16, kWgmma, 64, 1, 6, rk4, Placement::kOnce, 4, 128},
        {"wgmma bf16 by 4", kBf16, kWgmma, 64, 4, 130, small, Placement::kOnce, 4, 128},
        {"wgmma bf16 wide", kBf16, kWgmma, 64, 2, 66, wide, Placement::kModulation, 4, 128},
        {"wgmma bf16 actor", kBf16, kWgmma, 64, 2, 65, steered(small, 0, {48, 20}), Placement::kShared, 3, 128},
        {"wgmma bf16 squashed", kBf16, kWgmma, 64, 1, 65, squashed(steered(small, 0, {48})), Placement::kShared, 4, 64},
        {"wgmma bf16 once", kBf16, kWgmma, 64, 2, 65, odd, Placement::kOnce, 3, 128},
        {"wgmma bf16 once, actor", kBf16, kWgmma, 64, 1, 5, steered(small, 0, {48, 20}), Placement::kOnce, 3, 64},
        {"wgmma bf16 flow alone", kBf16, kWgmma, 64, 2, 65, flow_alone(heun), Placement::kShared, 3, 128},
        {"wgmma bf16 stream", kBf16, kWgmma, 64, 1, 65, very_wide, Placement::kStream, 4, 64},
        {"wgmma bf16 stream by 2", kBf16, kWgmma, 64, 2, 66, wide, Placement::kStream, 3, 64},
        {"wgmma tf32 one operand", kTf32, kWgmma, 64, 2, 65, odd, Placement::kOneOperand, 3, 64},
        {"wgmma tf32 stream rk4", kTf32, kWgmma, 64, 1, 5, rk4, Placement::kStream, 4, 64},
        {"wgmma tf32 stream, actor", kTf32, kWgmma, 64, 1, 4, steered(long_chunk, 0, {48}), Placement::kStream, 3, 64},
        {"wgmma tf32", kTf32, kWgmma, 64, 1, 64, small, Placement::kShared, 3, 64},
        {"wgmma tf32 tiny", kTf32, kWgmma, 64, 2, 129, rk4_twice, Placement::kShared, 3, 128},
        {"wgmma tf32 by 2", kTf32, kWgmma, 64, 2, 67, odd, Placement::kOnce, 4, 128},
        {"wgmma tf32 once", kTf32, kWgmma, 64, 1, 65, heun, Placement::kOnce, 3, 128},
        {"wgmma tf32 long chunk", kTf32, kWgmma, 64, 1, 5, long_chunk, Placement::kOnce, 3, 128},
        {"cluster fp32 2", kFp32, kCluster, 8, 2, 9, small},
        {"cluster fp32 4", kFp32, kCluster, 8, 4, 3, odd, Placement::kShared, 0, 0, 2},
        {"cluster fp32 rk4", kFp32, kCluster, 8, 4, 17, rk4, Placement::kShared, 0, 0, 0},
        {"cluster fp32 rk4 twice", kFp32, kCluster, 8, 2, 1, rk4_twice},
        {"cluster fp32 actor", kFp32, kCluster, 8, 4, 9, steered(small, 0, {48, 20})},
        {"cluster fp32 actor only", kFp32, kCluster, 8, 2, 3, steered(odd, 2, {})},
        {"cluster fp32 squashed", kFp32, kCluster, 8, 4, 9, squashed(steered(small, 4, {48, 20}))},
        {"cluster fp32 no encoder", kFp32, kCluster, 8, 4, 9, without_encoder(small)},
        {"cluster fp32 flow alone", kFp32, kCluster, 8, 2, 3, flow_alone(odd)},
        {"cluster tf32 4", kTf32, kCluster, 8, 4, 7, heun},
        {"cluster tf32 long chunk", kTf32, kCluster, 8, 2, 4, long_chunk},
        {"cluster bf16 4", kBf16, kCluster, 8, 4, 8, odd},
        {"cluster bf16 8", kBf16, kCluster, 8, 8, 9, heun, Placement::kShared, 0, 0, 3},
        {"cluster bf16 wide", kBf16, kCluster, 8, 16, 2, wide},
        {"cluster bf16 16", kBf16, kCluster, 8, 16, 5, small},
        {"cluster fp32 of 2 rows", kFp32, kCluster, 2, 4, 3, odd},
        {"cluster tf32 of 3 rows", kTf32, kCluster, 3, 2, 4, rk4_twice},
        {"cluster bf16 of 1 row", kBf16, kCluster, 1, 4, 3, heun, Placement::kShared, 0, 0, 1},
        // More than 8 groups of a block's outputs, and layer norms of more than 8 pieces.
        {"cluster bf16 rounds", kBf16, kCluster, 4, 2, 3, two_rounds, Placement::kShared, 0, 0, 2},
        {"cluster bf16 pieces", kBf16, kCluster, 1, 8, 1, many_pieces, Placement::kShared, 0, 0, 1},
    };
    int count = 0;
    for (const Case& each : cases) {
        if (only != nullptr && std::strstr(each.name, only) == nullptr) continue;
        Case c = each;
        c.shape.dtype = c.precision == kBf16 ? Dtype::kBfloat16 : Dtype::kFloat32;
        uint64_t seed = 0;  // by name, so that a case stays what it is when another one comes or goes
        for (const char* letter = c.name; *letter != '\0'; ++letter) seed = seed * 31 + *letter;
        Random random(seed);
        Errors worst;
        try {
            check_case(c, random, &worst);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "cuda_check: %s, %s: %s\n", c.name, describe(c.shape).c_str(), error.what());
            return 1;
        }
        std::printf(
            "cuda_check: %-24s rms error %.2e; of the rounded step %.2e in %d of %d rows, others at %.2f of theirs\n",
            c.name, worst.rms, worst.rounded, static_cast<int>(worst.certain), static_cast<int>(worst.rows),
            worst.excess);
        std::fflush(stdout);
        ++count;
    }
    std::printf("cuda_check: %d cases agree with double precision\n", count);
    return count > 0 ? 0 : 1;
}

}  // namespace
}  // namespace core_check
