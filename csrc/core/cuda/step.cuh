// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy step of the rows of a block (tile_step.cuh) or of a cluster of blocks (cluster_step.cuh).
//
// The two kernels are one program over two engines. An engine says who multiplies what, and who sees what is written:
//
//   linear<Unit>(layer, input, epilogue)
//       sums of a layer for all rows. The epilogue (LayerEpilogue) gets each pair of columns, with its bias, once in
//       the block or cluster, and always in the same thread for the same row and column. What is read must be in
//       place. What the epilogue put() is seen by all after.
//   put(at, value)
//       writes 4 or 8 bytes of a result, by an epilogue alone, into the memory of every block that has these rows
//   sync()
//       what the block wrote to its own memory before is seen by all of it after
//   exchange()
//       the same, and all blocks that have these rows are done with what they read before
//   writes()
//       whether this block writes results to global memory that all blocks of a cluster have
//   computes(layer, column)
//       whether the block has this column of a layer's results in its epilogues
//
// An engine of a cluster (OfCluster) has its own layer_norm(operands), and leaves results on their way when linear()
// ends; receive() waits for them, as layer_norm() does first, and linear() where it receives_first(). meet(): threads
// that finish the same pair have read what they need before one of them writes.
//
// Everything else is done by every block for all its rows.
//
// Each kind of layer is compiled for itself, with its epilogue (LayerEpilogue): tens of pairs are unrolled in each.
// What takes many instructions (GELU, the actor's activations, the chunk's units) is no epilogue, but a pass of its own
// over memory.
//
// A row's numbers are computed alike wherever the row lies, so they do not depend on the batch. Rows past its end are
// neither read, sent nor written: their operands are whatever was there, and their sums reach no other row.

#pragma once

#include <type_traits>

#include "../latent_noise_impl.h"
#include "activation.cuh"
#include "arguments.cuh"
#include "device.cuh"
#include "layout.h"
#include "memory.h"
#include "tile_norm.cuh"
#include "unit.cuh"

namespace zprl {
namespace cuda {

// Same as on the CPU (cpu/step_impl.h).
constexpr float kLogvarMin = -20.0f, kLogvarMax = 10.0f;

// Passes NaN on, as torch.clamp does.
ZPRL_DEVICE float clamp(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }
struct OfCluster {};  // base of engines of which several blocks have the same rows, and no workspace

// What becomes of a layer's sums.
enum class EpilogueKind { kPlain, kModulation, kInput, kBlockIn, kBlockOut, kOutput };
ZPRL_DEVICE constexpr bool takes_time(EpilogueKind kind) {
    return kind == EpilogueKind::kInput || kind == EpilogueKind::kBlockOut;
}
ZPRL_DEVICE constexpr bool of_field(EpilogueKind kind) {
    return kind != EpilogueKind::kPlain && kind != EpilogueKind::kModulation;
}
// Whether a layer follows another one whose results nobody has waited for; of the others, a norm has.
ZPRL_DEVICE constexpr bool receives_first(EpilogueKind kind) {
    return kind == EpilogueKind::kInput || kind == EpilogueKind::kBlockOut;
}
ZPRL_DEVICE constexpr bool puts_operands(EpilogueKind kind) {
    return kind == EpilogueKind::kBlockIn || kind == EpilogueKind::kOutput;
}

// A layer's for an engine: see linear() above.
template <typename Step, EpilogueKind kOfKind>
struct LayerEpilogue {
    static constexpr EpilogueKind kKind = kOfKind;
    Step& step;
    const int pair_bytes;     // that it puts for each pair
    const float* const time;  // a number for each column, of which a pair comes along, of a kind that takes_time()

