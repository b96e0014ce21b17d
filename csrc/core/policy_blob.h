// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The policy blob: everything a policy step needs, in one contiguous piece of memory.
//
// A blob is a tensor, a NumPy array or a file mapped into memory. parse_policy() checks its header against its length
// and returns pointers into it: nothing is copied, and the blob must outlive the Policy. Cost: a few hundred integer
// operations, no allocation.
//
// Layout, little-endian. Every section begins at a multiple of 64 bytes:
//
//   int32[64]  header: see HeaderField; unused fields, and those of parts that are not there, are zero
//   sections, in this order, where a layer is its packed weights and then its bias:
//     part encoder
//                obs mean, obs std                      [D] each
//                embedding layers                       D -> ... -> C
//     part bottleneck
//                encoder layers                         C -> ... -> 2 Z   (means, then log-variances)
//                decoder layers                         Z -> ... -> C
//     part flow, of a residual MLP
//                modulation                             C -> 4 W'         (input bias, shift, scale, gate)
//                input                                  H A -> W
//                time table                             [rows][3 L + 3][W']
//                                                       (input | shift, scale, gate per block | final shift, scale)
//                blocks, two layers each                W -> W, W -> W
//                output                                 W -> H A
//                action mean, std, low, high            [A] each
//     part flow, of a U-Net
//                modulation                             C -> F'
//                time table                             [rows][F']        (scale, shift per block)
//                per level, down: two blocks and, but for the last, halving (K' = 3)
//                two blocks in the middle
//                per level but the first, up: two blocks and doubling, its even and its odd positions (K' = 2 each)
//                last convolution, its normalisation    M_0 -> M_0
//                output (K' = 1)                        M_0 -> A
//                action mean, std, low, high            [A] each
//     part actor, of a steered policy
//                actor mean, divisor                    [D + Z] each
//                lambda                                 [1]
//                actor layers                           D + Z -> ... -> Z
//
// with D observation, C embedding, Z latent, W hidden and A action width, H horizon, L blocks, and W' = W padded to
// whole panels. A U-Net has channels M_0, M_1, ... at its levels, and kernels of size K. A block is a convolution, its
// normalisation (scale, shift: [M'] each), another convolution, its normalisation, and, if it is the first of the two
// on the way down or up, a residual convolution (K' = 1): the identity where the network adds its input as it is. The
// first block on a level's way up reads M' + M channels: what comes from below, padded, and what left the level on the
// way down. F' is the width of all blocks' scales and shifts, each padded to whole panels. A convolution is a layer
// whose inputs are those of its K' taps, one after the other, each padded to an even number in bfloat16.
//
// Vectors of numbers are float32. A bias and a row of the time table are padded with zeros to whole
// panels, and so are packed weights: with kPanel outputs to a panel, they are
//
//   float32    [panels][in][kPanel]
//   bfloat16   [panels][in padded to even / 2][kPanel][2]     (two inputs side by side)
//
// Embedding, encoder, decoder and actor are float32 always; the header's dtype is that of the other layers.
//
// Parts. A flow is there always. Without a bottleneck, a blob starts at the flow's condition (C numbers, which
// something else computes); with a bottleneck alone, at a latent; with an encoder, which needs a bottleneck, at an
// observation. An actor needs both. parse_policy() refuses other combinations.
//
// The actor is what reinforcement learning trained: from the raw observation and the latent's mean, normalised as
// (x - mean) / divisor, to u, which ActorOutput bounds to [-1, 1], and lambda * u is added to the latent.
//
// The writer is zprl/policies/native/blob.py. Change kVersion with any change of the layout, in both places. Read as
// well are version 3, which ends its header before kFieldActorOutput, whose zero stands for the one output that it had,
// and version 4, which ends it before kFieldParts: both have encoder, bottleneck and flow, and an actor if
// kFieldSteered says so. Version 5 ends it before kFieldNetwork, and has a residual MLP.

#pragma once

#include <cstddef>
#include <cstdint>

