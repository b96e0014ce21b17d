// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "core_calls.h"

namespace core_check {

std::vector<float> run(const zprl::Policy& policy, const Shape& s, const Batch& batch, Call call, size_t shift,
                       int threads) {
    Memory<float> obs(batch.obs, shift), residual(batch.residual, shift), noise(batch.noise, shift),
        condition(batch.condition, shift), workspace(zprl::workspace_floats(policy, batch.rows), shift);
    Memory<uint64_t> seeds(batch.seeds, 0);  // a tensor of 64-bit integers is aligned to 8 bytes
    std::vector<float> result;
    if (gives_latents(call)) {
        Memory<float> mean(batch.rows * s.latent, shift), second(batch.rows * s.latent, shift);
        if (call == Call::kEncode) {
            zprl::encode(policy, obs.data(), batch.rows, mean.data(), second.data(), workspace.data());
        } else {
            Memory<float> chunk(batch.rows * s.chunk(), shift);
            zprl::policy_step(policy, obs.data(), residual.data(), nullptr, seeds.data(), batch.rows, chunk.data(),
                              workspace.data(), {mean.data(), second.data()}, threads);
            chunk.require_guards("the chunk");
        }
        mean.require_guards("the mean");
        second.require_guards("the log-variance or the decoded latent");
        const std::vector<float> means = mean.values(), seconds = second.values();
        for (int64_t row = 0; row < batch.rows; ++row) {
            result.insert(result.end(), means.begin() + row * s.latent, means.begin() + (row + 1) * s.latent);
            result.insert(result.end(), seconds.begin() + row * s.latent, seconds.begin() + (row + 1) * s.latent);
        }
    } else {
        Memory<float> chunk(batch.rows * s.chunk(), shift);
        switch (call) {
            case Call::kStep:
                zprl::policy_step(policy, obs.data(), residual.data(), noise.data(), nullptr, batch.rows, chunk.data(),
                                  workspace.data(), {}, threads);
                break;
            case Call::kSampledStep:
                zprl::policy_step(policy, obs.data(), residual.data(), noise.data(), seeds.data(), batch.rows,
                                  chunk.data(), workspace.data(), {}, threads);
                break;
            case Call::kPlainStep:
                zprl::policy_step(policy, obs.data(), nullptr, nullptr, nullptr, batch.rows, chunk.data(),
                                  workspace.data(), {}, threads);
                break;
            case Call::kHalves: {
                Memory<double> latent(batch.rows * s.latent, 0);
                zprl::latent(policy, obs.data(), batch.rows, latent.data(), workspace.data());
                latent.require_guards("the latent");
                for (size_t i = 0; i < batch.residual.size(); ++i) {
                    latent.data()[i] += static_cast<double>(batch.residual[i]);
                }
                zprl::act(policy, latent.data(), noise.data(), batch.rows, chunk.data(), workspace.data(), threads);
                break;
            }
            case Call::kAct:
                zprl::act(policy, residual.data(), noise.data(), batch.rows, chunk.data(), workspace.data(), threads);
                break;
            case Call::kActFromCondition:
                zprl::act_from_condition(policy, condition.data(), noise.data(), batch.rows, chunk.data(),
                                         workspace.data(), threads);
                break;
            case Call::kIntegrate:
                zprl::integrate(policy, condition.data(), noise.data(), batch.rows, chunk.data(), workspace.data(),
                                threads);
                break;
            default:
                zprl::integrate(policy, condition.data(), nullptr, batch.rows, chunk.data(), workspace.data(), threads);
        }
        chunk.require_guards("the chunk");
        result = chunk.values();
    }
    workspace.require_guards("the workspace");
    const auto unchanged = [](const Memory<float>& memory, const std::vector<float>& values) {
        memory.require_guards("an input");
        require(same_bits(memory.values().data(), values.data(), values.size()), "an input was changed");
    };
    unchanged(obs, batch.obs);
    unchanged(residual, batch.residual);
    unchanged(noise, batch.noise);
    unchanged(condition, batch.condition);
    return result;
}

double multiply_adds(const zprl::Policy& p) {
    const auto of_layer = [](const zprl::Linear& layer) {
        return static_cast<double>(zprl::padded(layer.in)) * zprl::padded(layer.out);
    };
    // Of a convolution at a level, at all of its positions.
    const auto of_convolution = [&](const zprl::Convolution& c, int level) {
        return of_layer(c.layer) * (c.taps > 0 ? p.unet.positions(level) : 0);
    };
    double once = of_layer(p.modulation);
    for (const zprl::Mlp* mlp : {&p.embedding, &p.encoder, &p.decoder, &p.actor}) {
        for (int i = 0; i < mlp->count; ++i) once += of_layer(mlp->layers[i]);
    }
    double evaluation = 0.0;
    if (p.network == zprl::Network::kUNet) {
        const zprl::UNet& u = p.unet;
        const auto add_block = [&](const zprl::FilmBlock& block, int level) {
            for (const zprl::Convolution* c : {&block.in, &block.out, &block.residual}) {
                evaluation += of_convolution(*c, level);
            }
        };
        for (int level = 0; level < u.levels; ++level) {
            for (int i = 0; i < 2; ++i) {
                add_block(u.blocks[2 * level + i], level);
                if (level > 0) add_block(u.up(level, i), level);
            }
            for (const zprl::Convolution* c : {&u.halve[level], &u.even[level], &u.odd[level]}) {
                evaluation += of_convolution(*c, level);
            }
        }
        for (int i = 0; i < 2; ++i) add_block(u.middle(i), u.levels - 1);
        evaluation += of_convolution(u.last, 0) + of_convolution(u.output, 0);
    } else {
        evaluation = of_layer(p.input) + of_layer(p.output) + 2.0 * p.num_blocks * of_layer(p.block_layer(0, 0));
    }
    return once + evaluation * p.num_steps * p.solver.stages;
}

}  // namespace core_check
