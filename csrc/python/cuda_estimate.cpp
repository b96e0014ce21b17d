// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "cuda_estimate.h"

#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "blob_argument.h"
#include "cuda/cost_model.h"

namespace py = pybind11;
namespace cuda = zprl::cuda;

namespace {

py::dict estimate_cuda(const py::buffer& blob, const std::string& precision, int64_t rows, const std::string& kernels,
                       const std::vector<int>& gpcs) {
    if (rows < 1) throw py::value_error("zprl: an estimate is of at least one row, not " + std::to_string(rows) + ".");
    const zprl::BlobMemory aligned = blob_argument(blob);
    const zprl::Policy on_cpu = zprl::parse_policy(aligned.data(), aligned.size());
    const cuda::DevicePolicy policy = cuda::device_policy(on_cpu, cuda::parse_precision(precision));
    const cuda::DeviceProperties device = cuda::h200();
    const cuda::ActiveClusters active = gpcs.empty() ? cuda::h200_clusters() : cuda::split_over(gpcs);
    const auto [plan, cost] = cuda::choose(policy, rows, device, cuda::parse_choice(kernels), active);

    py::dict floors, parts, result;
    floors["tensor"] = cost.tensor_floor;
    floors["level2"] = cost.level2_floor;
    floors["shared"] = cost.shared_floor;
    floors["chain"] = cost.chain_floor;
    parts["products"] = cost.products;
    parts["once"] = cost.once;
    parts["finishing"] = cost.finishing;
    parts["norms"] = cost.norms;
    parts["latency"] = cost.latency;
    parts["level2"] = cost.level2;
    constexpr const char* kKernels[] = {"tile", "wgmma", "cluster"};
    result["plan"] = cuda::describe(plan);
    result["kernel"] = kKernels[static_cast<int>(plan.kernel)];
    result["tile_rows"] = plan.tile_rows;
    result["cluster_size"] = plan.cluster_size;
    result["placement"] = static_cast<int>(plan.placement);
    result["waves"] = cost.waves;
    result["floors"] = floors;
    result["parts"] = parts;
    result["floor"] = cost.floor();
    result["total"] = cost.total;
    result["bound"] = cost.bound();
    return result;
}

}  // namespace

void bind_cuda_estimate(py::module_& m) {
    m.def(
        "estimate_cuda", &estimate_cuda, py::arg("blob"), py::arg("precision"), py::arg("rows"),
        py::arg("kernels") = "", py::arg("gpcs") = std::vector<int>(),
        "How a batch of a policy (a blob of the CPU) would run on an H200, and what the cost model expects of it "
        "[us].\n\n"
        "kernels is what ZPRL_CUDA_KERNEL may be; gpcs are the multiprocessors of each GPC, of which an H200 has 132.");
}
