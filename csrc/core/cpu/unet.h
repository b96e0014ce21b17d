// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The U-Net as velocity field; see UNetVelocityField in zprl/policies/flow/unet.py.
//
// What depends on the condition (the scales and shifts of all blocks) is computed once per chunk, and what depends on
// the time lies in the blob. An evaluation is a sequence of loops, each over some columns of one convolution's output:
// its sums, and at once, while they are in the level-1 cache, GroupNorm (whose groups are whole within the columns),
// mish, and FiLM or the residual connection. The indices of a loop are handed out to whatever threads there are; every
// number is computed by one of them, in one order.
//
// Convolutions read the type of the weights. What runs along the residual connections is fp32 in every case.

#pragma once

#include "activations.h"
#include "convolution.h"
#include "step.h"

namespace zprl {
namespace {

// Same as the default of torch.nn.GroupNorm.
constexpr float kGroupNormEpsilon = 1e-5f;

// Call work(first, end) for parts of a layer's outputs: whole panels, and whole groups of a width.
template <typename Work>
ZPRL_INLINE void for_columns(const StepTeam* team, int outputs, int width, const Work& work) {
    const int columns = padded(outputs);
    int part = kPanel;
    while (part < columns && part % width != 0) part += kPanel;
    for_each(team, (columns + part - 1) / part,
             [&](int i) __attribute__((always_inline)) { work(i * part, smaller((i + 1) * part, columns)); });
}

// Replace the totals of the columns [first, end), of which there are `channels`, by `mean_of(total of a column's
// group)`.
template <typename MeanOf>
ZPRL_INLINE void spread_over_groups(float* totals, int first, int end, int channels, int width, const MeanOf& mean_of) {
    for (int group = first; group < smaller(end, channels); group += width) {
        float total = 0.0f;
        for (int i = group; i < group + width; ++i) total += totals[i];
        const float mean = mean_of(total);
        for (int i = group; i < group + width; ++i) totals[i] = mean;
    }
}

// finish(sample, position, column, mish(GroupNorm(s.sums))) for the columns [first, end) of a layer's outputs.
template <typename W, typename Finish>
static void normalise(const GroupNorm& norm, int channels, int samples, int length, int first, int end,
                      const Scratch<W>& s, const Finish& finish) {
    const int stride = padded(channels);
    const float inverse_count = 1.0f / (static_cast<float>(norm.width) * static_cast<float>(length));
    float *means = s.means, *inverse_stds = s.inverse_stds;
    for (int sample = 0; sample < samples; ++sample) {
        const float* sums = s.sums + static_cast<size_t>(sample) * length * stride;
        for (int i = first; i < end; i += kLanes) {
            Vec total = {};
            for (int p = 0; p < length; ++p) total += load(sums + p * stride + i);
            store(means + i, total);
        }
        spread_over_groups(means, first, end, channels, norm.width,
                           [&](float total) __attribute__((always_inline)) { return total * inverse_count; });
        for (int i = first; i < end; i += kLanes) {
            Vec total = {};
            for (int p = 0; p < length; ++p) {
                const Vec deviation = load(sums + p * stride + i) - load(means + i);
                total += deviation * deviation;
            }
            store(inverse_stds + i, total);
        }
        spread_over_groups(inverse_stds, first, end, channels, norm.width,
                           [&](float total) __attribute__((always_inline)) {
                               return 1.0f / sqrt(total * inverse_count + kGroupNormEpsilon);
                           });
        for (int i = first; i < end; i += kLanes) {
            const Vec mean = load(means + i), scale = load(inverse_stds + i) * load(norm.scale + i);
            const Vec shift = load(norm.shift + i);
            for (int p = 0; p < length; ++p) {
                finish(sample, p, i, mish((load(sums + p * stride + i) - mean) * scale + shift));
            }
        }
    }
}

// One evaluation. All threads of a team go through it together.
template <typename W>
struct UNetPass {
    typedef typename W::Input Input;

