// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "ray_caster_module.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "array_argument.h"
#include "render/ray_caster.h"

namespace {

using zprl::render::Camera;
using zprl::render::Frame;
using zprl::render::RayCaster;
using zprl::render::Scene;
using zprl::render::Style;

// An array to be written, in place.
template <typename Number>
Number* written(const std::optional<py::array>& array, const char* name, const Shape& shape, const char* dtype) {
    if (!array) return nullptr;
    py::array_t<Number, py::array::c_style> same = checked<Number>(*array, name, shape, dtype);
    if (!same.is(*array) || !same.writeable()) {
        throw py::value_error("zprl: " + std::string(name) + " must be writable and contiguous.");
    }
    return same.mutable_data();
}

// Calls run without the GIL; a second thread waits.
class PyRayCaster {
 public:
    PyRayCaster(const py::array& shapes, const py::array& sizes, const py::array& colors, const py::array& ids,
                const Camera& camera, const Style& style, int threads)
        : caster_(scene(shapes, sizes, colors, ids, camera, style, threads)) {}

    void render(const py::array& poses, const py::array& camera_poses, const std::optional<py::array>& lights,
                const std::optional<py::array>& colors, const std::optional<py::array>& rgb,
                const std::optional<py::array>& depth, const std::optional<py::array>& segmentation) {
        const py::ssize_t worlds = poses.ndim() > 0 ? poses.shape(0) : 0;
        const py::ssize_t count = caster_->count(), height = caster_->height(), width = caster_->width();
        const auto poses_in = checked(poses, "poses", {worlds, count, 7});
        const auto camera_poses_in = checked(camera_poses, "camera_poses", {worlds, 7});
        std::optional<py::array_t<float, py::array::c_style>> lights_in, colors_in;
        if (lights) lights_in = checked(*lights, "lights", {worlds, 3});
        if (colors) colors_in = checked(*colors, "colors", {worlds, count, 3});
        const Frame frame = {worlds,
                             poses_in.data(),
                             camera_poses_in.data(),
                             lights_in ? lights_in->data() : nullptr,
                             colors_in ? colors_in->data() : nullptr,
                             written<uint8_t>(rgb, "rgb", {worlds, height, width, 3}, "uint8"),
                             written<float>(depth, "depth", {worlds, height, width}, "float32"),
                             written<int32_t>(segmentation, "segmentation", {worlds, height, width}, "int32")};
        const py::gil_scoped_release release;
        const std::lock_guard<std::mutex> lock(mutex_);
        caster_->render(frame);
    }

 private:
    static std::unique_ptr<RayCaster> scene(const py::array& shapes, const py::array& sizes, const py::array& colors,
                                            const py::array& ids, const Camera& camera, const Style& style,
                                            int threads) {
        const py::ssize_t count = shapes.ndim() > 0 ? shapes.shape(0) : 0;
        const auto shapes_in = checked<int32_t>(shapes, "shapes", {count}, "int32");
        const auto sizes_in = checked(sizes, "sizes", {count, 3});
        const auto colors_in = checked(colors, "colors", {count, 3});
        const auto ids_in = checked<int32_t>(ids, "ids", {count}, "int32");
        const Scene scene = {static_cast<int>(count), shapes_in.data(), sizes_in.data(), colors_in.data(),
                             ids_in.data()};
        return std::make_unique<RayCaster>(scene, camera, style, threads);
    }

    std::unique_ptr<RayCaster> caster_;
    std::mutex mutex_;
};

}  // namespace

void bind_ray_caster(py::module_& m) {
    py::class_<PyRayCaster>(m, "RayCaster", "Pictures of many worlds of primitives; see zprl.sim.render.")
        .def(py::init([](const py::array& shapes, const py::array& sizes, const py::array& colors, const py::array& ids,
                         int width, int height, double fx, double fy, double cx, double cy, double near, double far,
                         int samples, bool shadows, float shadow_light, float ambient,
                         const std::array<float, 3>& background, float background_depth, int32_t background_id,
                         int threads) {
                 Style style = {samples, shadows, shadow_light, ambient, {}, background_depth, background_id};
                 std::copy(background.begin(), background.end(), style.background);
                 return std::make_unique<PyRayCaster>(shapes, sizes, colors, ids,
                                                      Camera{width, height, fx, fy, cx, cy, near, far}, style, threads);
             }),
             py::kw_only(), py::arg("shapes"), py::arg("sizes"), py::arg("colors"), py::arg("ids"), py::arg("width"),
             py::arg("height"), py::arg("fx"), py::arg("fy"), py::arg("cx"), py::arg("cy"), py::arg("near"),
             py::arg("far"), py::arg("samples"), py::arg("shadows"), py::arg("shadow_light"), py::arg("ambient"),
             py::arg("background"), py::arg("background_depth"), py::arg("background_id"), py::arg("threads"))
        .def("render", &PyRayCaster::render, py::arg("poses"), py::arg("camera_poses"), py::kw_only(),
             py::arg("lights") = py::none(), py::arg("colors") = py::none(), py::arg("rgb") = py::none(),
             py::arg("depth") = py::none(), py::arg("segmentation") = py::none(),
             "Poses (N, P, 7) and camera poses (N, 7) into those pictures that are given.");
}
