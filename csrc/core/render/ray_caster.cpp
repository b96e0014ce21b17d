// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Preparation of a world for its camera, in double precision, and the distribution of the work.

#include "ray_caster.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "../team.h"
#include "../vector_bits.h"
#include "view.h"

namespace zprl::render {
namespace {

// Pixels of the smallest piece of work that a thread takes: an image of 64 x 64, or a strip of a larger one.
constexpr int kPiecePixels = 4096;
constexpr int kPad = 16;  // a multiple of every instruction set's vectors
constexpr float kUnbounded = 1e18f;

// Light from all around, linear: of what looks down and what looks up.
constexpr double kGround[3] = {0.1, 0.1, 0.12}, kSky[3] = {0.4, 0.4, 0.45};

using Vector = std::array<double, 3>;
using Rotation = std::array<Vector, 3>;  // rows

const Kernels& chosen_kernels() {
    [[maybe_unused]] const int bits = vector_bits();
#if defined(__x86_64__)
#if ZPRL_AVX512
    if (bits == 512) return kAvx512Kernels;
#endif
    if (bits > 0) return kAvx2Kernels;
#endif
    return kPortableKernels;
}

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(std::string("zprl: ") + message);
}

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// The rotation's columns are the frame's axes. False if the pose is not finite or its quaternion is zero.
bool read_pose(const float* pose, Vector& position, Rotation& rotation) {
    double square = 0, finite = 0;
    for (int i = 0; i < 7; ++i) finite += 0.0 * pose[i];  // NaN unless all are finite
    for (int i = 3; i < 7; ++i) square += static_cast<double>(pose[i]) * pose[i];
    if (!(finite == 0.0) || square == 0.0) return false;
    const double x = pose[3], y = pose[4], z = pose[5], w = pose[6], s = 2 / square;
    position = {pose[0], pose[1], pose[2]};
    rotation = {Vector{1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)},
                Vector{s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)},
                Vector{s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)}};
    return true;
}

// Rotation^T v.
Vector to_frame(const Rotation& r, const Vector& v) {
    Vector result;
    for (int i = 0; i < 3; ++i) result[i] = r[0][i] * v[0] + r[1][i] * v[1] + r[2][i] * v[2];
    return result;
}

void copy(const Vector& from, float to[3]) {
    for (int i = 0; i < 3; ++i) to[i] = static_cast<float>(from[i]);
}

double to_linear(double srgb) {
    const double c = srgb > 0 ? std::min(srgb, 1.0) : 0.0;  // NaN is 0
    return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

// The largest side of the box around a primitive that looks to the light, and what lies safely beyond it.
void find_lit_side(Primitive& p) {
    const int side = static_cast<int>(std::min_element(p.half, p.half + 3) - p.half);
    const float sign = p.to_light[side] > 0 ? 1.0f : -1.0f;
    float length = p.half[side];
    for (int j = 0; j < 3; ++j) {
        p.lit_side[j] = sign * p.axes[side][j];
        length += std::abs(p.origin[j]);
    }
    const bool level = p.to_light[side] == 0;
    p.beyond = level ? std::numeric_limits<float>::infinity() : p.half[side] - sign * p.origin[side] + kSlack * length;
}

// What a thread needs to draw a world.
struct Workspace {
    std::vector<Primitive> primitives;
    std::vector<float> bounds, shadows;
    std::vector<float> nearest;
    std::vector<uint64_t> present, column_sets, row_set, tile_set;
    std::vector<Face> faces;
    std::vector<Fill> fills;
};

}  // namespace

struct RayCaster::State {
    const Kernels* kernels;
    Camera camera;
    Style style;
    std::vector<Primitive> primitives;  // what does not depend on poses
    int padded, words, threads, strips, strip_rows;
    std::vector<float> u[3], v[3], column_edges, row_edges;
    double wide, tall;  // how far from the optical axis the image reaches, at depth 1
    View shared;        // what does not depend on the world
    std::vector<Workspace> workspaces;