    const Policy& p;
    const Scratch<W>& s;
    const float* time;  // row of the table
    int samples;
    const StepTeam* team;

    // Some columns of a convolution that keeps the positions, in fp32 to `to` [samples][length][padded(outputs)].
    void sum(const Convolution& conv, const Signal<W>& x, int first, int end, float* to) {
        const int stride = padded(conv.layer.out);
        convolve(conv, x, s.zeros, samples, x.length, first, end,
                 [&](int sample, int position, int column, Vec v) __attribute__((always_inline)) {
                     store(to + (static_cast<size_t>(sample) * x.length + position) * stride + column, v);
                 });
    }

    // A block from x to `to` [samples][length][to_stride], and to s.residual.
    void film_block(const FilmBlock& block, const Signal<W>& x, Input* to, int to_stride) {
        const int channels = block.out.layer.out, stride = padded(channels), length = x.length;
        const auto place = [&](int sample, int position) __attribute__((always_inline)) {
            return static_cast<size_t>(sample) * length + position;
        };
        for_columns(team, channels, block.norm_in.width, [&](int first, int end) {
            sum(block.in, x, first, end, s.sums);
            normalise(block.norm_in, channels, samples, length, first, end, s,
                      [&](int sample, int position, int column, Vec v) __attribute__((always_inline)) {
                          const float* of_time = time + block.film + column;
                          const float* film =
                              s.film + static_cast<size_t>(sample) * p.unet.film_width + block.film + column;
                          const Vec scale = load(film) + load(of_time);
                          const Vec shift = load(film + stride) + load(of_time + stride);
                          W::store_input(s.inner_signal + place(sample, position) * stride + column, scale * v + shift);
                      });
        });
        const Signal<W> inner = {s.inner_signal, stride, length};
        for_columns(team, channels, block.norm_out.width, [&](int first, int end) {
            sum(block.out, inner, first, end, s.sums);
            if (block.residual.taps > 0) sum(block.residual, x, first, end, s.residual_signal);
            normalise(block.norm_out, channels, samples, length, first, end, s,
                      [&](int sample, int position, int column, Vec v) __attribute__((always_inline)) {
                          float* residual = s.residual_signal + place(sample, position) * stride + column;
                          v += load(residual);
                          store(residual, v);
                          W::store_input(to + place(sample, position) * to_stride + column, v);
                      });
        });
    }

    // A convolution alone, to every `step`-th position of `to` from `offset` on.
    void convolve_to(const Convolution& conv, const Signal<W>& x, int length, Input* to, int to_stride, int step = 1,
                     int offset = 0) {
        for_columns(team, conv.layer.out, 1, [&](int first, int end) {
            convolve(conv, x, s.zeros, samples, length, first, end,
                     [&](int sample, int position, int column, Vec v) __attribute__((always_inline)) {
                         const size_t at = static_cast<size_t>(sample) * length * step + position * step + offset;
                         W::store_input(to + at * to_stride + column, v);
                     });
        });
    }

