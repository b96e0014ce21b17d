// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step of the rows of a block (tile_step.cuh) or of a cluster of blocks (cluster_step.cuh).
//
// The two kernels are one program over two engines. An engine says who multiplies what, and who sees what is written:
//
//   linear<Unit>(layer, index, input, bytes, finish)
//       sums of a layer for all rows. finish(row, column, x, y) gets each pair of columns, with its bias, once in the
//       block or cluster, and always in the same thread for the same row and column. What is read must be in place.
//       What finish put(), `bytes` for each pair, is seen by all after.
//   put(at, value)
//       writes 4 or 8 bytes of a result, by finish alone, into the memory of every block that has these rows
//   sync()
//       what the block wrote to its own memory before is seen by all of it after
//   exchange()
//       the same, and all blocks that have these rows are done with what they read before
//   writes()
//       whether this block writes results to global memory that all blocks of a cluster have
//
// Everything else is done by every block for all its rows.
//
// A row's numbers are computed alike wherever the row lies, so they do not depend on the batch. Rows past its end
// compute on zeros and are not written.

#pragma once

#include "../latent_noise_impl.h"
#include "arguments.cuh"
#include "device.cuh"
#include "layout.h"
#include "memory.h"
#include "unit.cuh"

namespace zprl {
namespace cuda {

// Same as on the CPU (cpu/step_impl.h).
constexpr float kLogvarMin = -20.0f, kLogvarMax = 10.0f;
constexpr float kLayerNormEpsilon = 1e-5f;

// Passes NaN on, as torch.clamp does.
ZPRL_DEVICE float clamp(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }
ZPRL_DEVICE float silu(float x) { return device::divide_fast(x, 1.0f + device::exp(-x)); }
ZPRL_DEVICE float gelu(float x) { return 0.5f * x * (1.0f + device::erf(x * 0.707106781f)); }

ZPRL_DEVICE float activated(float x, Activation activation) {
    switch (activation) {
        case Activation::kElu:
            return x > 0.0f ? x : device::expm1(x);
        case Activation::kRelu:
            return x < 0.0f ? 0.0f : x;
        case Activation::kTanh:
            return device::tanh(x);
        case Activation::kSilu:
            return silu(x);
        default:
            return gelu(x);
    }
}

ZPRL_DEVICE Float2 load_pair(const float* at) { return *reinterpret_cast<const Float2*>(at); }

ZPRL_DEVICE float sum_of_warp(float x) {
    ZPRL_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) x += device::shuffle_xor(x, mask);
    return x;
}

// What becomes of a layer's sums.
enum class Finish { kGelu, kPlain, kCondition, kModulation, kInput, kBlockIn, kBlockOut, kOutput };

template <typename Unit, typename Engine>
class Step {
 public:
    ZPRL_DEVICE Step(const KernelArguments& arguments, Engine& engine, int64_t first_row, char* workspace)
        : p_(arguments.policy), m_(arguments.memory), c_(arguments.call), e_(engine), first_(first_row) {
        char* const shared = device::shared_memory();
        modulation_ = reinterpret_cast<Kept*>((m_.modulation_in_workspace ? workspace : shared) + m_.modulation);
        char* const rest = m_.rest_in_workspace ? workspace : shared;
        stream_ = reinterpret_cast<float*>(rest + m_.stream);
        latent_ = reinterpret_cast<float*>(shared + m_.latent);
        state_ = reinterpret_cast<float*>(rest + m_.state);
        end_ = reinterpret_cast<float*>(rest + m_.end);
        branch_ = shared + m_.branch;
        inner_ = shared + m_.inner;
        once_ = shared + m_.once[0];
        other_ = shared + m_.once[1];
    }

    ZPRL_DEVICE void run() {
        const int first = first_layer(p_, c_.operation);
        if (first == layers_once(p_)) {
            load_conditions();
        } else if (first > 0) {
            load_latents();
        } else {
            load_observations();
        }
        e_.sync();
        run_once(first);
        if (c_.operation == Operation::kEncode) {
            write_moments();
            return;
        }
        field(p_.modulation, layers_once(p_), once_, Finish::kModulation);
        load_state();
        e_.sync();
        integrate();
    }

