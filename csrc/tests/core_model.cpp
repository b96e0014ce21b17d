// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "core_model.h"

#include <limits>

#include "core_writer.h"

namespace core_check {

std::string describe(const Shape& s) {
    std::string result =
        text("%s obs=%d action=%d horizon=%d embed=%d latent=%d hidden=%d blocks=%d solver=%d steps=%d",
             s.dtype == Dtype::kFloat32 ? "float32" : "bfloat16", s.obs, s.action, s.horizon, s.embed, s.latent,
             s.hidden, s.blocks, s.solver, s.steps) +
        text(" parts=%d", s.parts);
    if (s.is_unet()) {
        result += text(" kernel=%d groups=%d channels=(", s.unet.kernel, s.unet.groups);
        for (int count : s.unet.channels) result += std::to_string(count) + ",";
        result += ")";
    }
    if (s.steered) result += text(" activation=%d output=%d", s.activation, static_cast<int>(s.output));
    for (const auto* widths : {&s.embed_hidden, &s.vib_hidden, &s.actor_hidden}) {
        result += widths == &s.embed_hidden ? " embed_hidden=("
                  : widths == &s.vib_hidden ? " vib_hidden=("
                                            : " actor=(";
        for (size_t i = 0; i < widths->size(); ++i) result += (i > 0 ? "," : "") + std::to_string((*widths)[i]);
        result += ")";
    }
    return result;
}

uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float from_bf16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof(result));
    return result;
}

namespace {

Layer random_layer(Random& random, int in, int out, double weight_std, Dtype dtype) {
    Layer layer{in, out, random.normals(static_cast<size_t>(in) * out, weight_std), random.normals(out, 0.1)};
    if (dtype == Dtype::kBfloat16) {
        for (float& weight : layer.weight) weight = from_bf16(to_bf16(weight));
    }
    return layer;
}

std::vector<Layer> random_mlp(Random& random, int in, std::vector<int> widths, int out) {
    std::vector<Layer> layers;
    widths.push_back(out);
    for (int width : widths) {
        layers.push_back(random_layer(random, in, width, 1.0 / std::sqrt(in), Dtype::kFloat32));
        in = width;
    }
    return layers;
}

}  // namespace

Model random_model(const Shape& s, Random& random) {
    const Method& method = kMethods[s.solver];
    const auto positive = [&](int count) {
        std::vector<float> values(count);
        for (float& value : values) value = static_cast<float>(0.5 + random.uniform());
        return values;
    };
    Model m;
    m.shape = s;
    m.obs_mean = random.normals(s.obs, 1.0);
    m.obs_std = positive(s.obs);
    m.embedding = random_mlp(random, s.obs, s.embed_hidden, s.embed);
    m.encoder = random_mlp(random, s.embed, s.vib_hidden, 2 * s.latent);
    m.decoder = random_mlp(random, s.latent, {s.vib_hidden.rbegin(), s.vib_hidden.rend()}, s.embed);
    const int modulated = s.is_unet() ? s.unet.film() : 4 * s.hidden;
    const int time_width = s.is_unet() ? s.unet.film() : (3 * s.blocks + 3) * s.hidden;
    const double by_hidden = 1.0 / std::sqrt(std::max(s.hidden, 1));
    m.modulation = random_layer(random, s.embed, modulated, 0.1, s.dtype);
    if (!s.is_unet()) m.input = random_layer(random, s.chunk(), s.hidden, 1.0 / std::sqrt(s.chunk()), s.dtype);
    m.time_rows = 1;
    for (double node : method.nodes) {
        m.time_rows = std::max(m.time_rows, static_cast<int>(method.rows_per_step * (s.steps - 1 + node)) + 1);
    }
    m.time_table = random.normals(static_cast<size_t>(m.time_rows) * time_width, 0.2);
    if (s.is_unet()) {
        m.unet = random_unet(s, random);
    } else {
        for (int i = 0; i < 2 * s.blocks; ++i) {
            m.blocks.push_back(random_layer(random, s.hidden, s.hidden, by_hidden, s.dtype));
        }
        m.output = random_layer(random, s.hidden, s.chunk(), by_hidden, s.dtype);
    }
    m.action_mean = random.normals(s.action, 0.1);
    m.action_std = positive(s.action);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (int i = 0; i < s.action; ++i) {  // every third action has limits
        m.action_low.push_back(i % 3 == 1 ? -1.5f : -kInfinity);
        m.action_high.push_back(i % 3 == 1 ? 1.0f : kInfinity);
    }
    if (s.steered) {
        m.actor_mean = random.normals(s.obs + s.latent, 0.5);
        m.actor_divisor = positive(s.obs + s.latent);
        m.residual_scale = 0.8f;
        m.actor = random_mlp(random, s.obs + s.latent, s.actor_hidden, s.latent);
    }
    return m;
}

std::vector<float> with_padded_parts(const std::vector<float>& values, const std::vector<int>& widths) {
    std::vector<float> result;
    for (auto from = values.begin(); from != values.end();) {
        for (int width : widths) {
            result.insert(result.end(), from, from + width);
            result.resize(result.size() + zprl::padded(width) - width, 0.0f);
            from += width;
        }
    }
    return result;
}