    // Where the sums of a row from `column` on belong, and the pair that lies `offset` columns behind it.
    ZPRL_DEVICE auto place(int row, int column) const { return step.place(row, column); }
    template <typename Place>
    ZPRL_DEVICE void finish(const Place& place, int offset, float x, float y, Float2 time_pair) const {
        step.template finish<kKind>(place, offset, x, y, time_pair);
    }
    // The same in two steps, of a kind that puts operands.
    typedef typename Step::Operand Operand;
    template <typename Place>
    ZPRL_DEVICE Operand operand_of(const Place& place, int offset, float x, float y) const {
        return step.template operand_of<kKind>(place, offset, x, y);
    }
    template <typename Place>
    ZPRL_DEVICE void put_operand(const Place& place, int offset, Operand operand) const {
        step.put_operand(place, offset, operand);
    }
};

template <typename Unit, typename Engine, typename Placed = PlacedByPlan>
class Step {
 public:
    ZPRL_DEVICE Step(const KernelArguments& arguments, Engine& engine, int64_t first_row, char* workspace)
        : p_(arguments.policy),
          m_(arguments.memory),
          c_(arguments.call),
          e_(engine),
          first_(first_row),
          rows_(live_rows(arguments.call, first_row, arguments.memory.rows)) {
        char* const shared = device::shared_memory();
        const Placement placement = Placed::of(m_);
        const auto home = [&](bool in_workspace) { return in_workspace ? workspace : shared; };
        modulation_ = reinterpret_cast<Kept*>(home(modulation_in_workspace(placement)) + m_.modulation);
        stream_ = reinterpret_cast<float*>(home(stream_in_workspace(placement)) + m_.stream);
        latent_ = reinterpret_cast<float*>(shared + m_.latent);
        char* const of_state = home(state_in_workspace(placement));
        state_ = reinterpret_cast<float*>(of_state + m_.state);
        end_ = reinterpret_cast<float*>(of_state + m_.end);
        branch_ = shared + m_.branch;
        inner_ = shared + m_.inner;
        once_ = shared + m_.once[0];
        other_ = home(once_in_workspace(placement)) + m_.once[1];
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
        integrate();
        e_.sync();
        write_chunk();
    }

 private:
    template <typename, EpilogueKind>
    friend struct LayerEpilogue;
    typedef typename Unit::Kept Kept;
    static constexpr bool kOfCluster = std::is_base_of_v<OfCluster, Engine>;

    // -- element by element: every thread takes some numbers of all rows

    // function(row, column) for each of the live rows' first `width` numbers. A thread carries from one row to the
    // next: a division by a width that is known only at run time would take longer than what is done with most numbers.
    template <typename Function>
    ZPRL_DEVICE void for_each(int width, const Function& function) const {
        ZPRL_NO_UNROLL
        for (int row = 0, column = device::thread_index();; column += kThreads) {
            ZPRL_NO_UNROLL
            for (; column >= width; column -= width) ++row;
            if (row >= rows_) return;
            function(row, column);
        }
    }
    // The same, two columns at a time; `width` is even.
    template <typename Function>
    ZPRL_DEVICE void for_pairs(int width, const Function& function) const {
        for_each(width / 2, [&](int row, int pair) { function(row, 2 * pair); });
    }

    ZPRL_DEVICE int chunk_dim() const { return p_.horizon * p_.action_dim; }

    // Number `column` of a row of the batch, or zero where there is none.
    ZPRL_DEVICE float number(const float* values, int row, int width, int column) const {
        if (values == nullptr || column >= width) return 0.0f;
        return values[(first_ + row) * width + column];
    }

    ZPRL_DEVICE float* float_at(char* operand, int row, int column) const {
        return reinterpret_cast<float*>(operand + swizzled(Engine::kRows, row, column * 4));
    }

    ZPRL_DEVICE const float* floats(uint32_t offset) const { return reinterpret_cast<const float*>(c_.blob + offset); }

    // A pair of an operand, for this block alone.
    ZPRL_DEVICE void store_operand(char* operand, int row, int column, float x, float y) const {
        device::store_operand(operand_at(operand, row, column), Unit::operand(x, y));
    }
    ZPRL_DEVICE char* operand_at(char* operand, int row, int column) const {
        return operand + swizzled(Engine::kRows, row, column * Unit::kElementBytes);
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
        if (!e_.writes()) return;
        for_each(latent, [&](int row, int column) {
            const int64_t at = (first_ + row) * latent + column;
            c_.mean[at] = *float_at(once_, row, column);
            if (c_.logvar != nullptr)
                c_.logvar[at] = clamp(*float_at(once_, row, latent + column), kLogvarMin, kLogvarMax);
        });
    }

    // From moments in once_ to latents in other_. With an actor, that has the actor's input, and the latents wait.
    ZPRL_DEVICE void take_latents() {
        const int latent = p_.latent_dim;
        const bool steered = p_.num_actor > 0;
        for_each(padded_width(latent), [&](int row, int column) {
            float z = 0.0f;
            if (column < latent) {
                z = *float_at(once_, row, column);
                if (c_.latent_seed != nullptr) {
                    const float logvar = clamp(*float_at(once_, row, latent + column), kLogvarMin, kLogvarMax);
                    z += device::exp(0.5f * logvar) * standard_normal_inline(c_.latent_seed[first_ + row], column);
                }
                z += number(c_.residual, row, latent, column);
                if (steered) latent_[row * latent + column] = z;
            }
            if (!steered) *float_at(other_, row, column) = z;
        });
        if (steered) load_actor_input();
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
    }