 private:
    typedef typename Unit::Kept Kept;

    // -- element by element: every thread takes some numbers of all rows

    // function(row, column) for each of the rows' first `width` numbers.
    template <typename Function>
    ZPRL_DEVICE void for_each(int width, const Function& function) const {
        for (int i = device::thread_index(); i < m_.rows * width; i += kThreads) function(i / width, i % width);
    }
    // The same, two columns at a time; `width` is even.
    template <typename Function>
    ZPRL_DEVICE void for_pairs(int width, const Function& function) const {
        for_each(width / 2, [&](int row, int pair) { function(row, 2 * pair); });
    }

    ZPRL_DEVICE int chunk_dim() const { return p_.horizon * p_.action_dim; }
    ZPRL_DEVICE bool exists(int row) const { return first_ + row < c_.rows; }

    // Number `column` of a row of the batch, or zero where there is none.
    ZPRL_DEVICE float number(const float* values, int row, int width, int column) const {
        if (values == nullptr || column >= width || !exists(row)) return 0.0f;
        return values[(first_ + row) * width + column];
    }

    ZPRL_DEVICE float* float_at(char* operand, int row, int column) const {
        return reinterpret_cast<float*>(operand + swizzled(m_.rows, row, column * 4));
    }

    ZPRL_DEVICE const float* floats(uint32_t offset) const { return reinterpret_cast<const float*>(c_.blob + offset); }

    // A pair of an operand, for this block alone.
    ZPRL_DEVICE void store_operand(char* operand, int row, int column, float x, float y) const {
        device::store_operand(operand_at(operand, row, column), Unit::operand(x, y));
    }
    ZPRL_DEVICE void put_operand(char* operand, int row, int column, float x, float y) const {
        e_.put(operand_at(operand, row, column), Unit::operand(x, y));
    }
    ZPRL_DEVICE char* operand_at(char* operand, int row, int column) const {
        return operand + swizzled(m_.rows, row, column * Unit::kElementBytes);
    }
    static constexpr int kOperandBytes = 2 * Unit::kElementBytes, kPairBytes = sizeof(Float2);

    ZPRL_DEVICE void load_observations() {
        const float *mean = floats(p_.obs_mean), *std = floats(p_.obs_std);
        for_each(padded_width(p_.obs_dim), [&](int row, int column) {
            const bool inside = column < p_.obs_dim;
            *float_at(once_, row, column) =
                inside ? (number(c_.obs, row, p_.obs_dim, column) - mean[column]) / std[column] : 0.0f;
        });
    }

    ZPRL_DEVICE void load_latents() {
        for_each(padded_width(p_.latent_dim), [&](int row, int column) {
            *float_at(once_, row, column) = number(c_.latent, row, p_.latent_dim, column);
        });
    }

    ZPRL_DEVICE void load_conditions() {
        for_pairs(padded_width(p_.embed_dim), [&](int row, int column) {
            const float x = number(c_.condition, row, p_.embed_dim, column);
            const float y = number(c_.condition, row, p_.embed_dim, column + 1);
            store_operand(once_, row, column, silu(x), silu(y));
        });
    }

    ZPRL_DEVICE void write_moments() {
        const int latent = p_.latent_dim;
        for_each(latent, [&](int row, int column) {
            if (!exists(row) || !e_.writes()) return;
            const int64_t at = (first_ + row) * latent + column;
            c_.mean[at] = *float_at(once_, row, column);
            if (c_.logvar != nullptr)
                c_.logvar[at] = clamp(*float_at(once_, row, latent + column), kLogvarMin, kLogvarMax);
        });
    }

