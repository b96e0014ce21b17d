// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: packed weights, read back at the places that layout.h names, and headers that are refused.

#pragma once

#include "cuda_check_reference.h"
#include "cuda_check_run.h"

namespace core_check {
namespace {

// A number of a packed layer, read at the place that layout.h's text names.
float packed_weight(const Blob& blob, const zprl::cuda::DeviceLayer& layer, Precision precision, int in, int out) {
    const int element = precision == Precision::kBfloat16 ? 2 : 4, columns = (layer.out + 63) / 64 * 64;
    const int byte = in * element, slab = byte / 128, piece = byte % 128 / 16;
    const char* const row = reinterpret_cast<const char*>(blob.storage.data()) + layer.weight +
                            (static_cast<size_t>(slab) * columns + out) * 128;
    const char* const place = row + (piece ^ (out & 7)) * 16 + byte % 16;
    if (element == 2) {
        uint16_t value;
        std::memcpy(&value, place, sizeof(value));
        return from_bf16(value);
    }
    float value;
    std::memcpy(&value, place, sizeof(value));
    return value;
}

int check_layer(const Blob& blob, const zprl::cuda::DeviceLayer& packed, const Layer& layer, Precision precision) {
    require(packed.in == layer.in && packed.out == layer.out, "a packed layer has another shape");
    const int columns = (layer.out + 63) / 64 * 64, per_slab = precision == Precision::kBfloat16 ? 64 : 32;
    const int inputs = (layer.in + per_slab - 1) / per_slab * per_slab;
    for (int out = 0; out < columns; ++out) {
        for (int in = 0; in < inputs; ++in) {
            const bool inside = in < layer.in && out < layer.out;
            const double exact =
                inside ? static_cast<double>(layer.weight[static_cast<size_t>(in) * layer.out + out]) : 0.0;
            require(static_cast<double>(packed_weight(blob, packed, precision, in, out)) ==
                        rounded_operand(exact, precision),
                    text("weight %d, %d of a layer of %d by %d is another one", in, out, layer.in, layer.out));
        }
        float bias;
        std::memcpy(&bias, reinterpret_cast<const char*>(blob.storage.data()) + packed.bias + out * sizeof(float),
                    sizeof(bias));
        require(bias == (out < layer.out ? layer.bias[out] : 0.0f), "a packed bias is another one");
    }
    return inputs * columns;
}

template <typename Function>
void require_refused(const char* sentence, const Function& function) {
    try {
        function();
    } catch (const std::invalid_argument& error) {
        require(std::strstr(error.what(), sentence) != nullptr,
                text("expected '...%s...' and got '%s'", sentence, error.what()));
        return;
    }
    throw CheckFailed(text("nothing was refused; expected '...%s...'", sentence));
}

void check_packing() {
    Random random(7);
    Shape s = shape_of(40, 2, 3, 2, 7, 11, 37, 70, 5, {48}, {130, 20});
    s.steered = true;
    s.activation = 2;
    s.output = zprl::ActorOutput::kTanh;
    s.actor_hidden = {9, 70};
    int weights = 0;
    for (const Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16}) {
        s.dtype = Dtype::kFloat32;
        const Model model = random_model(s, random);
        const std::vector<char> cpu = pack(model);
        const Blob blob = pack_for_cuda(cpu, precision);
        const DevicePolicy p = zprl::cuda::parse_header(blob.header(), blob.bytes);
        require(p.precision == precision && p.bytes == blob.bytes, "the header says something else");
        const zprl::cuda::DeviceLayer* once = p.once;
        for (const auto* layers : {&model.embedding, &model.encoder, &model.actor, &model.decoder}) {
            for (const Layer& layer : *layers) weights += check_layer(blob, *once++, layer, Precision::kFloat32);
        }
        const auto floats = [&](uint32_t offset) {
            return reinterpret_cast<const float*>(reinterpret_cast<const char*>(blob.storage.data()) + offset);
        };
        require(p.num_actor == 3 && p.actor_activation == zprl::Activation::kTanh &&
                    p.actor_output == zprl::ActorOutput::kTanh &&
                    same_bits(floats(p.actor_mean), model.actor_mean.data(), model.actor_mean.size()) &&
                    same_bits(floats(p.actor_divisor), model.actor_divisor.data(), model.actor_divisor.size()) &&
                    floats(p.residual_scale)[0] == model.residual_scale,
                "the actor is another one");
        weights += check_layer(blob, p.modulation, with_padded_parts(model.modulation, 4, s.hidden), precision);
        weights += check_layer(blob, p.input, model.input, precision);
        weights += check_layer(blob, p.output, model.output, precision);
        for (int i = 0; i < 2 * s.blocks; ++i) {
            zprl::cuda::DeviceLayer layer = p.first_block_layer;
            layer.weight += i * p.block_layer_bytes;
            layer.bias += i * p.block_layer_bytes;
            weights += check_layer(blob, layer, model.blocks[i], precision);
        }

        // A damaged header ends in a sentence.
        std::vector<int32_t> header(blob.header(), blob.header() + zprl::kHeaderInts);
        const auto parse = [&] { zprl::cuda::parse_header(header.data(), blob.bytes); };
        require_refused("truncated", [&] { zprl::cuda::parse_header(header.data(), blob.bytes - 16); });
        require_refused("shorter than its header", [&] { zprl::cuda::parse_header(header.data(), 255); });
        for (int field = 0; field < zprl::kFieldFirstUnused; ++field) {
            if (field > zprl::kFieldDtype && field < zprl::kFieldEmbedHidden) continue;  // unused
            const int32_t value = header[field];
            for (const int32_t damage : {-1, 1 << 30, value + 1}) {
                header[field] = damage;
                try {
                    parse();
                    // A normaliser's width can grow within the alignment, and more hidden widths than there are do not
                    // matter; either way it describes exactly this many bytes.
                    require(damage != -1 || field >= zprl::kFieldEmbedHidden,
                            text("a damaged header field %d is accepted", field));
                } catch (const std::invalid_argument&) {
                }
            }
            header[field] = value;
        }
        parse();
        require_refused("it is the CPU's", [&] {
            std::memcpy(header.data(), cpu.data(), zprl::kHeaderInts * sizeof(int32_t));
            zprl::cuda::parse_header(header.data(), blob.bytes);
        });
    }