    ZPRL_DEVICE void activate(int width, Activation activation) {
        with_activation(activation, [&](auto chosen) {
            for_each(padded_width(width), [&](int row, int column) {
                float* const x = float_at(once_, row, column);
                *x = activated<decltype(chosen)::value>(*x);
            });
        });
    }

    // The modulation's operand in once_: the condition, which is in other_, after its SiLU.
    ZPRL_DEVICE void round_condition() {
        for_pairs(padded_width(p_.embed_dim), [&](int row, int column) {
            const Float2 pair = load_pair(float_at(other_, row, column));
            store_operand(once_, row, column, silu(pair.x), silu(pair.y));
        });
    }

    ZPRL_DEVICE void load_state() {
        for_pairs(padded_width(chunk_dim()), [&](int row, int column) {
            const float x = number(c_.noise, row, chunk_dim(), column);
            const float y = number(c_.noise, row, chunk_dim(), column + 1);
            *reinterpret_cast<Float2*>(state_ + row * m_.state_stride + column) = {x, y};
            *reinterpret_cast<Float2*>(end_ + row * m_.state_stride + column) = {x, y};
            store_operand(inner_, row, column, x, y);
        });
    }

    // What is in other_, `width` numbers of a row, becomes the next layer's input. Operands of products are in shared
    // memory: where that has no room for both buffers, they are copied there.
    ZPRL_DEVICE void swap_once(int width) {
        if (once_in_workspace(Placed::of(m_))) {
            e_.sync();
            for_each(padded_width(width) * 4 / kPieceBytes, [&](int row, int piece) {
                const uint32_t at = swizzled(Engine::kRows, row, piece * kPieceBytes);
                device::store_operand(once_ + at, *reinterpret_cast<const Float4*>(other_ + at));
            });
            e_.sync();
            return;
        }
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
            if (first == 0 && (i == moments || i == latents)) {
                if (i == moments) {
                    take_latents();
                } else {
                    steer_latents();
                }
                swap_once(p_.once[i].in);
                e_.exchange();
            }
            const bool of_actor = i >= moments && i < latents;
            e_.template linear<Fp32Unit>(p_.once[i], once_,
                                         LayerEpilogue<Step, EpilogueKind::kPlain>{*this, kPairBytes, nullptr});
            if constexpr (kOfCluster) e_.receive();
            if (i + 1 == end && c_.operation != Operation::kEncode) {
                round_condition();
            } else {
                swap_once(p_.once[i].out);
                if (of_actor ? i + 1 < latents : i + 1 != p_.num_embedding && i + 1 != moments && i + 1 < end) {
                    activate(p_.once[i].out, of_actor ? p_.actor_activation : Activation::kGelu);
                }
            }
            e_.sync();
        }
    }

    // -- the velocity field; see ResidualMLPVelocityField in zprl/policies/flow/velocity_field.py

    // One layer of it, or the modulation, from `input` to where its kind says.
    template <EpilogueKind kKind>
    ZPRL_DEVICE void field(const DeviceLayer& layer, const char* input, const float* time = nullptr) {
        const int bytes = kKind == EpilogueKind::kModulation              ? 2 * static_cast<int>(sizeof(Kept))
                          : takes_time(kKind)                             ? kPairBytes
                          : kKind == EpilogueKind::kBlockIn || !finished_ ? kOperandBytes
                                                                          : 0;
        e_.template linear<Unit>(layer, input, LayerEpilogue<Step, kKind>{*this, bytes, time});
    }

    // Numbers of time that come next, into the level-1 cache: they are far away, and each is read once by a block.
    ZPRL_DEVICE void prefetch_time(const float* time, int numbers) const {
        constexpr int kLine = 128 / sizeof(float);
        ZPRL_NO_UNROLL
        for (int i = device::thread_index() * kLine; i < numbers; i += kThreads * kLine) device::prefetch(time + i);
    }