namespace zprl {

constexpr int32_t kMagic = 0x4C52505A;  // "ZPRL"
constexpr int32_t kVersion = 6;
constexpr int32_t kOldestVersion = 3;  // that is read
constexpr int kHeaderInts = 64;
constexpr int kMaxHiddenLayers = 8;
constexpr int kMaxLevels = 6;
constexpr int kMaxFilmBlocks = 4 * kMaxLevels;

constexpr int kPanel = 64;
constexpr size_t kAlignment = 64;  // of a section [bytes]

#define ZPRL_ALWAYS_INLINE inline __attribute__((always_inline))

// A width padded to whole panels. Inlined always: a copy of it could otherwise be one for another instruction set.
constexpr ZPRL_ALWAYS_INLINE int padded(int width) { return (width + kPanel - 1) / kPanel * kPanel; }

enum HeaderField : int {
    kFieldMagic = 0,
    kFieldVersion,
    kFieldBytes,  // of the whole blob
    kFieldObsDim,
    kFieldActionDim,
    kFieldHorizon,
    kFieldEmbedDim,
    kFieldLatentDim,
    kFieldNumSteps,
    kFieldSolver,
    kFieldHiddenDim,
    kFieldNumBlocks,
    kFieldNumEmbedHidden,
    kFieldNumVibHidden,
    kFieldDtype,
    kFieldEmbedHidden = 16,                                  // kMaxHiddenLayers widths
    kFieldVibHidden = kFieldEmbedHidden + kMaxHiddenLayers,  // kMaxHiddenLayers widths of the encoder
    kFieldSteered = kFieldVibHidden + kMaxHiddenLayers,      // 1 with an actor, 0 without
    kFieldActorActivation,
    kFieldNumActorHidden,
    kFieldActorHidden,                                         // kMaxHiddenLayers widths
    kFieldActorOutput = kFieldActorHidden + kMaxHiddenLayers,  // how it is bounded
    kFieldParts,                                               // a bit mask of Part
    kFieldNetwork,
    kFieldKernelSize,  // of a U-Net, as those below
    kFieldNumGroups,
    kFieldNumLevels,
    kFieldChannels,  // kMaxLevels numbers
    kFieldFirstUnused = kFieldChannels + kMaxLevels,
};

// Parts of a blob, as bits of kFieldParts.
enum Part : int32_t {
    kPartEncoder = 1,     // from an observation to its embedding: normaliser and embedding
    kPartBottleneck = 2,  // from an embedding to a latent, and from a latent to a condition
    kPartFlow = 4,        // from a condition to an action chunk
    kPartActor = 8,       // from an observation and its latent to what is added to the latent
};

// What the velocity field is.
enum class Network : int32_t { kResidualMlp = 0, kUNet, kCount };

// Of the weights of modulation and velocity field.
enum class Dtype : int32_t { kFloat32 = 0, kBfloat16 = 1 };

// Between the actor's layers. Order as in ACTIVATIONS of zprl/policies/native/blob.py.
enum class Activation : int32_t { kElu = 0, kRelu, kTanh, kSilu, kGelu, kCount };

// How the actor's last sums become u. Order as in OUTPUTS of zprl/policies/native/blob.py.
enum class ActorOutput : int32_t {
    kClamp = 0,  // clamp(x, -1, 1): the mean of PPO's Gaussian
    kTanh,       // tanh(x): the mean of SAC's squashed Gaussian
    kCount
};

// y = x * weight + bias, for row vectors x.
struct Linear {
    const void* weight = nullptr;  // packed
    const float* bias = nullptr;   // [padded(out)]
    int in = 0;
    int out = 0;
};

// Linear layers with an activation (GELU, but for the actor) between them.
struct Mlp {
    Linear layers[kMaxHiddenLayers + 1];
    int count = 0;
};

// A convolution over positions: tap t of output position p reads input position stride * p + first + t, or zero where
// there is none.
struct Convolution {
    Linear layer;      // its inputs are those of the taps, one after the other
    int channels = 0;  // inputs of a tap
    int taps = 0;      // 0 if there is no convolution
    int first = 0;
    int stride = 1;
};

// GroupNorm over `width` channels of all positions each, with scales and shifts [padded(channels)].
struct GroupNorm {
    const float *scale = nullptr, *shift = nullptr;
    int width = 0;
};

// Two convolutions, each with GroupNorm and mish, FiLM between them, and a residual connection around them.
struct FilmBlock {
    Convolution in, out, residual;  // no residual convolution: the input itself is added
    GroupNorm norm_in, norm_out;
    int film = 0;  // where its scales begin in the modulation; its shifts follow, padded(channels) later
};

// See UNetVelocityField in zprl/policies/flow/unet.py.
struct UNet {
    int levels = 0, film_width = 0;
    int padded_horizon = 0;            // that the levels halve
    int channels[kMaxLevels];          // of a level
    FilmBlock blocks[kMaxFilmBlocks];  // two per level down, two in the middle, two per level but one up
    Convolution halve[kMaxLevels], even[kMaxLevels], odd[kMaxLevels];  // from one level to the next, and back
    Convolution last, output;
    GroupNorm norm_last;

