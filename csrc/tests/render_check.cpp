// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Images of random scenes, for the sanitizers: no access outside of an array, the same bits on any number of threads,
// and no memory but the caller's from the second call on. Poses, lights and colours may be anything, NaN included.
// tests/sim/render compares the pictures with the truth.

#include <limits>
#include <memory>

#include "../core/policy_step.h"
#include "../core/render/ray_caster.h"
#include "../runtime/count_allocations.h"
#include "core_support.h"

namespace {

using namespace core_check;
using namespace zprl::render;

float strange(Random& random) {
    constexpr float kInfinite = std::numeric_limits<float>::infinity();
    return pick({0.0f, -0.0f, 1e-40f, 1e-20f, 1e20f, 3e38f, kInfinite, -kInfinite, std::nanf("")}, random);
}

// Numbers around zero, of which one in `rare` is anything.
std::vector<float> numbers(size_t count, double std, size_t rare, Random& random) {
    std::vector<float> values = random.normals(count, std);
    for (float& value : values) value = random.below(rare) == 0 ? strange(random) : value;
    return values;
}

void check(uint64_t seed) {
    Random random(seed);
    const int count = pick({0, 1, 3, 16, 17, 40, 64, 65, 130}, random), worlds = pick({1, 2, 5}, random);
    std::vector<int32_t> shapes(count), ids(count);
    std::vector<float> sizes(3 * count), colors(3 * count);
    for (int i = 0; i < count; ++i) {
        shapes[i] = static_cast<int32_t>(random.below(5));
        ids[i] = static_cast<int32_t>(random.bits());
        for (int j = 0; j < 3; ++j) {
            const bool plane = shapes[i] == static_cast<int32_t>(Shape::kPlane);
            sizes[3 * i + j] = plane && random.below(2) == 0 ? INFINITY : static_cast<float>(0.01 + random.uniform());
            colors[3 * i + j] = static_cast<float>(random.uniform());
        }
    }
    const Camera camera = {pick({1, 3, 4, 17, 64, 131}, random),
                           pick({1, 2, 5, 16, 33, 90}, random),
                           5 + 100 * random.uniform(),
                           5 + 100 * random.uniform(),
                           random.normal(20),
                           random.normal(20),
                           pick({0.0, 0.1}, random),
                           random.below(2) == 0 ? INFINITY : 2.0};
    Style style = {
        1 + static_cast<int>(random.below(2)), random.below(2) == 0, 0.3f, 0.5f, {0.1f, 0.5f, 1.0f}, 7.0f, -5};

    const size_t all = static_cast<size_t>(worlds) * count,
                 pixels = static_cast<size_t>(worlds) * camera.width * camera.height;
    Memory<float> poses(numbers(7 * all, 1.0, 60, random), 4), eyes(numbers(7 * worlds, 1.0, 60, random), 4);
    Memory<float> lights(numbers(3 * worlds, 1.0, 9, random), 4), paint(numbers(3 * all, 1.0, 9, random), 4);
    Memory<uint8_t> rgb(3 * pixels, 1);
    Memory<float> depth(pixels, 4);
    Memory<int32_t> segmentation(pixels, 4);
    Frame frame = {worlds, poses.data(), eyes.data(), nullptr, nullptr, nullptr, nullptr, nullptr};
    if (random.below(2) == 0) frame.lights = lights.data();
    if (random.below(2) == 0) frame.colors = paint.data();
    if (random.below(4) > 0) frame.rgb = rgb.data();
    if (random.below(4) > 0) frame.depth = depth.data();
    if (random.below(4) > 0) frame.segmentation = segmentation.data();

    std::vector<uint8_t> first_rgb;
    std::vector<float> first_depth;
    std::vector<int32_t> first_segmentation;
    for (int threads : {1, 2, 3}) {
        RayCaster caster({count, shapes.data(), sizes.data(), colors.data(), ids.data()}, camera, style, threads);
        caster.render(frame);
        if (threads == 1) {
            first_rgb = rgb.values();
            first_depth = depth.values();
            first_segmentation = segmentation.values();
            const int64_t before = zprl::count_allocations();
            caster.render(frame);
            const int64_t taken = zprl::count_allocations() - before;
            require(taken == 0, text("case %d: a second call takes memory", static_cast<int>(seed)));
        }
        const bool same = first_rgb == rgb.values() && first_segmentation == segmentation.values() &&
                          same_bits(first_depth.data(), depth.values().data(), pixels);
        require(same, text("case %d: %d threads give other bits than one", static_cast<int>(seed), threads));
        rgb.require_guards("the colours");
        depth.require_guards("the depth");
        segmentation.require_guards("the segmentation");
    }
}

}  // namespace

int main() {
    constexpr int kCases = 100;
    try {
        for (int seed = 0; seed < kCases; ++seed) check(seed);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "render_check: %s\n", error.what());
        return 1;
    }
    std::printf("render_check: %s: %d cases\n", zprl::cpu_level(), kCases);
    return 0;
}