    // Where things of a row lie from a thread's first column on, so that those of columns behind it are at distances
    // that the compiler knows: every other address would be arithmetic of its own. A thread's columns are either whole
    // slabs apart, or 8 of a range that begins at a multiple of 32 columns.
    struct Place {
        Kept *modulation, *gate;
        float *stream, *state, *end;
        // Bytes from the start of an operand, and from 64 bytes behind; and the same of float32 numbers.
        uint32_t operand[2], number[2];
    };
    ZPRL_DEVICE Place place(int row, int column) const {
        const int of_state = row * m_.state_stride + column;
        const auto swizzle = [&](int byte) { return swizzled(Engine::kRows, row, byte); };
        const int operand = column * Unit::kElementBytes, number = column * 4;
        Kept* const modulation = modulation_ + row * m_.modulation_stride + column;
        return {modulation,
                modulation + 3 * padded_width(p_.hidden_dim),
                stream_ + row * m_.stream_stride + column,
                state_ + of_state,
                end_ + of_state,
                {swizzle(operand), swizzle(operand + 64)},
                {swizzle(number), swizzle(number + 64)}};
    }
    // The swizzle is an exclusive or with bits of a slab's bytes, and so is adding bits where there are none: they
    // commute. Whole slabs come last, as a distance that a store has in it, wherever the operand lies.
    static ZPRL_DEVICE char* behind(char* operand, const uint32_t (&place)[2], int bytes) {
        return operand + (place[bytes / 64 % 2] ^ bytes % 64) + bytes / kSlabBytes * (Engine::kRows * kSlabBytes);
    }
    typedef decltype(Unit::operand(0.0f, 0.0f)) Operand;
    ZPRL_DEVICE void put_operand(const Place& place, int offset, Operand operand) const {
        e_.put(behind(inner_, place.operand, offset * Unit::kElementBytes), operand);
    }
    // What becomes of a pair of sums of a kind that puts operands.
    template <EpilogueKind kKind>
    ZPRL_DEVICE Operand operand_of(const Place& place, int offset, float x, float y) {
        if constexpr (kKind == EpilogueKind::kOutput) return advance(place, offset, x, y);
        return Unit::operand(Unit::silu(x), Unit::silu(y));
    }

    template <EpilogueKind kKind>
    ZPRL_DEVICE void finish(const Place& place, int offset, float x, float y, Float2 time) {
        if constexpr (kKind == EpilogueKind::kPlain) {
            e_.put(behind(other_, place.number, offset * 4), Float2{x, y});
        } else if constexpr (kKind == EpilogueKind::kModulation) {
            e_.put(place.modulation + offset, Unit::kept(x, y));
        } else if constexpr (kKind == EpilogueKind::kInput) {
            const Float2 bias = Unit::load_kept(place.modulation + offset);
            e_.put(place.stream + offset, Float2{x + (bias.x + time.x), y + (bias.y + time.y)});
        } else if constexpr (kKind == EpilogueKind::kBlockIn) {
            put_operand(place, offset, operand_of<kKind>(place, offset, x, y));
        } else if constexpr (kKind == EpilogueKind::kBlockOut) {
            const Float2 gate = Unit::load_kept(place.gate + offset);
            Float2 h = load_pair(place.stream + offset);
            h.x += (gate.x + time.x) * x;
            h.y += (gate.y + time.y) * y;
            e_.put(place.stream + offset, h);
        } else {
            const Operand next = operand_of<kKind>(place, offset, x, y);
            if (!finished_) put_operand(place, offset, next);
        }
    }

    // LayerNorm without affine parameters, then * (1 + scale + time_scale) + shift + time_shift; `time` are the numbers
    // of time_shift and time_scale.
    ZPRL_DEVICE void modulated_layer_norm(const float* time) {
        const int hidden = padded_width(p_.hidden_dim);
        const Kept* const shift = modulation_ + hidden;
        const NormOperands<Kept> operands{stream_, m_.stream_stride, shift,   shift + hidden, m_.modulation_stride,
                                          time,    time + hidden,    branch_, p_.hidden_dim};
        if constexpr (kOfCluster) {
            e_.layer_norm(operands);
        } else {
            modulated_layer_norm_of_tile<Unit, Engine::kRows>(operands, rows_);
        }
    }

