// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Images of random scenes, for the sanitizers: no access outside of an array, the same bits on any number of threads,
// and no memory but the caller's from the second call on. Poses, lights and colours may be anything, NaN included.
// And images of random rooms: the same bits as those of an exhaustive search. tests/sim/render compares the pictures
// with the truth.

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <vector>

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

float between(double low, double high, Random& random) {
    return static_cast<float>(low + (high - low) * random.uniform());
}

// A table with things on it, whose faces touch and lie in one plane, thin things, and perhaps a floor and a wall.
struct Room {
    std::vector<int32_t> shapes, ids;
    std::vector<float> sizes, colors, poses;

    void add(Shape shape, std::initializer_list<float> size, std::initializer_list<float> pose, Random& random) {
        shapes.push_back(static_cast<int32_t>(shape));
        ids.push_back(static_cast<int32_t>(ids.size()));
        sizes.insert(sizes.end(), size);
        poses.insert(poses.end(), pose);
        for (int j = 0; j < 3; ++j) colors.push_back(between(0, 1, random));
    }

    explicit Room(Random& random) {
        const float tilt = pick({0.0f, 0.0f, 0.3f}, random), thick = pick({0.02f, 0.0f, 0.4f}, random);
        add(Shape::kBox, {between(0.2, 0.8, random), between(0.2, 0.8, random), thick}, {0, 0, -thick, tilt, 0, 0, 1},
            random);
        if (random.below(2) == 0) {
            const float side = pick({INFINITY, 2.0f, 12.0f}, random);
            add(Shape::kPlane, {side, side, 0}, {0, 0, pick({0.0f, -0.5f}, random), 0, 0, 0, 1}, random);
        }
        if (random.below(3) == 0) add(Shape::kPlane, {1, 1, 0}, {0.8f, 0, 0, 0, 1, 0, 1}, random);
        const int things = static_cast<int>(random.below(8));
        for (int i = 0; i < things; ++i) {
            const float x = between(-0.4, 0.4, random), y = between(-0.4, 0.4, random), turn = between(-1, 1, random);
            const float height = between(0.002, 0.15, random), wide = pick({0.0005f, 0.01f, 0.1f, 0.3f}, random);
            switch (random.below(6)) {
                case 0:  // two boxes side by side, with tops in one plane
                    add(Shape::kBox, {wide, wide, height}, {x, y, height, 0, 0, 0, 1}, random);
                    add(Shape::kBox, {wide, wide, height}, {x + 2 * wide, y, height, 0, 0, 0, 1}, random);
                    break;
                case 1:  // inlaid: its top is the table's
                    add(Shape::kBox, {wide, wide, height}, {x, y, -height, 0, 0, turn, 1}, random);
                    break;
                case 2:
                    add(Shape::kCapsule, {pick({0.0003f, 0.003f, 0.05f}, random), height, 0},
                        {x, y, 3 * height, turn, between(-1, 1, random), 0, 1}, random);
                    break;
                case 3:
                    add(Shape::kCylinder, {pick({0.002f, 0.05f, 0.2f}, random), height, 0},
                        {x, y, height, 0, 0, turn, 1}, random);
                    break;
                case 4:
                    add(Shape::kSphere, {height, 0, 0}, {x, y, pick({0.0f, 1.0f, 5.0f}, random) * height, 0, 0, 0, 1},
                        random);
                    break;
                default:
                    add(Shape::kBox, {wide, between(0.01, 0.2, random), height},
                        {x, y, pick({1.0f, 3.0f}, random) * height, turn, between(-1, 1, random), turn, 1}, random);
            }
        }
    }
};

void check_room(uint64_t seed) {
    Random random(seed);
    const Room room(random);
    const int count = static_cast<int>(room.shapes.size());
    const Camera camera = {pick({64, 37, 131}, random),    pick({32, 50}, random),
                           between(20, 200, random),       between(20, 200, random),
                           between(0, 64, random),         between(0, 50, random),
                           pick({0.0, 0.01, 0.5}, random), pick({INFINITY, 1.0f, 3.0f}, random)};
    Style style = {
        1 + static_cast<int>(random.below(4) > 0), random.below(4) > 0, 0.3f, 0.5f, {0.1f, 0.5f, 1.0f}, 7.0f, -5};
    // It looks at the table from anywhere above, from its edge at the lowest.
    const double steep = random.uniform() * 0.5 * M_PI, turn = 2 * M_PI * random.uniform(),
                 away = between(0.1, 2, random);
    const double sines[2] = {std::sin(0.5 * steep), std::sin(0.5 * turn)};
    const double cosines[2] = {std::cos(0.5 * steep), std::cos(0.5 * turn)};
    const float eye[7] = {static_cast<float>(away * std::sin(turn) * std::sin(steep)),
                          static_cast<float>(-away * std::cos(turn) * std::sin(steep)),
                          static_cast<float>(away * std::cos(steep)),
                          static_cast<float>(cosines[1] * sines[0]),
                          static_cast<float>(sines[1] * sines[0]),
                          static_cast<float>(sines[1] * cosines[0]),
                          static_cast<float>(cosines[1] * cosines[0])};
    const float light[3] = {between(-1, 1, random), between(-1, 1, random),
                            pick({0.0f, -1e-4f, -0.05f, -1.0f, 0.5f}, random)};

    const size_t pixels = static_cast<size_t>(camera.width) * camera.height;
    std::vector<uint8_t> rgb[2];
    std::vector<float> depth[2];
    std::vector<int32_t> segmentation[2];
    for (int exhaustive = 0; exhaustive < 2; ++exhaustive) {
        style.exhaustive = exhaustive == 1;
        rgb[exhaustive].resize(3 * pixels);
        depth[exhaustive].resize(pixels);
        segmentation[exhaustive].resize(pixels);
        RayCaster({count, room.shapes.data(), room.sizes.data(), room.colors.data(), room.ids.data()}, camera, style, 1)
            .render({1, room.poses.data(), eye, light, nullptr, rgb[exhaustive].data(), depth[exhaustive].data(),
                     segmentation[exhaustive].data()});
    }
    size_t different = 0;
    for (size_t i = 0; i < pixels; ++i) {
        different += std::memcmp(&rgb[0][3 * i], &rgb[1][3 * i], 3) != 0 || segmentation[0][i] != segmentation[1][i] ||
                     !same_bits(&depth[0][i], &depth[1][i], 1);
    }
    require(different == 0, text("room %d: %d pixels are not those of an exhaustive search", static_cast<int>(seed),
                                 static_cast<int>(different)));
}

}  // namespace

int main() {
    constexpr int kCases = 100, kRooms = 150;
    try {
        for (int seed = 0; seed < kCases; ++seed) check(seed);
        for (int seed = 0; seed < kRooms; ++seed) check_room(seed);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "render_check: %s\n", error.what());
        return 1;
    }
    std::printf("render_check: %s: %d cases, %d rooms\n", zprl::cpu_level(), kCases, kRooms);
    return 0;
}
