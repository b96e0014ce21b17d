// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Parsing of the policy blob. Every number of the header is checked before it is used, so that a damaged blob ends in a
// sentence and never in a read outside of it.

#include "policy_blob.h"

#include <climits>
#include <cmath>
#include <stdexcept>
#include <string>

#include "plan.h"

namespace zprl {
namespace {

// Order as in the header field and in SOLVER_NAMES of zprl/policies/flow/cfg.py: Euler, midpoint, Heun, RK4.
constexpr Solver kSolvers[] = {
    {1, 1, {0.0f}, {1.0f}},
    {2, 2, {0.0f, 0.5f}, {0.0f, 1.0f}},
    {2, 1, {0.0f, 1.0f}, {0.5f, 0.5f}},
    {4, 2, {0.0f, 0.5f, 0.5f, 1.0f}, {1.0f / 6, 1.0f / 3, 1.0f / 3, 1.0f / 6}},
};
constexpr int kNumSolvers = sizeof(kSolvers) / sizeof(kSolvers[0]);

// Far above any policy, and small enough that no product of two sizes below overflows 64 bits.
constexpr int32_t kMaxSize = 1 << 20;

// Of a U-Net: these do not follow from the length of a blob, and the workspace grows with them.
constexpr int32_t kMaxPositions = 1024, kMaxKernelSize = 1023;

constexpr int32_t kFirstVersionOfParts = 5, kFirstVersionOfNetworks = 6;

[[noreturn]] void fail(const std::string& sentence) {
    throw std::invalid_argument("invalid ZPRL policy blob: " + sentence);
}

int read_size(const int32_t* header, int field, const char* name, int32_t max = kMaxSize) {
    const int32_t value = header[field];
    if (value < 1 || value > max) fail(std::string(name) + " is " + std::to_string(value) + ".");
    return value;
}

// A size of a part, which is zero where the part is not there.
int read_size_of_part(const int32_t* header, int field, const char* name, bool there, int32_t max = kMaxSize) {
    if (there) return read_size(header, field, name, max);
    if (header[field] != 0) {
        fail(std::string(name) + " is " + std::to_string(header[field]) + ", of a part that is not there.");
    }
    return 0;
}

// Hands out consecutive sections. It counts past the end as well; the caller compares the total with the blob's length
// before any section is read.
class Reader {
 public:
    explicit Reader(const void* blob) : blob_(static_cast<const char*>(blob)) {}

    const void* take_bytes(int64_t count) {
        const int64_t start = used_;
        used_ += (count + kAlign - 1) / kAlign * kAlign;
        return blob_ + start;
    }

    const float* take(int64_t count) {
        return static_cast<const float*>(take_bytes(count * static_cast<int64_t>(sizeof(float))));
    }

    Linear take_linear(int in, int out, Dtype dtype) {
        const int64_t steps = dtype == Dtype::kBfloat16 ? (static_cast<int64_t>(in) + 1) / 2 : in;
        const int64_t columns = padded(out);
        const void* weight = take_bytes(steps * columns * 4);
        return {weight, take(columns), in, out};
    }

    Convolution take_convolution(int channels, int out, int taps, int first, int stride, Dtype dtype) {
        const int inputs = dtype == Dtype::kBfloat16 ? (channels + 1) / 2 * 2 : channels;
        // The product may exceed an int; then the blob is longer than any blob, and refused before the layer is used.
        const int64_t in = static_cast<int64_t>(taps) * inputs;
        const int64_t steps = dtype == Dtype::kBfloat16 ? in / 2 : in;
        const void* weight = take_bytes(steps * padded(out) * 4);
        return {{weight, take(padded(out)), static_cast<int>(in), out}, inputs, taps, first, stride};
    }

    GroupNorm take_norm(int channels, int groups) {
        const float* scale = take(padded(channels));
        return {scale, take(padded(channels)), channels / groups};
    }

    Mlp take_mlp(int in, const int32_t* hidden, int num_hidden, bool reversed, int out) {
        Mlp mlp;
        for (int i = 0; i < num_hidden; ++i) {
            const int width = hidden[reversed ? num_hidden - 1 - i : i];
            mlp.layers[mlp.count++] = take_linear(in, width, Dtype::kFloat32);
            in = width;
        }
        mlp.layers[mlp.count++] = take_linear(in, out, Dtype::kFloat32);
        return mlp;
    }

