// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Writer of the layout that policy_blob.h describes.

#pragma once

#include <vector>

#include "core_model.h"

namespace core_check {

class Writer {
 public:
    void numbers(const std::vector<float>& values) { append(values.data(), values.size() * sizeof(float)); }

    void layer(const Layer& layer, Dtype dtype) {
        const int panels = zprl::padded(layer.out) / zprl::kPanel;
        const auto weight = [&](int in, int out) {
            const bool inside = in < layer.in && out < layer.out;
            return inside ? layer.weight[static_cast<size_t>(in) * layer.out + out] : 0.0f;
        };
        std::vector<float> floats;
        std::vector<uint16_t> halves;
        for (int panel = 0; panel < panels; ++panel) {
            for (int in = 0; in < layer.in; in += dtype == Dtype::kBfloat16 ? 2 : 1) {
                for (int i = 0; i < zprl::kPanel; ++i) {
                    const int out = panel * zprl::kPanel + i;
                    if (dtype == Dtype::kBfloat16) {
                        halves.push_back(to_bf16(weight(in, out)));
                        halves.push_back(to_bf16(weight(in + 1, out)));
                    } else {
                        floats.push_back(weight(in, out));
                    }
                }
            }
        }
        if (dtype == Dtype::kBfloat16) {
            append(halves.data(), halves.size() * sizeof(uint16_t));
        } else {
            numbers(floats);
        }
        std::vector<float> bias = layer.bias;
        bias.resize(zprl::padded(layer.out), 0.0f);
        numbers(bias);
    }

    void layers(const std::vector<Layer>& layers, Dtype dtype) {
        for (const Layer& each : layers) layer(each, dtype);
    }

    std::vector<char> bytes;

 private:
    void append(const void* data, size_t size) {
        const char* first = static_cast<const char*>(data);
        bytes.insert(bytes.end(), first, first + size);
        bytes.resize((bytes.size() + zprl::kAlignment - 1) / zprl::kAlignment * zprl::kAlignment, 0);
    }
};

// The layers of a U-Net, from its first block on.
void write_unet(const Shape& shape, const UNetModel& model, Writer& writer);

}  // namespace core_check
