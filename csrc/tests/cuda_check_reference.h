// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: the step in double precision with operands rounded where the kernels round them, so that a wrong
// index or a missing term cannot hide behind the rounding of bf16 and tf32.
//
// Between double precision and the kernels' float32 lie errors of some 1e-7, and a number within that distance of the
// middle between two roundings may go either way: a difference of a whole unit in the last place of an operand, and of
// some 1e-4 in the result. Rows with such numbers are found by rounding three times: as is, and with all numbers moved
// up or down by more than those errors. If all three agree, as they do for most rows of bf16, the row is held to the
// rule of float32. If not, the kernel may depart by what the rounding decides, and no more.

#pragma once

#include "cuda/policy_step.h"

namespace core_check {
namespace {

// To nearest, with so many bits after the first one; ties to even, or away from zero. Numbers below 2^least are
// rounded to the unit of those above.
double round_to_bits(double value, int bits, bool ties_away, int least = -1000) {
    if (value == 0.0 || !std::isfinite(value)) return value;
    const double unit = std::ldexp(1.0, std::max(std::ilogb(value), least) - bits);
    return (ties_away ? std::round(value / unit) : std::nearbyint(value / unit)) * unit;
}

// As operands of matrix products are.
double rounded_operand(double value, zprl::cuda::Precision precision) {
    switch (precision) {
        case zprl::cuda::Precision::kFloat32:
            return value;
        case zprl::cuda::Precision::kTf32:
            return round_to_bits(value, 10, true);
        default:
            return round_to_bits(value, 7, false);
    }
}

// Numbers that are rounded together: operands of one layer, or a modulation.
class Rounding {
 public:
    // `shift` moves numbers before they are rounded, in units of their root mean square.
    Rounding(zprl::cuda::Precision precision, double shift) : precision_(precision), shift_(shift) {}

    Numbers operands(Numbers values) const {
        if (precision_ == zprl::cuda::Precision::kFloat32) return values;
        const double shift = shift_of(values);
        for (double& value : values) value = rounded_operand(value + shift, precision_);
        return values;
    }

    // fp16 beside bf16, float32 otherwise; see KeepsHalves.
    Numbers modulation(Numbers values) const {
        if (precision_ != zprl::cuda::Precision::kBfloat16) return values;
        const double shift = shift_of(values);
        for (double& value : values) value = round_to_bits(value + shift, 10, false, -14);
        return values;
    }

    Layer weights(Layer layer) const {
        for (float& weight : layer.weight) {
            weight = static_cast<float>(rounded_operand(static_cast<double>(weight), precision_));
        }
        return layer;
    }

 private:
    double shift_of(const Numbers& values) const {
        double squares = 0.0;
        for (double value : values) squares += value * value;
        return shift_ * std::sqrt(squares / static_cast<double>(values.size()));
    }

    zprl::cuda::Precision precision_;
    double shift_;
};

// The velocity field and its integration, a second time; see Reference, whose embedding, encoder and decoder are not
// rounded on the GPU either.
class RoundedReference {
 public:
    RoundedReference(const Model& model, const Rounding& rounding)
        : m_(model),
          s_(model.shape),
          exact_(model),
          rounding_(rounding),
          modulation_(rounding.weights(model.modulation)),
          input_(rounding.weights(model.input)),
          output_(rounding.weights(model.output)) {
        for (const Layer& layer : model.blocks) blocks_.push_back(rounding.weights(layer));
    }

    Numbers integrate(Numbers condition, const float* noise) const {
        std::transform(condition.begin(), condition.end(), condition.begin(), silu);
        const Numbers modulation = rounding_.modulation(output_of(modulation_, rounding_.operands(condition)));
        const Method& method = kMethods[s_.solver];
        const double step = 1.0 / s_.steps;
        Numbers x(s_.chunk(), 0.0);
        if (noise != nullptr) x.assign(noise, noise + s_.chunk());
        for (int k = 0; k < s_.steps; ++k) {
            Numbers slope(x.size(), 0.0), end = x;
            for (size_t stage = 0; stage < method.nodes.size(); ++stage) {
                Numbers at = x;
                for (size_t i = 0; i < x.size(); ++i) at[i] -= step * method.nodes[stage] * slope[i];
                slope = velocity(at, modulation, static_cast<int>(method.rows_per_step * (k + method.nodes[stage])));
                for (size_t i = 0; i < x.size(); ++i) end[i] -= step * method.weights[stage] * slope[i];
            }
            x = end;
        }
        return x;
    }

