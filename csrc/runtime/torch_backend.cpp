// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include "torch_backend.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sys/stat.h>
#include <torch/script.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace zprl {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

class TorchBackend final : public Backend {
 public:
    TorchBackend(const Bundle& bundle, const std::string& file, const std::string& torch_library)
        : contract_(bundle.contract()) {
        const std::vector<char> bytes = bundle.read(file);
        struct stat info;
        if (stat(torch_library.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {  // dlopen would wait for a pipe
            throw std::invalid_argument("zprl: the operator library " + torch_library +
                                        " is not a file; give the path of libzprl_torch.so.");
        }
        if (!torch_library.empty() && dlopen(torch_library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
            throw std::invalid_argument("zprl: the operator library " + torch_library + " does not load (" +
                                        first_line(dlerror()) + "); give the path of libzprl_torch.so.");
        }
        // One row has nothing to share among threads.
        at::set_num_threads(1);
        std::istringstream stream(std::string(bytes.begin(), bytes.end()));
        try {
            module_ = torch::jit::load(stream);
            module_.eval();
        } catch (const std::exception& error) {
            throw std::invalid_argument("zprl: " + file + " does not load (" + first_line(error.what()) +
                                        "); if it needs the project's operators, give the path of libzprl_torch.so.");
        }
        latent_ = module_.find_method("latent");
    }

    const char* name() const override { return "torch"; }

    void plan(const float* obs, float* chunk, float* mean, float* decoded) override {
        const c10::InferenceMode guard;
        const at::Tensor input = torch::from_blob(const_cast<float*>(obs), {1, contract_.obs_dim});
        const at::Tensor result = module_.forward({input}).toTensor().contiguous();
        if (result.sizes() != at::IntArrayRef({1, contract_.horizon, contract_.action_dim}) ||
            result.scalar_type() != at::kFloat) {
            throw std::runtime_error("the module's result has not the contract's shape, or is not float32");
        }
        std::memcpy(chunk, result.const_data_ptr<float>(), sizeof(float) * contract_.chunk_dim());

        std::fill_n(mean, contract_.latent_dim, std::numeric_limits<float>::quiet_NaN());
        std::fill_n(decoded, contract_.latent_dim, std::numeric_limits<float>::quiet_NaN());
        if (!latent_) return;
        const at::Tensor z = (*latent_)({input}).toTensor().contiguous();
        if (z.numel() == contract_.latent_dim && z.scalar_type() == at::kFloat) {
            std::memcpy(mean, z.const_data_ptr<float>(), sizeof(float) * contract_.latent_dim);
        }
    }

 private:
    const Contract contract_;
    torch::jit::Module module_;
    std::optional<torch::jit::Method> latent_;
};

}  // namespace

#pragma GCC visibility push(default)
std::unique_ptr<Backend> make_torch_backend(const Bundle& bundle, const std::string& file,
                                            const std::string& torch_library) {
    return std::make_unique<TorchBackend>(bundle, file, torch_library);
}
#pragma GCC visibility pop

}  // namespace zprl