    void set_samples();
    void draw(const Frame& frame, int64_t world, int strip, Workspace& workspace) const;
    void place(const Frame& frame, int64_t world, View& view, Workspace& workspace) const;
    bool shades_itself(const Primitive& p) const;
    void add_faces(int primitive, const Vector& position, const Rotation& axes, Workspace& workspace) const;
};

RayCaster::RayCaster(const Scene& scene, const Camera& camera, const Style& style, int threads)
    : state_(std::make_unique<State>()) {
    State& s = *state_;
    require(camera.width > 0 && camera.height > 0 && camera.width <= 16384 && camera.height <= 16384,
            "an image is of 1 to 16384 pixels along each side.");
    for (double value : {camera.fx, camera.fy, camera.cx, camera.cy}) {
        require(std::isfinite(value), "focal lengths and centre of the image must be finite.");
    }
    require(camera.fx > 0 && camera.fy > 0, "focal lengths must be positive.");
    require(camera.near >= 0 && camera.far > camera.near,
            "the far clipping plane must lie behind the near one, which is not negative.");
    require(style.samples == 1 || style.samples == 2, "a pixel has 1 or 2 samples along each axis.");
    require(std::isfinite(style.ambient) && std::isfinite(style.shadow_light), "shares of light must be finite.");
    for (float value : style.background) {
        require(value >= 0 && value <= 1, "the background's colour must lie between 0 and 1.");
    }
    require(scene.count >= 0 && scene.count <= 65536, "a scene has 65536 primitives at most.");
    require(threads >= 1 && threads <= 1024, "threads must be between 1 and 1024.");
    s.kernels = &chosen_kernels();
    s.camera = camera;
    s.style = style;
    s.threads = threads;
    for (int i = 0; i < scene.count; ++i) {
        const float* size = scene.sizes + 3 * i;
        const int32_t number = scene.shapes[i];
        require(number >= 0 && number <= static_cast<int32_t>(Shape::kCylinder), "a primitive's shape is not known.");
        Primitive p = {};
        p.shape = static_cast<Shape>(number);
        p.id = scene.ids[i];
        const int used = p.shape == Shape::kBox ? 3 : (p.shape == Shape::kSphere ? 1 : 2);
        for (int j = 0; j < used; ++j) {
            const bool bounded = std::isfinite(size[j]) || p.shape == Shape::kPlane;
            require(size[j] >= 0 && bounded, "a primitive's size must be a finite number that is not negative.");
            p.size[j] = size[j];
        }
        if (p.shape != Shape::kBox && p.shape != Shape::kPlane) {
            require(size[0] > 0, "a primitive's radius must be positive.");
            p.square = size[0] * size[0];
            p.inverse = 1.0f / size[0];
        }
        const bool bounded_by_size = p.shape == Shape::kBox || p.shape == Shape::kPlane;
        for (int j = 0; j < 3; ++j) {
            p.half[j] = bounded_by_size ? p.size[j] : (j < 2 || p.shape == Shape::kSphere ? p.size[0] : p.size[1]);
            p.albedo[j] = static_cast<float>(to_linear(scene.colors[3 * i + j]));
        }
        if (p.shape == Shape::kCapsule) p.half[2] += p.size[0];
        s.primitives.push_back(p);
    }
    s.padded = (scene.count + kPad - 1) / kPad * kPad;
    s.words = std::max((scene.count + 63) / 64, 1);
    s.set_samples();
}

RayCaster::~RayCaster() = default;