    Numbers step(const float* obs, const float* residual, const float* noise, const uint64_t* seed) const {
        return act(exact_.latents(obs, residual, seed), noise);
    }

    Numbers act(const Numbers& latent, const float* noise) const {
        return exact_.in_units(integrate(output_of(m_.decoder, latent), noise));
    }

    // As core_calls.h's reference_row(), of which encoding is all that nothing is rounded in.
    Numbers row(const Batch& batch, Call call, int64_t row) const {
        const float* const obs = batch.obs.data() + row * s_.obs;
        const float* const residual = batch.residual.data() + row * s_.latent;
        const float* const noise = batch.noise.data() + row * s_.chunk();
        const float* const condition = batch.condition.data() + row * s_.embed;
        switch (call) {
            case Call::kStep:
                return step(obs, residual, noise, nullptr);
            case Call::kSampledStep:
                return step(obs, residual, noise, &batch.seeds[row]);
            case Call::kPlainStep:
                return step(obs, nullptr, nullptr, nullptr);
            case Call::kAct:
                return act(Numbers(residual, residual + s_.latent), noise);
            case Call::kActFromCondition:
                return exact_.in_units(integrate(Numbers(condition, condition + s_.embed), noise));
            case Call::kIntegrate:
                return integrate(Numbers(condition, condition + s_.embed), noise);
            case Call::kPlainIntegrate:
                return integrate(Numbers(condition, condition + s_.embed), nullptr);
            default:
                return exact_.encode(obs);
        }
    }

 private:
    Numbers velocity(const Numbers& x, const Numbers& modulation, int time_row) const {
        const int width = s_.hidden;
        const float* const time = m_.time_table.data() + static_cast<size_t>(time_row) * (3 * s_.blocks + 3) * width;
        Numbers h = output_of(input_, rounding_.operands(x));
        for (int i = 0; i < width; ++i) h[i] += modulation[i] + static_cast<double>(time[i]);
        for (int block = 0; block < s_.blocks; ++block) {
            const float* const row = time + (1 + 3 * block) * width;
            Numbers inner = output_of(blocks_[2 * block], rounding_.operands(normalised(h, modulation, row)));
            std::transform(inner.begin(), inner.end(), inner.begin(), silu);
            const Numbers branch = output_of(blocks_[2 * block + 1], rounding_.operands(inner));
            for (int i = 0; i < width; ++i) {
                h[i] += (modulation[3 * width + i] + static_cast<double>(row[2 * width + i])) * branch[i];
            }
        }
        const float* const row = time + (1 + 3 * s_.blocks) * width;
        return output_of(output_, rounding_.operands(normalised(h, modulation, row)));
    }

    Numbers normalised(const Numbers& h, const Numbers& modulation, const float* time) const {
        const int width = s_.hidden;
        double mean = 0.0, variance = 0.0;
        for (double value : h) mean += value / width;
        for (double value : h) variance += (value - mean) * (value - mean) / width;
        Numbers result(width);
        for (int i = 0; i < width; ++i) {
            const double shift = modulation[width + i] + static_cast<double>(time[i]);
            const double scale = 1.0 + modulation[2 * width + i] + static_cast<double>(time[width + i]);
            result[i] = (h[i] - mean) / std::sqrt(variance + 1e-5) * scale + shift;
        }
        return result;
    }

    const Model& m_;
    const Shape& s_;
    const Reference exact_;
    const Rounding rounding_;
    const Layer modulation_, input_, output_;
    std::vector<Layer> blocks_;
};

}  // namespace
}  // namespace core_check
