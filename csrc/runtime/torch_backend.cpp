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

// The line of an error that says what is wrong: the last one if the interpreter's traceback comes before it.
std::string message(const std::exception& error) {
    std::string text = error.what();
    if (text.rfind("The following operation failed", 0) != 0) return first_line(text);
    text.erase(text.find_last_not_of('\n') + 1);
    return text.substr(text.rfind('\n') + 1);
}

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
        for (const ObservationGroup& group : contract_.groups) {
            shapes_.push_back({1});
            shapes_.back().insert(shapes_.back().end(), group.shape.begin(), group.shape.end());
        }
        try {
            warm_up();
        } catch (const std::exception& error) {
            throw std::invalid_argument("zprl: " + file + " does not fit its contract: " + error.what() +
                                        "; export the policy again.");
        }
    }

    const char* name() const override { return "torch"; }

    void plan(const Observation& obs, float* chunk, float* mean, float* decoded) override {
        char wrong[256];
        if (images_are_wrong(contract_, obs, wrong, sizeof(wrong))) throw std::invalid_argument(wrong);
        const c10::InferenceMode guard;
        const std::vector<c10::IValue> inputs = inputs_of(obs);
        const at::Tensor result = run(module_.get_method("forward"), inputs);
        if (result.sizes() != at::IntArrayRef({1, contract_.horizon, contract_.action_dim}) ||
            result.scalar_type() != at::kFloat) {
            throw std::runtime_error("the module's result has not the contract's shape, or is not float32");
        }
        std::memcpy(chunk, result.const_data_ptr<float>(), sizeof(float) * contract_.chunk_dim());

        std::fill_n(mean, contract_.latent_dim, std::numeric_limits<float>::quiet_NaN());
        std::fill_n(decoded, contract_.latent_dim, std::numeric_limits<float>::quiet_NaN());
        if (!latent_) return;
        const at::Tensor z = run(*latent_, inputs);
        if (z.numel() == contract_.latent_dim && z.scalar_type() == at::kFloat) {
            std::memcpy(mean, z.const_data_ptr<float>(), sizeof(float) * contract_.latent_dim);
        }
    }

 private:
    static at::Tensor run(const torch::jit::Method& method, const std::vector<c10::IValue>& inputs) {
        try {
            return method(inputs).toTensor().contiguous();
        } catch (const std::exception& error) {
            throw std::runtime_error(message(error));
        }
    }

    // One tensor per group, on the caller's memory, which nothing writes to.
    std::vector<c10::IValue> inputs_of(const Observation& obs) const {
        std::vector<c10::IValue> inputs;
        inputs.reserve(shapes_.size());
        const Image* image = obs.images;
        for (size_t i = 0; i < shapes_.size(); ++i) {
            const ObservationGroup& group = contract_.groups[i];
            const void* data = group.is_image() ? (image++)->data : obs.state + group.start;
            const at::ScalarType type = group.dtype == "uint8" ? at::kByte : at::kFloat;
            inputs.emplace_back(torch::from_blob(const_cast<void*>(data), shapes_[i], type));
        }
        return inputs;
    }

    // PyTorch watches the first calls of a module and compiles it by what it saw.
    void warm_up() {
        const std::vector<float> state(contract_.obs_dim);
        std::vector<std::vector<char>> pixels;
        std::vector<Image> images;
        for (const ObservationGroup& group : contract_.images) {
            pixels.emplace_back(group.bytes);
            images.push_back({pixels.back().data(), group.bytes});
        }
        std::vector<float> chunk(contract_.chunk_dim()), mean(contract_.latent_dim), decoded(contract_.latent_dim);
        for (int i = 0; i < 3; ++i) plan({state.data(), images.data()}, chunk.data(), mean.data(), decoded.data());
    }

    const Contract contract_;
    torch::jit::Module module_;
    std::optional<torch::jit::Method> latent_;
    std::vector<std::vector<int64_t>> shapes_;  // of the inputs
};

}  // namespace

#pragma GCC visibility push(default)
std::unique_ptr<Backend> make_torch_backend(const Bundle& bundle, const std::string& file,
                                            const std::string& torch_library) {
    return std::make_unique<TorchBackend>(bundle, file, torch_library);
}
#pragma GCC visibility pop

}  // namespace zprl