    int64_t used() const { return used_; }

 private:
    static constexpr int64_t kAlign = kAlignment;

    const char* blob_;
    int64_t used_ = kHeaderInts * sizeof(int32_t);
};

// The sizes of a U-Net.
void read_unet(const int32_t* header, int horizon, UNet& u) {
    u.levels = read_size(header, kFieldNumLevels, "the number of levels", kMaxLevels);
    const int multiple = 1 << (u.levels - 1);
    u.padded_horizon = (horizon + multiple - 1) / multiple * multiple;
    if (u.padded_horizon > kMaxPositions) fail("the horizon is " + std::to_string(horizon) + ".");
    if (read_size(header, kFieldKernelSize, "the kernel size", kMaxKernelSize) % 2 == 0) {
        fail("the kernel size is even.");
    }
    const int groups = read_size(header, kFieldNumGroups, "the number of groups");
    for (int level = 0; level < u.levels; ++level) {
        u.channels[level] = read_size(header, kFieldChannels + level, "a level's number of channels");
        if (u.channels[level] % groups != 0) {
            fail("a level's " + std::to_string(u.channels[level]) + " channels do not make " + std::to_string(groups) +
                 " groups.");
        }
    }
    // Of all blocks; the middle has the last level's channels.
    int64_t film = 4 * static_cast<int64_t>(padded(u.channels[u.levels - 1]));
    for (int level = 0; level < u.levels; ++level) {
        film += (level + 1 < u.levels ? 8 : 4) * static_cast<int64_t>(padded(u.channels[level]));
    }
    u.film_width = static_cast<int>(film);
}

// Its weights from the first block on.
void take_unet(Reader& reader, const Policy& p, int kernel_size, int groups, UNet& u) {
    int film = 0, index = 0;
    const auto convolution = [&](int in, int out, int taps, int first, int stride) {
        return reader.take_convolution(in, out, taps, first, stride, p.dtype);
    };
    const auto block = [&](int in, int out, bool has_residual) {
        FilmBlock& b = u.blocks[index++];
        b.film = film;
        film += 2 * padded(out);
        b.in = convolution(in, out, kernel_size, -(kernel_size / 2), 1);
        b.norm_in = reader.take_norm(out, groups);
        b.out = convolution(out, out, kernel_size, -(kernel_size / 2), 1);
        b.norm_out = reader.take_norm(out, groups);
        if (has_residual) b.residual = convolution(in, out, 1, 0, 1);
    };
    for (int level = 0; level < u.levels; ++level) {
        const int channels = u.channels[level];
        block(level == 0 ? p.action_dim : u.channels[level - 1], channels, true);
        block(channels, channels, false);
        if (level + 1 < u.levels) u.halve[level] = convolution(channels, channels, 3, -1, 2);
    }
    const int deepest = u.channels[u.levels - 1];
    for (int i = 0; i < 2; ++i) block(deepest, deepest, false);
    for (int level = u.levels - 1; level > 0; --level) {
        const int channels = u.channels[level - 1];
        block(padded(u.channels[level]) + u.channels[level], channels, true);
        block(channels, channels, false);
        u.even[level] = convolution(channels, channels, 2, -1, 1);
        u.odd[level] = convolution(channels, channels, 2, 0, 1);
    }
    u.last = convolution(u.channels[0], u.channels[0], kernel_size, -(kernel_size / 2), 1);
    u.norm_last = reader.take_norm(u.channels[0], groups);
    u.output = convolution(u.channels[0], p.action_dim, 1, 0, 1);
}

// Check `count` floats, or twice as many bf16 numbers in the same place.
void require_finite(const void* section, int64_t count, Dtype dtype, const char* what) {
    if (dtype == Dtype::kBfloat16) {
        const auto* values = static_cast<const uint16_t*>(section);
        for (int64_t i = 0; i < 2 * count; ++i) {
            if ((values[i] & 0x7f80) == 0x7f80) fail(std::string("a weight of ") + what + " is not a finite number.");
        }
        return;
    }
    const auto* values = static_cast<const float*>(section);
    for (int64_t i = 0; i < count; ++i) {
        if (!std::isfinite(values[i])) fail(std::string("a weight of ") + what + " is not a finite number.");
    }
}

void require_finite(const Linear& layer, Dtype dtype, const char* what) {
    const int64_t steps = dtype == Dtype::kBfloat16 ? (static_cast<int64_t>(layer.in) + 1) / 2 : layer.in;
    require_finite(layer.weight, steps * padded(layer.out), dtype, what);
    require_finite(layer.bias, padded(layer.out), Dtype::kFloat32, what);
}

void require_finite(const Mlp& mlp, const char* what) {
    for (int i = 0; i < mlp.count; ++i) require_finite(mlp.layers[i], Dtype::kFloat32, what);
}

void require_finite(const GroupNorm& norm, const Linear& layer) {
    require_finite(norm.scale, padded(layer.out), Dtype::kFloat32, "a normalisation");
    require_finite(norm.shift, padded(layer.out), Dtype::kFloat32, "a normalisation");
}

void require_finite(const UNet& u, Dtype dtype) {
    const auto check = [dtype](const Convolution& c, const char* what) {
        if (c.taps > 0) require_finite(c.layer, dtype, what);
    };
    for (int i = 0; i < u.num_blocks(); ++i) {
        const FilmBlock& block = u.blocks[i];
        for (const Convolution* c : {&block.in, &block.out, &block.residual}) check(*c, "a block");
        require_finite(block.norm_in, block.in.layer);
        require_finite(block.norm_out, block.out.layer);
    }
    for (int level = 0; level < u.levels; ++level) {
        for (const Convolution* c : {&u.halve[level], &u.even[level], &u.odd[level]}) check(*c, "a change of level");
    }
    check(u.last, "the last convolution");
    require_finite(u.norm_last, u.last.layer);
    check(u.output, "the output layer");
}

}  // namespace

const Solver* find_solver(int32_t number) { return number < 0 || number >= kNumSolvers ? nullptr : &kSolvers[number]; }

Policy parse_policy(const void* blob, size_t bytes) {
    constexpr size_t kHeaderBytes = kHeaderInts * sizeof(int32_t);
    if (blob == nullptr || bytes < kHeaderBytes) fail("it is shorter than its header.");
    if (reinterpret_cast<uintptr_t>(blob) % alignof(float) != 0) fail("it does not start at a multiple of 4 bytes.");
    if (bytes > static_cast<size_t>(INT32_MAX)) fail("it is longer than 2 GiB.");
    const auto* header = static_cast<const int32_t*>(blob);
    if (header[kFieldMagic] != kMagic) fail("it does not start with the letters ZPRL.");
    if (header[kFieldVersion] < kOldestVersion || header[kFieldVersion] > kVersion) {
        fail("its version is " + std::to_string(header[kFieldVersion]) + ", and this library reads versions " +
             std::to_string(kOldestVersion) + " to " + std::to_string(kVersion) + ".");
    }

    Policy p{};
    const int32_t steered = header[kFieldSteered];
    if (steered != 0 && steered != 1) fail("its number of actors is " + std::to_string(steered) + ".");
    p.steered = steered == 1;
    p.parts = kPartEncoder | kPartBottleneck | kPartFlow | (p.steered ? kPartActor : 0);  // before version 5
    if (header[kFieldVersion] >= kFirstVersionOfParts) {
        p.parts = header[kFieldParts];
        if (const char* wrong = wrong_parts(p.parts)) fail(wrong);
        if (p.steered != ((p.parts & kPartActor) != 0)) fail("its parts and its number of actors disagree.");
    }
    const int32_t network = header[kFieldVersion] >= kFirstVersionOfNetworks ? header[kFieldNetwork] : 0;
    if (network < 0 || network >= static_cast<int32_t>(Network::kCount)) {
        fail("its velocity field is number " + std::to_string(network) + ".");
    }
    p.network = static_cast<Network>(network);
    const bool is_unet = p.network == Network::kUNet;
    const bool has_encoder = (p.parts & kPartEncoder) != 0, has_bottleneck = (p.parts & kPartBottleneck) != 0;

    p.obs_dim = read_size_of_part(header, kFieldObsDim, "the observation width", has_encoder);
    p.action_dim = read_size(header, kFieldActionDim, "the action width");
    p.horizon = read_size(header, kFieldHorizon, "the horizon", kMaxSize / p.action_dim);
    p.embed_dim = read_size(header, kFieldEmbedDim, "the embedding width");
    p.latent_dim = read_size_of_part(header, kFieldLatentDim, "the latent width", has_bottleneck);
    p.num_steps = read_size(header, kFieldNumSteps, "the number of solver steps", 1 << 16);
    p.hidden_dim = read_size_of_part(header, kFieldHiddenDim, "the hidden width", !is_unet);
    p.num_blocks = read_size_of_part(header, kFieldNumBlocks, "the number of blocks", !is_unet, 1 << 10);
    if (is_unet) read_unet(header, p.horizon, p.unet);
    const Solver* const solver = find_solver(header[kFieldSolver]);
    if (solver == nullptr) fail("its solver is number " + std::to_string(header[kFieldSolver]) + ".");
    p.solver = *solver;
    p.time_rows =
        static_cast<int>(p.solver.rows_per_step * (p.num_steps - 1 + p.solver.nodes[p.solver.stages - 1]) + 1);

    const int32_t num_embed = header[kFieldNumEmbedHidden], num_vib = header[kFieldNumVibHidden];
    if (num_embed < 0 || num_embed > kMaxHiddenLayers || num_vib < 0 || num_vib > kMaxHiddenLayers) {
        fail("its number of hidden layers is not within 0 and " + std::to_string(kMaxHiddenLayers) + ".");
    }
    if ((num_embed > 0 && !has_encoder) || (num_vib > 0 && !has_bottleneck)) {
        fail("it has hidden layers of a part that is not there.");
    }
    for (int i = 0; i < num_embed; ++i) read_size(header, kFieldEmbedHidden + i, "a hidden width of the embedding");
    for (int i = 0; i < num_vib; ++i) read_size(header, kFieldVibHidden + i, "a hidden width of the bottleneck");

    const int32_t num_actor = header[kFieldNumActorHidden];
    if (p.steered) {
        const int32_t activation = header[kFieldActorActivation];
        if (activation < 0 || activation >= static_cast<int32_t>(Activation::kCount)) {
            fail("its actor's activation is number " + std::to_string(activation) + ".");
        }
        p.actor_activation = static_cast<Activation>(activation);
        const int32_t output = header[kFieldActorOutput];
        if (output < 0 || output >= static_cast<int32_t>(ActorOutput::kCount)) {
            fail("its actor's output is number " + std::to_string(output) + ".");
        }
        p.actor_output = static_cast<ActorOutput>(output);
        if (num_actor < 0 || num_actor > kMaxHiddenLayers) {
            fail("its number of hidden layers is not within 0 and " + std::to_string(kMaxHiddenLayers) + ".");
        }
        for (int i = 0; i < num_actor; ++i) read_size(header, kFieldActorHidden + i, "a hidden width of the actor");
    }

    const int32_t dtype = header[kFieldDtype];
    if (dtype != static_cast<int32_t>(Dtype::kFloat32) && dtype != static_cast<int32_t>(Dtype::kBfloat16)) {
        fail("its weights are of type number " + std::to_string(dtype) + ".");
    }
    p.dtype = static_cast<Dtype>(dtype);

    p.blob = blob;
    p.bytes = bytes;
    Reader reader(blob);
    if (has_encoder) {
        p.obs_mean = reader.take(p.obs_dim);
        p.obs_std = reader.take(p.obs_dim);
        p.embedding = reader.take_mlp(p.obs_dim, header + kFieldEmbedHidden, num_embed, false, p.embed_dim);
    }
    if (has_bottleneck) {
        p.encoder = reader.take_mlp(p.embed_dim, header + kFieldVibHidden, num_vib, false, 2 * p.latent_dim);
        p.decoder = reader.take_mlp(p.latent_dim, header + kFieldVibHidden, num_vib, true, p.embed_dim);
    }
    p.modulation = reader.take_linear(p.embed_dim, is_unet ? p.unet.film_width : 4 * padded(p.hidden_dim), p.dtype);
    if (is_unet) {
        p.time_table = reader.take(static_cast<int64_t>(p.unet.film_width) * p.time_rows);
        take_unet(reader, p, header[kFieldKernelSize], header[kFieldNumGroups], p.unet);
    } else {
        p.input = reader.take_linear(p.chunk_dim(), p.hidden_dim, p.dtype);
        p.time_table = reader.take((3 * static_cast<int64_t>(p.num_blocks) + 3) * padded(p.hidden_dim) * p.time_rows);
        const int64_t start = reader.used();
        p.first_block_layer = reader.take_linear(p.hidden_dim, p.hidden_dim, p.dtype);
        p.block_layer_bytes = static_cast<size_t>(reader.used() - start);
        reader.take_bytes((2 * static_cast<int64_t>(p.num_blocks) - 1) * static_cast<int64_t>(p.block_layer_bytes));
        p.output = reader.take_linear(p.hidden_dim, p.chunk_dim(), p.dtype);
    }
    p.action_mean = reader.take(p.action_dim);
    p.action_std = reader.take(p.action_dim);
    p.action_low = reader.take(p.action_dim);
    p.action_high = reader.take(p.action_dim);
    if (p.steered) {
        p.actor_mean = reader.take(p.actor_dim());
        p.actor_divisor = reader.take(p.actor_dim());
        p.residual_scale = reader.take(1);
        p.actor = reader.take_mlp(p.actor_dim(), header + kFieldActorHidden, num_actor, false, p.latent_dim);
    }

    if (reader.used() != header[kFieldBytes] || reader.used() != static_cast<int64_t>(bytes)) {
        fail("its sizes ask for " + std::to_string(reader.used()) + " bytes, and it holds " + std::to_string(bytes) +
             "; it is truncated or damaged.");
    }
    p.block_rows = plan_block_rows(p, level2_cache_bytes());
    return p;
}

const char* wrong_parts(int32_t parts) {
    if (parts < 0 || parts >= 2 * kPartActor) return "it has parts that are unknown.";
    if ((parts & kPartFlow) == 0) return "it has no flow.";
    if ((parts & kPartEncoder) != 0 && (parts & kPartBottleneck) == 0) return "it has an encoder and no bottleneck.";
    if ((parts & kPartActor) != 0 && (parts & kPartEncoder) == 0) return "it has an actor and no encoder.";
    return nullptr;
}

void require_encoder(int32_t parts) {
    require_bottleneck(parts);
    if ((parts & kPartEncoder) == 0) {
        throw std::invalid_argument("zprl: this policy has no encoder: give it a latent instead of an observation.");
    }
}

void require_bottleneck(int32_t parts) {
    if ((parts & kPartBottleneck) == 0) {
        throw std::invalid_argument(
            "zprl: this policy has no bottleneck: give it a condition instead of an observation or a latent.");
    }
}

void require_residual_mlp(const Policy& policy) {
    if (policy.network != Network::kResidualMlp) {
        throw std::invalid_argument("zprl: a GPU runs the residual MLP only, and this policy has a U-Net.");
    }
}

void require_finite_weights(const Policy& p) {
    constexpr Dtype kFloat = Dtype::kFloat32;
    require_finite(p.obs_mean, p.obs_dim, kFloat, "the observation's normaliser");
    require_finite(p.obs_std, p.obs_dim, kFloat, "the observation's normaliser");
    require_finite(p.embedding, "the embedding");
    require_finite(p.encoder, "the encoder");
    require_finite(p.decoder, "the decoder");
    require_finite(p.modulation, p.dtype, "the modulation");
    require_finite(p.time_table, static_cast<int64_t>(p.time_rows) * p.time_row_size(), kFloat, "the time table");
    if (p.network == Network::kUNet) {
        require_finite(p.unet, p.dtype);
    } else {
        require_finite(p.input, p.dtype, "the input layer");
        for (int i = 0; i < 2 * p.num_blocks; ++i) require_finite(p.block_layer(i / 2, i % 2), p.dtype, "a block");
        require_finite(p.output, p.dtype, "the output layer");
    }
    require_finite(p.action_mean, p.action_dim, kFloat, "the action's normaliser");
    require_finite(p.action_std, p.action_dim, kFloat, "the action's normaliser");
    if (p.steered) {
        require_finite(p.actor_mean, p.actor_dim(), kFloat, "the actor's normaliser");
        require_finite(p.actor_divisor, p.actor_dim(), kFloat, "the actor's normaliser");
        require_finite(p.residual_scale, 1, kFloat, "the residual's scale");
        require_finite(p.actor, "the actor");
    }
    for (int i = 0; i < p.action_dim; ++i) {  // the limits may be infinite, which means none
        if (std::isnan(p.action_low[i]) || std::isnan(p.action_high[i])) fail("an action limit is not a number.");
    }
}

}  // namespace zprl
