// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "controller.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "chunk_controller.h"

namespace py = pybind11;

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

zprl::OnBadObservation reaction(const std::string& name, const char* option) {
    static const std::map<std::string, zprl::OnBadObservation> kReactions = {
        {"report", zprl::OnBadObservation::kReport},
        {"continue", zprl::OnBadObservation::kContinue},
        {"hold", zprl::OnBadObservation::kHold},
        {"stop", zprl::OnBadObservation::kStop},
    };
    const auto found = kReactions.find(name);
    if (found == kReactions.end()) {
        throw py::value_error("zprl: " + std::string(option) + " is '" + name +
                              "'; choose report, continue, hold or stop.");
    }
    return found->second;
}

// An argument of `size` numbers.
FloatArray vector(const py::array& array, const std::string& name, int size) {
    if (!py::isinstance<py::array_t<float>>(array))
        throw py::type_error("zprl: " + name + " must have the dtype float32.");
    if (array.ndim() != 1 || array.shape(0) != size) {
        throw py::value_error("zprl: " + name + " must have the shape (" + std::to_string(size) + ").");
    }
    return FloatArray::ensure(array);
}

// Steps run without the GIL; a second thread waits.
class PyController {
 public:
    PyController(const std::string& folder, int execute_steps, int blend_steps, bool asynchronous, int lead_steps,
                 double range_margin, double range_slack, const std::string& on_not_finite,
                 const std::string& on_out_of_range, double rate_margin, double stale_steps)
        : bundle_(folder) {
        zprl::ControllerOptions options;
        options.execute_steps = execute_steps;
        options.blend_steps = blend_steps;
        options.asynchronous = asynchronous;
        options.lead_steps = lead_steps;
        options.range_margin = range_margin;
        options.range_slack = range_slack;
        options.on_not_finite = reaction(on_not_finite, "on_not_finite");
        options.on_out_of_range = reaction(on_out_of_range, "on_out_of_range");
        options.rate_margin = rate_margin;
        options.stale_steps = stale_steps;
        const py::gil_scoped_release release;
        controller_ =
            std::make_unique<zprl::ChunkController>(bundle_.contract(), zprl::make_native_backend(bundle_), options);
    }

    ~PyController() {
        const py::gil_scoped_release release;  // while the planning thread ends
        controller_.reset();
    }

    std::pair<FloatArray, zprl::Status> step(const py::array& obs) {
        const zprl::Contract& c = controller_->contract();
        const FloatArray obs_in = vector(obs, "obs", c.obs_dim);
        FloatArray action(c.action_dim);
        zprl::Status status;
        {
            const float* from = obs_in.data();
            float* to = action.mutable_data();
            const py::gil_scoped_release release;
            const std::lock_guard<std::mutex> lock(mutex_);
            status = controller_->step(from, to);
        }
        return {action, status};
    }

    void reset(const std::optional<py::array>& last_action) {
        FloatArray action;
        if (last_action) action = vector(*last_action, "last_action", controller_->contract().action_dim);
        const float* from = last_action ? action.data() : nullptr;
        const py::gil_scoped_release release;
        const std::lock_guard<std::mutex> lock(mutex_);
        controller_->reset(from);
    }

    const zprl::ChunkController& controller() const { return *controller_; }

 private:
    zprl::Bundle bundle_;
    std::unique_ptr<zprl::ChunkController> controller_;
    std::mutex mutex_;
};

}  // namespace

void bind_controller(py::module_& m) {
    using zprl::Status;
    py::class_<Status>(m, "ControllerStatus", "What one step of a ChunkController did.")
        .def_property_readonly("flags", [](const Status& s) { return zprl::flag_names(s.flags); })
        .def_readonly("step", &Status::step)
        .def_readonly("chunk_index", &Status::chunk_index)
        .def_readonly("observation_index", &Status::observation_index)
        .def_readonly("plans", &Status::plans)
        .def_readonly("planning_time", &Status::planning_time)
        .def_readonly("latent_distance", &Status::latent_distance)
        .def_readonly("decoded_distance", &Status::decoded_distance);

    const zprl::ControllerOptions defaults;
    py::class_<PyController>(m, "ChunkController", "A bundle's native policy in a control loop; see csrc/runtime.")
        .def(py::init<const std::string&, int, int, bool, int, double, double, const std::string&, const std::string&,
                      double, double>(),
             py::arg("bundle"), py::kw_only(), py::arg("execute_steps") = defaults.execute_steps,
             py::arg("blend_steps") = defaults.blend_steps, py::arg("asynchronous") = defaults.asynchronous,
             py::arg("lead_steps") = defaults.lead_steps, py::arg("range_margin") = defaults.range_margin,
             py::arg("range_slack") = defaults.range_slack, py::arg("on_not_finite") = "continue",
             py::arg("on_out_of_range") = "hold", py::arg("rate_margin") = defaults.rate_margin,
             py::arg("stale_steps") = defaults.stale_steps)
        .def("step", &PyController::step, py::arg("obs"), "Observation (obs_dim,) to action (action_dim,) and status.")
        .def("reset", &PyController::reset, py::arg("last_action") = py::none(), "Begin a new episode.")
        .def_property_readonly("planning", [](const PyController& self) { return self.controller().planning(); })
        .def_property_readonly("last_error", [](const PyController& self) { return self.controller().last_error(); })
        .def_property_readonly("backend", [](const PyController& self) { return self.controller().backend().name(); })
        .def_property_readonly("period", [](const PyController& self) { return self.controller().contract().period; })
        .def_property_readonly("obs_dim", [](const PyController& self) { return self.controller().contract().obs_dim; })
        .def_property_readonly("action_dim",
                               [](const PyController& self) { return self.controller().contract().action_dim; });
}