void RayCaster::State::set_samples() {
    View& view = shared;
    view = {};
    view.width = camera.width;
    view.height = camera.height;
    view.tile_columns = (camera.width + kTile - 1) / kTile;
    view.tile_rows = (camera.height + kTile - 1) / kTile;
    strip_rows = std::clamp(kPiecePixels / (view.tile_columns * kTilePixels), 1, view.tile_rows);
    strips = (view.tile_rows + strip_rows - 1) / strip_rows;
    const auto u_of = [&](double column) { return static_cast<float>((column - camera.cx) / camera.fx); };
    const auto v_of = [&](double row) { return static_cast<float>((camera.cy - row) / camera.fy); };
    for (int column = 0; column <= view.tile_columns; ++column) column_edges.push_back(u_of(kTile * column));
    for (int row = 0; row <= view.tile_rows; ++row) row_edges.push_back(v_of(kTile * row));
    wide = std::max(std::abs(column_edges.front()), std::abs(column_edges.back()));
    tall = std::max(std::abs(row_edges.front()), std::abs(row_edges.back()));
    column_edges.resize(column_edges.size() + kPad, column_edges.back());
    constexpr double kOffsets[3] = {0.5, 0.25, 0.75};
    for (int sample = 0; sample < 3; ++sample) {
        for (int i = 0; i < view.tile_columns * kTilePixels; ++i) {
            u[sample].push_back(u_of(i / kTilePixels * kTile + i % kTile + kOffsets[sample]));
        }
        for (int i = 0; i < view.tile_rows * kTilePixels; ++i) {
            v[sample].push_back(v_of(i / kTilePixels * kTile + i % kTilePixels / kTile + kOffsets[sample]));
        }
        view.u[sample] = u[sample].data();
        view.v[sample] = v[sample].data();
    }
    view.column_edges = column_edges.data();
    view.row_edges = row_edges.data();
    view.near = static_cast<float>(camera.near);
    view.far = static_cast<float>(camera.far);
    view.count = static_cast<int>(primitives.size());
    view.padded = padded;
    view.words = words;
    view.samples = style.samples;
    view.shadow_light = style.shadow_light;
    view.background_depth = style.background_depth;
    view.background_id = style.background_id;
    for (int i = 0; i < 3; ++i) {
        view.ambient_from_below[i] = static_cast<float>(style.ambient * kGround[i]);
        view.ambient_gain[i] = static_cast<float>(style.ambient * (kSky[i] - kGround[i]));
        // The middle of what rounds down to its level.
        const double level = std::round(255.0 * style.background[i]);
        view.background[i] = static_cast<float>(to_linear((level + 0.5) / 255.5));
    }
    workspaces.resize(threads);
    for (Workspace& w : workspaces) {
        w.primitives = primitives;
        w.bounds.assign(static_cast<size_t>(kBounds) * padded, 0.0f);
        w.shadows.assign(static_cast<size_t>(kShadows) * padded, 0.0f);
        w.present.assign(words, 0);
        w.nearest.assign(padded, 0.0f);
        w.row_set.assign(3 * words, 0);
        w.tile_set.assign(words, 0);
        w.faces.reserve(3 * primitives.size());
        w.fills.assign(view.tile_columns, {-1, false, false});
        w.column_sets.assign(static_cast<size_t>(view.tile_columns + 1) * words, 0);
    }
}