    // From moments to latents, in the place of their rival buffer, which is the next layer's input then. With an actor,
    // that is the actor's input, and the latents wait.
    ZPRL_DEVICE void take_latents() {
        const int latent = p_.latent_dim;
        const bool steered = p_.num_actor > 0;
        for_each(padded_width(latent), [&](int row, int column) {
            float z = 0.0f;
            if (column < latent) {
                z = *float_at(once_, row, column);
                if (c_.latent_seed != nullptr && exists(row)) {
                    const float logvar = clamp(*float_at(once_, row, latent + column), kLogvarMin, kLogvarMax);
                    z += device::exp(0.5f * logvar) * standard_normal_inline(c_.latent_seed[first_ + row], column);
                }
                z += number(c_.residual, row, latent, column);
                if (steered) latent_[row * latent + column] = z;
            }
            if (!steered) *float_at(other_, row, column) = z;
        });
        if (steered) load_actor_input();
        swap_once();
    }

    // What the actor sees, the raw observation and the latent's mean, by its own normaliser.
    ZPRL_DEVICE void load_actor_input() {
        const int width = p_.obs_dim + p_.latent_dim;
        const float *mean = floats(p_.actor_mean), *divisor = floats(p_.actor_divisor);
        for_each(padded_width(width), [&](int row, int column) {
            float x = 0.0f;
            if (column < width) {
                x = column < p_.obs_dim ? number(c_.obs, row, p_.obs_dim, column)
                                        : *float_at(once_, row, column - p_.obs_dim);
                x = (x - mean[column]) / divisor[column];
            }
            *float_at(other_, row, column) = x;
        });
    }

    // The latents again, with the actor's bounded output.
    ZPRL_DEVICE void steer_latents() {
        const int latent = p_.latent_dim;
        const float scale = floats(p_.residual_scale)[0];
        for_each(padded_width(latent), [&](int row, int column) {
            float z = 0.0f;
            if (column < latent) {
                const float x = *float_at(once_, row, column);
                const float u = p_.actor_output == ActorOutput::kTanh ? device::tanh(x) : x;
                z = latent_[row * latent + column] + scale * clamp(u, -1.0f, 1.0f);
            }
            *float_at(other_, row, column) = z;
        });
        swap_once();
    }

    ZPRL_DEVICE void activate(int width) {
        for_each(padded_width(width), [&](int row, int column) {
            float* const x = float_at(once_, row, column);
            *x = activated(*x, p_.actor_activation);
        });
    }

    ZPRL_DEVICE void load_state() {
        for_pairs(padded_width(chunk_dim()), [&](int row, int column) {
            const float x = number(c_.noise, row, chunk_dim(), column);
            const float y = number(c_.noise, row, chunk_dim(), column + 1);
            *reinterpret_cast<Float2*>(state_ + row * m_.state_stride + column) = {x, y};
            store_operand(inner_, row, column, x, y);
        });
    }

    ZPRL_DEVICE void swap_once() {
        char* const swap = once_;
        once_ = other_;
        other_ = swap;
    }

    // -- embedding, encoder, actor, decoder: float32, from once_ to other_ and back

    // Layers from `first` on, of what is in once_: to moments, or on to the condition, after its SiLU.
    ZPRL_DEVICE void run_once(int first) {
        const int moments = layers_to_moments(p_), latents = moments + p_.num_actor;
        const int end = c_.operation == Operation::kEncode ? moments : layers_once(p_);
        for (int i = first; i < end; ++i) {
            if (i == moments && first == 0) {
                take_latents();
                e_.exchange();
            }
            if (i == latents && latents > moments && first == 0) {
                steer_latents();
                e_.exchange();
            }
            const bool of_actor = i >= moments && i < latents;
            const bool plain = i + 1 == p_.num_embedding || i + 1 == moments || of_actor;
            run_layer_once(i, plain ? Finish::kPlain : i + 1 < end ? Finish::kGelu : Finish::kCondition);
            if (of_actor && i + 1 < latents) {  // apart from the sums: it may be any of five
                activate(p_.once[i].out);
                e_.sync();
            }
        }
    }

    ZPRL_DEVICE void run_layer_once(int index, Finish kind) {
        char* const to = other_;
        const int bytes = kind == Finish::kCondition ? kOperandBytes : kPairBytes;
        e_.template linear<Fp32Unit>(p_.once[index], index, once_, bytes, [&](int row, int column, float x, float y) {
            if (kind == Finish::kCondition) {
                put_operand(to, row, column, silu(x), silu(y));
            } else {
                const bool plain = kind == Finish::kPlain;
                e_.put(float_at(to, row, column), plain ? Float2{x, y} : Float2{gelu(x), gelu(y)});
            }
        });
        swap_once();
    }

