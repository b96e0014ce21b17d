// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// zprl._core: the policy step over NumPy arrays, for programs without torch.
//
// This layer checks arguments and allocates results; all arithmetic is in csrc/core. It runs on the caller's thread,
// without the GIL. Memory: one workspace per Policy object, so an object serves one thread at a time (a second waits).

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "array_argument.h"
#include "blob_argument.h"
#include "build_info.h"
#include "controller.h"
#include "cuda_estimate.h"
#include "policy_step.h"
#include "ray_caster_module.h"

namespace py = pybind11;

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;
using DoubleArray = py::array_t<double, py::array::c_style>;

using SeedArray = py::array_t<uint64_t, py::array::c_style>;

SeedArray checked_seeds(const py::array& array, py::ssize_t rows) {
    if (!py::isinstance<py::array_t<uint64_t>>(array) || array.ndim() != 1 || array.shape(0) != rows) {
        throw py::value_error("zprl: latent_seed must be uint64, of shape (" + std::to_string(rows) + ").");
    }
    return SeedArray::ensure(array);
}

class PyPolicy {
 public:
    PyPolicy(const py::buffer& blob, int threads) : blob_(blob_argument(blob)), threads_(threads) {
        if (threads < 1 || threads > 1024) throw py::value_error("zprl: threads must be between 1 and 1024.");
        policy_ = zprl::parse_policy(blob_.data(), blob_.size());
        zprl::require_runnable(policy_);
        zprl::require_finite_weights(policy_);
        workspace_.resize(zprl::workspace_floats(policy_));
    }

    FloatArray act(const py::array& obs, const std::optional<py::array>& residual,
                   const std::optional<py::array>& noise, const std::optional<py::array>& latent_seed) {
        zprl::require_encoder(policy_.parts);
        const py::ssize_t rows = num_rows(obs, "obs");
        const FloatArray obs_in = checked(obs, "obs", {rows, policy_.obs_dim});
        std::optional<FloatArray> residual_in, noise_in;
        if (residual) residual_in = checked(*residual, "residual", {rows, policy_.latent_dim});
        if (noise) noise_in = checked(*noise, "noise", {rows, policy_.horizon, policy_.action_dim});
        std::optional<SeedArray> seed_in;
        if (latent_seed) seed_in = checked_seeds(*latent_seed, rows);
        FloatArray chunk(Shape{rows, policy_.horizon, policy_.action_dim});
        const float* residual_data = residual_in ? residual_in->data() : nullptr;
        const float* noise_data = noise_in ? noise_in->data() : nullptr;
        const uint64_t* seed_data = seed_in ? seed_in->data() : nullptr;
        run(obs_in.data(), [&, out = chunk.mutable_data()](const float* obs_data) {
            zprl::policy_step(policy_, obs_data, residual_data, noise_data, seed_data, rows, out, workspace_.data(), {},
                              threads_);
        });
        return chunk;
    }

    std::tuple<FloatArray, FloatArray, FloatArray> act_with_latents(const py::array& obs,
                                                                    const std::optional<py::array>& noise) {
        zprl::require_encoder(policy_.parts);
        const py::ssize_t rows = num_rows(obs, "obs");
        const FloatArray obs_in = checked(obs, "obs", {rows, policy_.obs_dim});
        std::optional<FloatArray> noise_in;
        if (noise) noise_in = checked(*noise, "noise", {rows, policy_.horizon, policy_.action_dim});
        FloatArray chunk(Shape{rows, policy_.horizon, policy_.action_dim});
        FloatArray mean(Shape{rows, policy_.latent_dim}), decoded(Shape{rows, policy_.latent_dim});
        const float* noise_data = noise_in ? noise_in->data() : nullptr;
        const zprl::LatentOutputs latents{mean.mutable_data(), decoded.mutable_data()};
        run(obs_in.data(), [&, out = chunk.mutable_data()](const float* obs_data) {
            zprl::policy_step(policy_, obs_data, nullptr, noise_data, nullptr, rows, out, workspace_.data(), latents,
                              threads_);
        });
        return {chunk, mean, decoded};
    }

    FloatArray integrate(const py::array& condition, const std::optional<py::array>& noise) {
        return run_from_condition(zprl::integrate, condition, noise);
    }

    FloatArray act_from_condition(const py::array& condition, const std::optional<py::array>& noise) {
        return run_from_condition(zprl::act_from_condition, condition, noise);
    }