void RayCaster::State::place(const Frame& frame, int64_t world, View& view, Workspace& w) const {
    Vector eye;
    Rotation camera_axes;
    std::fill(w.present.begin(), w.present.end(), 0);
    w.faces.clear();
    if (!read_pose(frame.camera_poses + 7 * world, eye, camera_axes)) return;

    Vector light = {-1, 1, -1};
    if (frame.lights != nullptr) std::copy_n(frame.lights + 3 * world, 3, light.begin());
    const double strength = std::sqrt(dot(light, light));
    const bool lit = strength > 0 && std::isfinite(strength);
    for (double& x : light) x = lit ? -x / strength : 0;
    light = to_frame(camera_axes, light);
    const Vector up = camera_axes[2];  // the world's, seen from the camera
    copy(light, view.to_light);
    view.casts_shadows = lit && style.shadows;
    if (view.casts_shadows) {
        // Two sides of the light's way, beginning with the axis that it is least along.
        const int least = static_cast<int>(
            std::min_element(light.begin(), light.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }) -
            light.begin());
        Vector side = {};
        side[least] = 1;
        for (int i = 0; i < 3; ++i) side[i] -= light[least] * light[i];
        const double length = std::sqrt(dot(side, side));
        for (double& x : side) x /= length;
        copy(side, view.sides[0]);
        copy({light[1] * side[2] - light[2] * side[1], light[2] * side[0] - light[0] * side[2],
              light[0] * side[1] - light[1] * side[0]},
             view.sides[1]);
    }

    for (int i = 0; i < view.count; ++i) {
        Primitive& p = w.primitives[i];
        Vector position;
        Rotation axes_in_world;
        if (!read_pose(frame.poses + 7 * (world * view.count + i), position, axes_in_world)) continue;
        w.present[i / 64] |= uint64_t{1} << (i % 64);
        for (int j = 0; j < 3; ++j) position[j] -= eye[j];
        position = to_frame(camera_axes, position);
        float* bound = w.bounds.data() + i;
        for (int j = 0; j < 3; ++j) bound[(kCenter + j) * padded] = static_cast<float>(position[j]);
        Rotation axes_of_p;
        for (int j = 0; j < 3; ++j) {
            const Vector axis = to_frame(camera_axes, {axes_in_world[0][j], axes_in_world[1][j], axes_in_world[2][j]});
            axes_of_p[j] = axis;
            copy(axis, p.axes[j]);
            p.origin[j] = static_cast<float>(-dot(axis, position));
            p.to_light[j] = static_cast<float>(dot(axis, light));
            p.up[j] = static_cast<float>(dot(axis, up));
        }
        p.shades_itself = shades_itself(p);
        find_lit_side(p);
        if (style.exhaustive) {
            p.shades_itself = true;
            p.beyond = std::numeric_limits<float>::infinity();
        }
        const bool round = p.shape == Shape::kCapsule || p.shape == Shape::kCylinder;
        const bool unbounded = p.shape == Shape::kPlane && std::isinf(std::max(p.size[0], p.size[1]));
        for (int j = 0; j < 3; ++j) {
            const float half =
                round ? (j == 2 ? p.size[1] : 0) : (p.shape == Shape::kSphere || unbounded ? 0 : p.size[j]);
            for (int k = 0; k < 3; ++k) bound[(kReach + 3 * j + k) * padded] = half * p.axes[j][k];
            bound[(kFlat + j) * padded] = p.shape == Shape::kCylinder && !style.exhaustive ? p.axes[2][j] : 0;
        }
        bound[kRadius * padded] =
            unbounded || style.exhaustive ? kUnbounded : (round || p.shape == Shape::kSphere ? p.size[0] : 0);
        if (frame.colors != nullptr) {
            const float* color = frame.colors + 3 * (world * view.count + i);
            for (int j = 0; j < 3; ++j) p.albedo[j] = static_cast<float>(to_linear(color[j]));
        } else {
            std::copy_n(primitives[i].albedo, 3, p.albedo);
        }
        const bool flat = p.shape == Shape::kBox || p.shape == Shape::kPlane;
        if (flat && !style.exhaustive) add_faces(i, position, axes_of_p, w);
    }
}

// A shadow's ray leaves a convex primitive for good, if roundings are much smaller than the lift of its start: where
// the primitive is neither large nor far away, nor so thin that roundings decide where its surface looks.
bool RayCaster::State::shades_itself(const Primitive& p) const {
    constexpr float kThin = 1e-3f;  // [m]
    const auto largest = [](const float v[3]) { return std::max({std::abs(v[0]), std::abs(v[1]), std::abs(v[2])}); };
    const bool thin = p.square > 0 && p.size[0] < kThin;
    const bool small = largest(p.size) <= kExact || camera.far * (1 + wide + tall) <= kExact;
    return thin || !small || !(largest(p.origin) <= kExact);
}