    // -- the velocity field; see ResidualMLPVelocityField in zprl/policies/flow/velocity_field.py

    // One layer of it, or the modulation, from `input` to where its kind says.
    ZPRL_DEVICE void field(const DeviceLayer& layer, int index, const char* input, Finish kind) {
        const int hidden = padded_width(p_.hidden_dim);
        const int bytes = kind == Finish::kModulation ? 2 * static_cast<int>(sizeof(Kept))
                          : kind == Finish::kBlockIn  ? kOperandBytes
                          : kind == Finish::kOutput   ? (finished_ ? 0 : kOperandBytes)
                                                      : kPairBytes;
        e_.template linear<Unit>(layer, index, input, bytes, [&](int row, int column, float x, float y) {
            Kept* const modulation = modulation_ + row * m_.modulation_stride + column;
            float* const stream = stream_ + row * m_.stream_stride + column;
            switch (kind) {
                case Finish::kModulation:
                    e_.put(modulation, Unit::kept(x, y));
                    break;
                case Finish::kInput: {
                    const Float2 bias = Unit::load_kept(modulation);
                    const Float2 h = {x + (bias.x + time_[column]), y + (bias.y + time_[column + 1])};
                    e_.put(stream, h);
                    break;
                }
                case Finish::kBlockIn:
                    put_operand(inner_, row, column, silu(x), silu(y));
                    break;
                case Finish::kBlockOut: {
                    const Float2 gate = Unit::load_kept(modulation + 3 * hidden);
                    const float* const time_gate = time_ + 2 * hidden + column;
                    Float2 h = load_pair(stream);
                    h.x += (gate.x + time_gate[0]) * x;
                    h.y += (gate.y + time_gate[1]) * y;
                    e_.put(stream, h);
                    break;
                }
                default:
                    advance(row, column, x, y);
            }
        });
    }

    // LayerNorm without affine parameters, then * (1 + scale + time_scale) + shift + time_shift: a warp per row.
    ZPRL_DEVICE void modulated_layer_norm() {
        const int width = p_.hidden_dim, hidden = padded_width(width);
        const int warp = device::thread_index() / 32, lane = device::thread_index() % 32;
        const float *time_shift = time_, *time_scale = time_ + hidden;
        const float inverse_width = 1.0f / static_cast<float>(width);
        for (int row = warp; row < m_.rows; row += kWarps) {
            const float* const h = stream_ + row * m_.stream_stride;
            float mean = 0.0f, variance = 0.0f;
            for (int i = 2 * lane; i < hidden; i += 64) {  // numbers past the width are zero
                const Float2 pair = load_pair(h + i);
                mean += pair.x + pair.y;
            }
            mean = sum_of_warp(mean) * inverse_width;
            for (int i = 2 * lane; i < hidden; i += 64) {
                const Float2 pair = load_pair(h + i);
                const float x = i < width ? pair.x - mean : 0.0f, y = i + 1 < width ? pair.y - mean : 0.0f;
                variance += x * x + y * y;
            }
            const float inverse_std = device::inverse_sqrt(sum_of_warp(variance) * inverse_width + kLayerNormEpsilon);
            const Kept* const modulation = modulation_ + row * m_.modulation_stride;
            for (int i = 2 * lane; i < hidden; i += 64) {
                const Float2 pair = load_pair(h + i);
                const Float2 shift = Unit::load_kept(modulation + hidden + i);
                const Float2 scale = Unit::load_kept(modulation + 2 * hidden + i);
                float x = (pair.x - mean) * inverse_std, y = (pair.y - mean) * inverse_std;
                x = x * (scale.x + (1.0f + time_scale[i])) + (shift.x + time_shift[i]);
                y = y * (scale.y + (1.0f + time_scale[i + 1])) + (shift.y + time_shift[i + 1]);
                store_operand(branch_, row, i, i < width ? x : 0.0f, i + 1 < width ? y : 0.0f);
            }
        }
    }