    FloatArray act_from_latent(const py::array& latent, const std::optional<py::array>& noise) {
        zprl::require_bottleneck(policy_.parts);
        const py::ssize_t rows = num_rows(latent, "latent");
        const bool rounded = py::isinstance<py::array_t<float>>(latent);
        std::optional<FloatArray> rounded_in, noise_in;
        std::optional<DoubleArray> latent_in;
        if (rounded) {
            rounded_in = checked(latent, "latent", {rows, policy_.latent_dim});
        } else {
            latent_in = checked<double>(latent, "latent", {rows, policy_.latent_dim}, "float32 or float64");
        }
        if (noise) noise_in = checked(*noise, "noise", {rows, policy_.horizon, policy_.action_dim});
        FloatArray chunk(Shape{rows, policy_.horizon, policy_.action_dim});
        const float* noise_data = noise_in ? noise_in->data() : nullptr;
        const auto act = [&, out = chunk.mutable_data()](const auto* latent_data) {
            zprl::act(policy_, latent_data, noise_data, rows, out, workspace_.data(), threads_);
        };
        if (rounded) {
            run(rounded_in->data(), act);
        } else {
            run(latent_in->data(), act);
        }
        return chunk;
    }

    DoubleArray latent(const py::array& obs) {
        zprl::require_encoder(policy_.parts);
        const py::ssize_t rows = num_rows(obs, "obs");
        const FloatArray obs_in = checked(obs, "obs", {rows, policy_.obs_dim});
        DoubleArray mean(Shape{rows, policy_.latent_dim});
        run(obs_in.data(), [&, out = mean.mutable_data()](const float* obs_data) {
            zprl::latent(policy_, obs_data, rows, out, workspace_.data());
        });
        return mean;
    }

    std::vector<std::string> parts() const {
        const std::pair<zprl::Part, const char*> names[] = {{zprl::kPartEncoder, "encoder"},
                                                            {zprl::kPartBottleneck, "bottleneck"},
                                                            {zprl::kPartFlow, "flow"},
                                                            {zprl::kPartActor, "actor"}};
        std::vector<std::string> parts;
        for (const auto& [part, name] : names) {
            if ((policy_.parts & part) != 0) parts.emplace_back(name);
        }
        return parts;
    }

    py::dict profile(py::ssize_t rows, int repeats) const {
        if (rows < 1 || repeats < 1) throw py::value_error("zprl: rows and repeats must be positive.");
        py::dict seconds;
        for (const auto& [name, value] : zprl::profile_step(policy_, rows, repeats)) seconds[py::str(name)] = value;
        return seconds;
    }

    std::pair<FloatArray, FloatArray> encode(const py::array& obs) {
        zprl::require_encoder(policy_.parts);
        const py::ssize_t rows = num_rows(obs, "obs");
        const FloatArray obs_in = checked(obs, "obs", {rows, policy_.obs_dim});
        FloatArray mean(Shape{rows, policy_.latent_dim}), logvar(Shape{rows, policy_.latent_dim});
        run(obs_in.data(),
            [&, mean_out = mean.mutable_data(), logvar_out = logvar.mutable_data()](const float* obs_data) {
                zprl::encode(policy_, obs_data, rows, mean_out, logvar_out, workspace_.data());
            });
        return {mean, logvar};
    }

    const zprl::Policy& policy() const { return policy_; }

 private:
    static py::ssize_t num_rows(const py::array& array, const char* name) {
        if (array.ndim() != 2) {
            throw py::value_error("zprl: " + std::string(name) + " must have two dimensions, got " +
                                  std::to_string(array.ndim()) + ".");
        }
        return array.shape(0);
    }

    template <typename Number, typename Work>
    void run(const Number* input, const Work& work) {
        const py::gil_scoped_release release;
        const std::lock_guard<std::mutex> lock(mutex_);
        work(input);
    }

    FloatArray run_from_condition(decltype(zprl::integrate)& of_core, const py::array& condition,
                                  const std::optional<py::array>& noise) {
        const py::ssize_t rows = num_rows(condition, "condition");
        const FloatArray condition_in = checked(condition, "condition", {rows, policy_.embed_dim});
        std::optional<FloatArray> noise_in;
        if (noise) noise_in = checked(*noise, "noise", {rows, policy_.horizon, policy_.action_dim});
        FloatArray chunk(Shape{rows, policy_.horizon, policy_.action_dim});
        const float* noise_data = noise_in ? noise_in->data() : nullptr;
        run(condition_in.data(), [&, out = chunk.mutable_data()](const float* condition_data) {
            of_core(policy_, condition_data, noise_data, rows, out, workspace_.data(), threads_);
        });
        return chunk;
    }

    const zprl::BlobMemory blob_;
    const int threads_;
    zprl::Policy policy_;
    std::vector<float> workspace_;
    std::mutex mutex_;
};