    ZPRL_ALWAYS_INLINE int positions(int level) const { return padded_horizon >> level; }
    // Padded width of the widest layer's input at one position.
    ZPRL_ALWAYS_INLINE int widest_input(int action_dim) const {
        int widest = padded(action_dim);
        for (int level = 0; level < levels; ++level) {
            const int width = (level > 0 ? 2 : 1) * padded(channels[level]);
            if (width > widest) widest = width;
        }
        return widest;
    }
    // Numbers of the largest signal within a level, padded.
    ZPRL_ALWAYS_INLINE size_t largest_signal() const {
        size_t largest = 0;
        for (int level = 0; level < levels; ++level) {
            const size_t size = static_cast<size_t>(positions(level)) * padded(channels[level]);
            if (size > largest) largest = size;
        }
        return largest;
    }
    ZPRL_ALWAYS_INLINE int num_blocks() const { return 4 * levels; }
    ZPRL_ALWAYS_INLINE const FilmBlock& middle(int which) const { return blocks[2 * levels + which]; }
    // Block `which` (0 or 1) of the way up from a level, which is one but the first.
    ZPRL_ALWAYS_INLINE const FilmBlock& up(int level, int which) const {
        return blocks[2 * (2 * levels - level) + which];
    }
};

// Explicit Runge-Kutta method; see Solver in zprl/policies/flow/flow_matching.py, which this mirrors.
struct Solver {
    int stages;
    int rows_per_step;  // of the time table
    float nodes[4];
    float weights[4];
};

// The method that a header's number stands for, or null if there is none.
const Solver* find_solver(int32_t number);

struct Policy {
    Dtype dtype;
    Network network;
    int32_t parts;   // a bit mask of Part; members of parts that are not there are zero
    int obs_dim;     // 0 without an encoder
    int latent_dim;  // 0 without a bottleneck
    int action_dim, horizon, embed_dim;
    int num_steps, time_rows;
    int hidden_dim, num_blocks;  // 0 of a U-Net
    Solver solver;

    const float *obs_mean, *obs_std;
    Mlp embedding, encoder, decoder;
    Linear modulation;
    const float* time_table;
    Linear input, output;      // of a residual MLP, as the two that follow
    Linear first_block_layer;  // the others follow it; use block_layer()
    size_t block_layer_bytes;
    UNet unet;
    const float *action_mean, *action_std, *action_low, *action_high;

    bool steered;  // whether there is an actor (kPartActor), and with it the members below
    Activation actor_activation;
    ActorOutput actor_output;
    const float *actor_mean, *actor_divisor, *residual_scale;
    Mlp actor;

    int block_rows;  // rows that go through the whole step together; see plan.h

    const void* blob;
    size_t bytes;

    ZPRL_ALWAYS_INLINE int chunk_dim() const { return horizon * action_dim; }
    ZPRL_ALWAYS_INLINE int actor_dim() const { return obs_dim + latent_dim; }
    ZPRL_ALWAYS_INLINE int time_row_size() const {
        return network == Network::kUNet ? unet.film_width : (3 * num_blocks + 3) * padded(hidden_dim);
    }

    // Layer `which` (0 or 1) of a residual block.
    ZPRL_ALWAYS_INLINE Linear block_layer(int block, int which) const {
        const size_t offset = (2 * static_cast<size_t>(block) + which) * block_layer_bytes;
        Linear layer = first_block_layer;
        layer.weight = static_cast<const char*>(layer.weight) + offset;
        layer.bias = reinterpret_cast<const float*>(reinterpret_cast<const char*>(layer.bias) + offset);
        return layer;
    }
};

// Check a blob and point into it. Throws std::invalid_argument with one sentence if it is not a whole, valid blob.
Policy parse_policy(const void* blob, size_t bytes);

// Throw std::invalid_argument with one sentence if a policy of these parts does not start at an observation, or at a
// latent: each says what it starts at instead.
void require_encoder(int32_t parts);
void require_bottleneck(int32_t parts);

// Throw std::invalid_argument with one sentence if a policy has another velocity field than the residual MLP, which is
// what the CUDA kernels run.
void require_residual_mlp(const Policy& policy);

// What is wrong with a blob's parts, as a sentence, or null if they go together.
const char* wrong_parts(int32_t parts);

// Throw std::invalid_argument if a weight is NaN or infinite. Reads the whole blob.
void require_finite_weights(const Policy& policy);

}  // namespace zprl