    // s.slope = v(state, time | condition).
    void run(const float* state, StageClock* clock) {
        const UNet& u = p.unet;
        const int deepest = u.levels - 1, action_stride = padded(p.action_dim);
        alone(team, [&] { load_state(state); });
        Signal<W> x = {s.state_signal, action_stride, u.positions(0)};
        // What reads x writes to the other one.
        Input *here = s.signals[0], *other = s.signals[1];
        const auto swap = [&] {
            Input* before = here;
            here = other;
            other = before;
        };
        for (int level = 0; level <= deepest; ++level) {
            const int stride = padded(u.channels[level]), length = u.positions(level);
            film_block(u.blocks[2 * level], x, here, stride);
            // What leaves the level is read again on the way up, beside what comes from below.
            Input* leaving = level > 0 ? s.joined[level] + stride : other;
            const int leaving_stride = level > 0 ? 2 * stride : stride;
            film_block(u.blocks[2 * level + 1], {here, stride, length}, leaving, leaving_stride);
            x = {leaving, leaving_stride, length};
            if (level < deepest) {
                convolve_to(u.halve[level], x, length / 2, here, stride);
                x = {here, stride, length / 2};
                swap();
            }
        }
        end_stage(clock, Stage::kDown);

        const int deepest_stride = padded(u.channels[deepest]);
        Input* middle = x.data == here ? other : here;
        film_block(u.middle(0), x, middle, deepest_stride);
        x = {middle, deepest_stride, x.length};
        middle = deepest > 0 ? s.joined[deepest] : x.data == here ? other : here;
        film_block(u.middle(1), x, middle, deepest > 0 ? 2 * deepest_stride : deepest_stride);
        x = {middle, deepest > 0 ? 2 * deepest_stride : deepest_stride, x.length};
        end_stage(clock, Stage::kMiddle);

        for (int level = deepest; level > 0; --level) {
            const int stride = padded(u.channels[level - 1]), length = u.positions(level);
            film_block(u.up(level, 0), x, here, stride);
            film_block(u.up(level, 1), {here, stride, length}, other, stride);
            Input* above = level > 1 ? s.joined[level - 1] : here;
            const int above_stride = level > 1 ? 2 * stride : stride;
            convolve_to(u.even[level], {other, stride, length}, length, above, above_stride, 2, 0);
            convolve_to(u.odd[level], {other, stride, length}, length, above, above_stride, 2, 1);
            x = {above, above_stride, 2 * length};
        }
        end_stage(clock, Stage::kUp);

        output(x, x.data == here ? other : here);
        end_stage(clock, Stage::kOutput);
    }

 private:
    // s.state_signal of [samples][chunk_dim], with zeros where the padded horizon goes on.
    void load_state(const float* state) {
        const int stride = padded(p.action_dim), length = p.unet.positions(0);
        for (int sample = 0; sample < samples; ++sample) {
            for (int position = 0; position < length; ++position) {
                const float* from = state + static_cast<size_t>(sample) * s.chunk_stride + position * p.action_dim;
                Input* to = s.state_signal + (static_cast<size_t>(sample) * length + position) * stride;
                for (int i = 0; i < stride; i += kLanes) {
                    Vec v = {};
                    const int count = position < p.horizon ? smaller(kLanes, p.action_dim - i) : 0;
                    for (int j = 0; j < count; ++j) v[j] = from[i + j];
                    W::store_input(to + i, v);
                }
            }
        }
    }

    void output(const Signal<W>& x, Input* last) {
        const UNet& u = p.unet;
        const int stride = padded(u.channels[0]), length = x.length;
        for_columns(team, u.channels[0], u.norm_last.width, [&](int first, int end) {
            sum(u.last, x, first, end, s.sums);
            normalise(u.norm_last, u.channels[0], samples, length, first, end, s,
                      [&](int sample, int position, int column, Vec v) __attribute__((always_inline)) {
                          W::store_input(last + (static_cast<size_t>(sample) * length + position) * stride + column, v);
                      });
        });
        const Signal<W> normalised = {last, stride, length};
        for_columns(team, p.action_dim, 1, [&](int first, int end) { sum(u.output, normalised, first, end, s.sums); });
        const int action_stride = padded(p.action_dim), chunk = p.chunk_dim();
        alone(team, [&] {
            for (int sample = 0; sample < samples; ++sample) {
                const float* from = s.sums + static_cast<size_t>(sample) * length * action_stride;
                float* to = s.slope + static_cast<size_t>(sample) * s.chunk_stride;
                for (int i = 0; i < s.chunk_stride; ++i) {
                    to[i] = i < chunk ? from[i / p.action_dim * action_stride + i % p.action_dim] : 0.0f;
                }
            }
        });
    }
};

}  // namespace
}  // namespace zprl
