// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include <optional>
#include <stdexcept>

#include "backend.h"
#include "blob_memory.h"
#include "policy_step.h"

namespace zprl {
namespace {

void require_equal(const std::string& name, const char* what, double of_blob, double of_contract) {
    if (of_blob == of_contract) return;
    throw std::invalid_argument("zprl: " + name + " does not belong to its contract: its " + what + " is " +
                                std::to_string(of_blob) + " instead of " + std::to_string(of_contract) +
                                "; export the policy again.");
}

class NativeBackend final : public Backend {
 public:
    explicit NativeBackend(const Bundle& bundle) : noise_(bundle.contract().noise) {
        const std::string& name = native_file(bundle);
        const std::vector<char> bytes = bundle.read(name);
        blob_.emplace(bytes.data(), bytes.size());
        try {
            policy_ = parse_policy(blob_->data(), blob_->size());
            require_runnable(policy_);
            require_encoder(policy_.parts);
            require_finite_weights(policy_);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument("zprl: " + bundle.folder() + "/" + name + " cannot run: " + error.what());
        }

        const Contract& c = bundle.contract();
        require_equal(name, "observation width", policy_.obs_dim, c.obs_dim);
        require_equal(name, "action width", policy_.action_dim, c.action_dim);
        require_equal(name, "horizon", policy_.horizon, c.horizon);
        require_equal(name, "latent width", policy_.latent_dim, c.latent_dim);
        require_equal(name, "number of actors", policy_.steered ? 1 : 0, c.steered ? 1 : 0);
        if (policy_.steered) {
            // The contract's number has been through JSON.
            const float scale = policy_.residual_scale[0];
            if (!(scale - c.residual_scale <= 1e-6f * scale && c.residual_scale - scale <= 1e-6f * scale)) {
                require_equal(name, "residual scale", scale, c.residual_scale);
            }
        }
        workspace_.resize(workspace_floats(policy_, 1));
    }

    const char* name() const override { return policy_.dtype == Dtype::kFloat32 ? "native" : "native_bf16"; }

    void plan(const Observation& obs, float* chunk, float* mean, float* decoded) override {
        policy_step(policy_, obs.state, nullptr, noise_.empty() ? nullptr : noise_.data(), nullptr, 1, chunk,
                    workspace_.data(), {mean, decoded});
    }

 private:
    std::optional<BlobMemory> blob_;
    std::vector<float> noise_, workspace_;
    Policy policy_;
};

}  // namespace

const std::string& native_file(const Bundle& bundle) {
    const std::vector<ObservationGroup>& images = bundle.contract().images;
    if (images.empty()) return bundle.file_of_kind("native");
    throw std::invalid_argument("zprl: the policy of the bundle " + bundle.folder() + " sees the image " +
                                images.front().name +
                                ", and our core has no encoder of images; use the back end torch (zprl_run --backend "
                                "torch).");
}

std::unique_ptr<Backend> make_native_backend(const Bundle& bundle) { return std::make_unique<NativeBackend>(bundle); }

}  // namespace zprl