    // bf16 weights are packed as they are, and as nothing else.
    s.dtype = Dtype::kBfloat16;
    s.steered = false;
    Model model = random_model(s, random);
    const std::vector<char> halves = pack(model);
    model.shape.dtype = Dtype::kFloat32;
    const Blob from_halves = pack_for_cuda(halves, Precision::kBfloat16);
    const Blob from_floats = pack_for_cuda(pack(model), Precision::kBfloat16);
    require(from_halves.bytes == from_floats.bytes &&
                std::memcmp(from_halves.storage.data(), from_floats.storage.data(), from_halves.bytes) == 0,
            "bf16 weights packed from float32 differ");
    for (const Precision precision : {Precision::kFloat32, Precision::kTf32}) {
        require_refused("cannot be packed", [&] { pack_for_cuda(halves, precision); });
    }
    std::vector<char> with_more = halves;
    const int32_t more = 1;
    const zprl::Policy parsed = zprl::parse_policy(with_more.data(), with_more.size());
    std::memcpy(with_more.data() + 60 * sizeof(int32_t), &more, sizeof(more));
    require_refused("a part that", [&] { zprl::cuda::packed_bytes(parsed, Precision::kBfloat16); });
    Shape unet = s;
    unet.unet = {{8, 8}, 3, 4};
    unet.hidden = unet.blocks = 0;
    const std::vector<char> convolutions = pack(random_model(unet, random));
    const zprl::Policy other = zprl::parse_policy(convolutions.data(), convolutions.size());
    require_refused("this policy has a U-Net", [&] { zprl::cuda::packed_bytes(other, Precision::kBfloat16); });
    require_refused("this policy has a U-Net", [&] { zprl::cuda::device_policy(other, Precision::kBfloat16); });
    require_refused("must be float32, tf32 or bfloat16", [] { zprl::cuda::parse_precision("fp16"); });
    for (const Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16}) {
        require(zprl::cuda::parse_precision(zprl::cuda::name(precision)) == precision, "a precision loses its name");
    }
    std::printf("cuda_check: %d packed weights are where they belong\n", weights);
}

}  // namespace
}  // namespace core_check