Layer with_padded_parts(const Layer& layer, const std::vector<int>& widths) {
    Layer result{layer.in, 0, with_padded_parts(layer.weight, widths), with_padded_parts(layer.bias, widths)};
    result.out = static_cast<int>(result.bias.size());
    return result;
}

Layer with_padded_parts(const Layer& layer, int parts, int width) {
    return with_padded_parts(layer, std::vector<int>(parts, width));
}

std::vector<int> film_widths(const Shape& s) {
    std::vector<int> widths;
    for (int count : s.unet.block_channels()) widths.insert(widths.end(), 2, count);  // scales, shifts
    return widths;
}

std::vector<char> pack(const Model& m) {
    const Shape& s = m.shape;
    Writer writer;
    writer.bytes.resize(zprl::kHeaderInts * sizeof(int32_t), 0);
    const bool has_encoder = s.has(zprl::kPartEncoder), has_bottleneck = s.has(zprl::kPartBottleneck);
    if (has_encoder) {
        writer.numbers(m.obs_mean);
        writer.numbers(m.obs_std);
        writer.layers(m.embedding, Dtype::kFloat32);
    }
    if (has_bottleneck) {
        writer.layers(m.encoder, Dtype::kFloat32);
        writer.layers(m.decoder, Dtype::kFloat32);
    }
    if (s.is_unet()) {
        writer.layer(with_padded_parts(m.modulation, film_widths(s)), s.dtype);
        writer.numbers(with_padded_parts(m.time_table, film_widths(s)));
        write_unet(s, m.unet, writer);
    } else {
        writer.layer(with_padded_parts(m.modulation, 4, s.hidden), s.dtype);
        writer.layer(m.input, s.dtype);
        writer.numbers(with_padded_parts(m.time_table, {s.hidden}));
        writer.layers(m.blocks, s.dtype);
        writer.layer(m.output, s.dtype);
    }
    for (const auto* values : {&m.action_mean, &m.action_std, &m.action_low, &m.action_high}) writer.numbers(*values);
    if (s.steered) {
        writer.numbers(m.actor_mean);
        writer.numbers(m.actor_divisor);
        writer.numbers({m.residual_scale});
        writer.layers(m.actor, Dtype::kFloat32);
    }

    int32_t header[zprl::kHeaderInts] = {};
    header[zprl::kFieldMagic] = zprl::kMagic;
    header[zprl::kFieldVersion] = zprl::kVersion;
    header[zprl::kFieldBytes] = static_cast<int32_t>(writer.bytes.size());
    header[zprl::kFieldObsDim] = has_encoder ? s.obs : 0;
    header[zprl::kFieldActionDim] = s.action;
    header[zprl::kFieldHorizon] = s.horizon;
    header[zprl::kFieldEmbedDim] = s.embed;
    header[zprl::kFieldLatentDim] = has_bottleneck ? s.latent : 0;
    header[zprl::kFieldNumSteps] = s.steps;
    header[zprl::kFieldSolver] = s.solver;
    header[zprl::kFieldHiddenDim] = s.hidden;
    header[zprl::kFieldNumBlocks] = s.blocks;
    header[zprl::kFieldDtype] = static_cast<int32_t>(s.dtype);
    if (s.is_unet()) {
        header[zprl::kFieldNetwork] = static_cast<int32_t>(zprl::Network::kUNet);
        header[zprl::kFieldKernelSize] = s.unet.kernel;
        header[zprl::kFieldNumGroups] = s.unet.groups;
        header[zprl::kFieldNumLevels] = s.unet.levels();
        std::copy(s.unet.channels.begin(), s.unet.channels.end(), header + zprl::kFieldChannels);
    }
    header[zprl::kFieldParts] = s.parts | (s.steered ? zprl::kPartActor : 0);
    if (has_encoder) {
        header[zprl::kFieldNumEmbedHidden] = static_cast<int32_t>(s.embed_hidden.size());
        std::copy(s.embed_hidden.begin(), s.embed_hidden.end(), header + zprl::kFieldEmbedHidden);
    }
    if (has_bottleneck) {
        header[zprl::kFieldNumVibHidden] = static_cast<int32_t>(s.vib_hidden.size());
        std::copy(s.vib_hidden.begin(), s.vib_hidden.end(), header + zprl::kFieldVibHidden);
    }
    if (s.steered) {
        header[zprl::kFieldSteered] = 1;
        header[zprl::kFieldActorActivation] = s.activation;
        header[zprl::kFieldActorOutput] = static_cast<int32_t>(s.output);
        header[zprl::kFieldNumActorHidden] = static_cast<int32_t>(s.actor_hidden.size());
        std::copy(s.actor_hidden.begin(), s.actor_hidden.end(), header + zprl::kFieldActorHidden);
    }
    std::memcpy(writer.bytes.data(), header, sizeof(header));
    return writer.bytes;
}

}  // namespace core_check