py::dict build_info() {
    py::dict info;
    info["build_type"] = ZPRL_BUILD_TYPE;
    info["compiler"] = ZPRL_BUILD_COMPILER;
    info["built_with_torch"] = ZPRL_BUILD_TORCH;
    info["cpu"] = zprl::cpu_level();
    info["cpu_levels"] = zprl::cpu_levels();
    info["cuda"] = std::strlen(ZPRL_BUILD_CUDA) > 0 ? py::object(py::str(ZPRL_BUILD_CUDA)) : py::object(py::none());
    return info;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    bind_controller(m);
    bind_cuda_estimate(m);
    bind_ray_caster(m);
    m.doc() = "ZPRL's policy step over NumPy arrays, without torch.";
    m.def("build_info", &build_info, "What the native libraries were built with, and what runs them here.");
    m.def("cpu_level", &zprl::cpu_level, "Instruction set in use; the environment variable ZPRL_CPU chooses another.");
    m.def("cpu_levels", &zprl::cpu_levels, "Instruction sets that this processor has, best last.");
    m.def("multiplies_bfloat16", &zprl::multiplies_bfloat16,
          "Whether the instruction set in use runs policies whose weights are bfloat16.");
    m.def(
        "measure_peaks",
        [](double seconds) {
            py::dict peaks;
            peaks["fp32_gflops"] = zprl::peak_gflops(zprl::Dtype::kFloat32, seconds);
            peaks["bf16_gflops"] = zprl::peak_gflops(zprl::Dtype::kBfloat16, seconds);
            return peaks;
        },
        py::arg("seconds"), "Multiply-add peaks of one thread [GFLOP/s]; 0 where there is no such instruction.");
    m.def("measure_stream", &zprl::stream_gbs, py::arg("bytes"), py::arg("seconds"),
          "Bandwidth of one thread that reads a buffer over and over [GB/s].");

    py::class_<PyPolicy>(
        m, "Policy",
        "Policy step from a policy blob (bytes or a uint8 array), which is copied. Threads share the rows of a U-Net.")
        .def(py::init<const py::buffer&, int>(), py::arg("blob"), py::arg("threads") = 1)
        .def("act", &PyPolicy::act, py::arg("obs"), py::arg("residual") = py::none(), py::arg("noise") = py::none(),
             py::arg("latent_seed") = py::none(),
             "Raw observations (N, obs_dim) to raw action chunks (N, horizon, action_dim), all float32.\n\n"
             "residual (N, latent_dim) is added to the latent, and noise (N, horizon, action_dim) starts the flow; "
             "both\n"
             "are zero if None. The latent is its mean, or, with latent_seed (N,) uint64, a sample per row. A steered\n"
             "policy's actor adds to it by itself.")
        .def(
            "act_with_latents", &PyPolicy::act_with_latents, py::arg("obs"), py::arg("noise") = py::none(),
            "act() without a residual, and with it the latent's mean and the latent that was decoded, (N, latent_dim)\n"
            "each.")
        .def_property_readonly("steered", [](const PyPolicy& self) { return self.policy().steered; })
        .def("encode", &PyPolicy::encode, py::arg("obs"),
             "Raw observations (N, obs_dim) to the latent's mean and log-variance, (N, latent_dim) each.")
        .def("latent", &PyPolicy::latent, py::arg("obs"),
             "Raw observations (N, obs_dim) to the latent's mean (N, latent_dim) as it is computed: float64.")
        .def("act_from_latent", &PyPolicy::act_from_latent, py::arg("latent"), py::arg("noise") = py::none(),
             "Latents (N, latent_dim), float32 or float64, and the flow's start (N, horizon, action_dim), zero if\n"
             "None, to raw action chunks (N, horizon, action_dim). An actor adds nothing to them. With\n"
             "latent(obs) + residual it is act(obs, residual) of a base policy, to the last bit.")
        .def("act_from_condition", &PyPolicy::act_from_condition, py::arg("condition"), py::arg("noise") = py::none(),
             "integrate(), and then to the action's units and limits.")
        .def_property_readonly("parts", &PyPolicy::parts)
        .def("integrate", &PyPolicy::integrate, py::arg("condition"), py::arg("noise") = py::none(),
             "Conditions (N, embed_dim) and the flow's start (N, horizon, action_dim), zero if None, to normalised\n"
             "action chunks (N, horizon, action_dim).")
        .def("profile", &PyPolicy::profile, py::arg("rows"), py::arg("repeats"),
             "Seconds that each part of a step over a batch takes, by name.")
        .def_property_readonly("embed_dim", [](const PyPolicy& self) { return self.policy().embed_dim; })
        .def_property_readonly(
            "dtype",
            [](const PyPolicy& self) { return self.policy().dtype == zprl::Dtype::kFloat32 ? "float32" : "bfloat16"; })
        .def_property_readonly("obs_dim", [](const PyPolicy& self) { return self.policy().obs_dim; })
        .def_property_readonly("action_dim", [](const PyPolicy& self) { return self.policy().action_dim; })
        .def_property_readonly("horizon", [](const PyPolicy& self) { return self.policy().horizon; })
        .def_property_readonly("latent_dim", [](const PyPolicy& self) { return self.policy().latent_dim; });
}