// Of a box or a plane, the faces that can fill tiles. What roundings may decide is not theirs: at their edges, where
// they are close to the camera, and where they are seen flat.
void RayCaster::State::add_faces(int primitive, const Vector& position, const Rotation& axes, Workspace& w) const {
    constexpr double kFlattest = 0.02, kShallowest = 0.01;
    const Primitive& p = w.primitives[primitive];
    Vector origin;
    double length = 0;  // of the vectors whose roundings count
    for (int j = 0; j < 3; ++j) {
        origin[j] = -dot(axes[j], position);
        length += std::abs(origin[j]) + (std::isinf(p.size[j]) ? 0 : p.size[j]);
    }
    if (!(length <= kExact)) return;
    const double nearest = std::max(camera.near, -position[2] - p.size[0] - p.size[1] - p.size[2]);
    const auto form = [](double factor, const Vector& axis, double other, const Vector& to, float result[3]) {
        for (int k = 0; k < 3; ++k)
            result[k] = static_cast<float>((factor * axis[k] + other * to[k]) * (k == 2 ? -1 : 1));
    };
    const double slack = kSlack * length;
    for (int i = p.shape == Shape::kPlane ? 2 : 0; i < 3; ++i) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        const double gap = std::abs(origin[i]) - p.size[i];
        const bool fills = 2.0 * std::min(p.size[j], p.size[k]) * std::min(camera.fx, camera.fy) >= kTile * nearest;
        // Of a thinner box, roundings decide which way its surface looks.
        const bool solid = p.shape == Shape::kPlane || p.size[i] >= slack;
        if (gap < kShallowest * length || !fills || !solid) continue;
        const double side = origin[i] > 0 ? 1 : -1, scale = -1 / (side * gap);
        Face face = {};
        face.primitive = primitive;
        face.normal[i] = p.shape == Shape::kPlane ? 1.0f : static_cast<float>(side);
        for (int m = 0; m < 3; ++m) face.outwards[m] = face.normal[i] * p.axes[i][m];
        // The ray through (u, v) meets the face at the depth t, where o_i + t d_i is the face's level: 1 / t is linear.
        form(scale, axes[i], 0, axes[i], face.inverse_depth);
        const double farthest = std::min<double>(camera.far, kExact);
        face.least_inverse_depth =
            static_cast<float>(std::max((1 + kSlack) / farthest, kFlattest * (1 + wide + tall) / gap));
        // Within an edge: |o_j + t d_j| <= size_j, times 1 / t.
        for (int edge = 0; edge < 4; ++edge) {
            const int across = edge < 2 ? j : k;
            if (std::isinf(p.size[across])) continue;
            const double sign = edge % 2 == 0 ? 1 : -1;
            form(scale * (p.size[across] - slack - sign * origin[across]), axes[i], -sign, axes[across],
                 face.limits[edge]);
        }
        // Not nearer than the near plane: near / t <= 1.
        const double near = camera.near * (1 + kSlack);
        form(-near * scale, axes[i], 0, axes[i], face.limits[4]);
        face.limits[4][2] += 1;
        w.faces.push_back(face);
    }
}

void RayCaster::State::draw(const Frame& frame, int64_t world, int strip, Workspace& w) const {
    View view = shared;
    view.primitives = w.primitives.data();
    view.bounds = w.bounds.data();
    view.present = w.present.data();
    view.shadows = w.shadows.data();
    view.column_sets = w.column_sets.data();
    view.row_set = w.row_set.data();
    view.tile_set = w.tile_set.data();
    view.nearest = w.nearest.data();
    view.fills = w.fills.data();
    place(frame, world, view, w);
    view.faces = w.faces.data();
    view.face_count = static_cast<int>(w.faces.size());
    const int64_t first = world * camera.width * camera.height;
    view.rgb = frame.rgb == nullptr ? nullptr : frame.rgb + 3 * first;
    view.depth = frame.depth == nullptr ? nullptr : frame.depth + first;
    view.segmentation = frame.segmentation == nullptr ? nullptr : frame.segmentation + first;
    kernels->draw(view, strip * strip_rows, std::min((strip + 1) * strip_rows, view.tile_rows));
}

void RayCaster::render(const Frame& frame) {
    State& s = *state_;
    const int64_t pieces = frame.worlds * s.strips;
    if (pieces == 0) return;
    require(pieces < std::numeric_limits<int>::max() / 2, "too many images for one call.");
    const auto program = [&](Team& team, int thread) {
        team.for_each(static_cast<int>(pieces),
                      [&](int piece) { s.draw(frame, piece / s.strips, piece % s.strips, s.workspaces[thread]); });
    };
    // As a reference, it fits into a std::function without an allocation.
    Team::run(static_cast<int>(std::min<int64_t>(s.threads, pieces)), std::cref(program));
}

int RayCaster::count() const { return state_->shared.count; }
int RayCaster::width() const { return state_->camera.width; }
int RayCaster::height() const { return state_->camera.height; }

}  // namespace zprl::render