    // The solver's part of the output layer: x and y are the velocity. State and end of a row's column belong to the
    // thread that finishes it. The end is where the stages so far lead to from the state, and the next state after the
    // last one; with Euler's method they are one. Returns what the next evaluation takes, if there is one.
    ZPRL_DEVICE Operand advance(const Place& place, int offset, float x, float y) {
        Float2* const state = reinterpret_cast<Float2*>(place.state + offset);
        Float2* const end = reinterpret_cast<Float2*>(place.end + offset);
        const Float2 from = *state;
        const Float2 to = {end->x - weight_ * x, end->y - weight_ * y};
        if constexpr (kOfCluster) e_.meet();
        *end = to;
        if (last_stage_) *state = to;
        const Float2 next = {from.x - next_node_ * x, from.y - next_node_ * y};
        return Unit::operand(last_stage_ ? to.x : next.x, last_stage_ ? to.y : next.y);
    }

    // Of its columns, the block whose epilogues advanced them has the state.
    ZPRL_DEVICE void write_chunk() const {
        const int width = chunk_dim();
        const bool has_units = c_.operation != Operation::kIntegrate;
        for_each(width, [&](int row, int column) {
            if (!e_.computes(p_.output, column)) return;
            float value = state_[row * m_.state_stride + column];
            if (has_units) {
                const int i = column % p_.action_dim;
                value = clamp(value * floats(p_.action_std)[i] + floats(p_.action_mean)[i], floats(p_.action_low)[i],
                              floats(p_.action_high)[i]);
            }
            c_.chunk[(first_ + row) * width + column] = value;
        });
    }

    // From t = 1 to t = 0; see integrate() in zprl/policies/flow/flow_matching.py.
    ZPRL_DEVICE void integrate() {
        const int time_row_size = (3 * p_.num_blocks + 3) * padded_width(p_.hidden_dim);
        const float step = 1.0f / static_cast<float>(p_.num_steps);
        field<EpilogueKind::kModulation>(p_.modulation, once_);
        load_state();
        e_.sync();
        ZPRL_NO_UNROLL
        for (int k = 0; k < p_.num_steps; ++k) {
            ZPRL_NO_UNROLL
            for (int stage = 0; stage < p_.solver.stages; ++stage) {
                const int time_row = static_cast<int>(static_cast<float>(p_.solver.rows_per_step) *
                                                      (static_cast<float>(k) + p_.solver.nodes[stage]));
                weight_ = step * p_.solver.weights[stage];
                last_stage_ = stage + 1 == p_.solver.stages;
                next_node_ = last_stage_ ? 0.0f : step * p_.solver.nodes[stage + 1];
                finished_ = last_stage_ && k + 1 == p_.num_steps;
                evaluate(floats(p_.time_table) + static_cast<int64_t>(time_row) * time_row_size);
            }
        }
    }

    // The velocity at a time, whose numbers are those of the input, of each block (shift, scale and gate), and of the
    // last norm.
    ZPRL_DEVICE void evaluate(const float* time) {
        const int hidden = padded_width(p_.hidden_dim);
        prefetch_time(time, 4 * hidden);
        field<EpilogueKind::kInput>(p_.input, inner_, time);
        time += hidden;
        DeviceLayer layer = p_.first_block_layer;
        const auto go_on = [&] {
            layer.weight += p_.block_layer_bytes;
            layer.bias += p_.block_layer_bytes;
        };
        ZPRL_NO_UNROLL
        for (int block = 0;; ++block, time += 3 * hidden) {  // and once more for the last norm
            if (block < p_.num_blocks) prefetch_time(time + 3 * hidden, (block + 1 < p_.num_blocks ? 3 : 2) * hidden);
            modulated_layer_norm(time);
            e_.sync();
            if (block == p_.num_blocks) break;
            field<EpilogueKind::kBlockIn>(layer, branch_);
            go_on();
            field<EpilogueKind::kBlockOut>(layer, inner_, time + 2 * hidden);
            go_on();
        }
        field<EpilogueKind::kOutput>(p_.output, branch_);
    }

    const DevicePolicy& p_;
    const Memory& m_;
    const Call& c_;
    Engine& e_;
    const int64_t first_;
    const int rows_;  // live ones

    Kept* modulation_;  // [rows][input bias, shift, scale, gate]
    float *stream_, *state_, *end_, *latent_;
    char *branch_, *inner_;  // operands of the residual blocks' layers; inner_ holds the state for the input layer
    char *once_, *other_;    // operands of the layers that run once

    // Of the evaluation in progress.
    float weight_ = 0.0f, next_node_ = 0.0f;
    bool last_stage_ = false, finished_ = false;
};

}  // namespace cuda
}  // namespace zprl