    // The solver's part of the output layer: x and y are the velocity. State and end of a row's column belong to the
    // thread that finishes it.
    ZPRL_DEVICE void advance(int row, int column, float x, float y) {
        float* const state = state_ + row * m_.state_stride + column;
        const Float2 from = load_pair(state);
        Float2 end = from;
        if (has_end_) end = load_pair(end_ + row * m_.state_stride + column);
        end.x -= weight_ * x;
        end.y -= weight_ * y;
        Float2 next = end;
        if (last_stage_) {
            *reinterpret_cast<Float2*>(state) = end;
        } else {
            if (weight_ != 0.0f) *reinterpret_cast<Float2*>(end_ + row * m_.state_stride + column) = end;
            next = {from.x - next_node_ * x, from.y - next_node_ * y};
        }
        if (!finished_) {
            put_operand(inner_, row, column, next.x, next.y);
        } else if (exists(row)) {
            write_action(row, column, end.x);
            write_action(row, column + 1, end.y);
        }
    }

    ZPRL_DEVICE void write_action(int row, int column, float value) {
        const int width = chunk_dim();
        if (column >= width) return;
        if (c_.operation != Operation::kIntegrate) {
            const int i = column % p_.action_dim;
            value = clamp(value * floats(p_.action_std)[i] + floats(p_.action_mean)[i], floats(p_.action_low)[i],
                          floats(p_.action_high)[i]);
        }
        c_.chunk[(first_ + row) * width + column] = value;
    }

    // From t = 1 to t = 0; see integrate() in zprl/policies/flow/flow_matching.py.
    ZPRL_DEVICE void integrate() {
        const int hidden = padded_width(p_.hidden_dim), layers = layers_per_evaluation(p_);
        const int time_row_size = (3 * p_.num_blocks + 3) * hidden;
        const float step = 1.0f / static_cast<float>(p_.num_steps);
        int index = layers_once(p_) + 1;
        for (int k = 0; k < p_.num_steps; ++k) {
            has_end_ = false;
            for (int stage = 0; stage < p_.solver.stages; ++stage) {
                const int time_row = static_cast<int>(static_cast<float>(p_.solver.rows_per_step) *
                                                      (static_cast<float>(k) + p_.solver.nodes[stage]));
                weight_ = step * p_.solver.weights[stage];
                last_stage_ = stage + 1 == p_.solver.stages;
                next_node_ = last_stage_ ? 0.0f : step * p_.solver.nodes[stage + 1];
                finished_ = last_stage_ && k + 1 == p_.num_steps;
                time_ = floats(p_.time_table) + static_cast<int64_t>(time_row) * time_row_size;
                for (int i = 0; i < layers; ++i, ++index) {
                    Finish kind = i % 2 == 1 ? Finish::kBlockIn : Finish::kBlockOut;
                    const char* input = i % 2 == 1 ? branch_ : inner_;
                    if (i == 0) kind = Finish::kInput;
                    if (i + 1 == layers) kind = Finish::kOutput;
                    if (i % 2 == 1) {
                        modulated_layer_norm();
                        e_.sync();
                    }
                    field(field_layer(p_, i), index, input, kind);
                    // Past the input's numbers of time, or past those of a finished block.
                    if (i == 0) time_ += hidden;
                    if (kind == Finish::kBlockOut) time_ += 3 * hidden;
                }
                has_end_ = has_end_ || weight_ != 0.0f;
            }
        }
    }

    const DevicePolicy& p_;
    const Memory& m_;
    const Call& c_;
    Engine& e_;
    const int64_t first_;

    Kept* modulation_;  // [rows][input bias, shift, scale, gate]
    float *stream_, *state_, *end_, *latent_;
    char *branch_, *inner_;  // operands of the residual blocks' layers; inner_ holds the state for the input layer
    char *once_, *other_;    // operands of the layers that run once

    // Of the evaluation in progress.
    const float* time_ = nullptr;
    float weight_ = 0.0f, next_node_ = 0.0f;
    bool has_end_ = false, last_stage_ = false, finished_ = false;
};

}  // namespace cuda
}  // namespace zprl
