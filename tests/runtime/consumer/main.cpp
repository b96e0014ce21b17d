// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The smallest control loop: consumer BUNDLE prints the actions of ten steps for an observation of zeros.

#include <zprl/backend.h>
#include <zprl/bundle.h>
#include <zprl/chunk_controller.h>
#include <zprl/realtime.h>

#include <cstdio>
#include <exception>
#include <vector>

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        const zprl::Bundle bundle(argv[1]);
        const zprl::Contract& contract = bundle.contract();
        zprl::ControllerOptions options;
        options.blend_steps = 1;
        zprl::ChunkController controller(contract, zprl::make_native_backend(bundle), options);
        for (const std::string& problem : zprl::make_realtime()) std::fprintf(stderr, "note: %s\n", problem.c_str());

        std::vector<float> obs(contract.obs_dim, 0.0f), action(contract.action_dim);
        for (int i = 0; i < 10; ++i) {  // every contract.period seconds
            const zprl::Status status = controller.step(obs.data(), action.data());
            std::printf("%d %d", static_cast<int>(status.step), status.chunk_index);
            for (const float value : action) std::printf(" %.9g", static_cast<double>(value));
            std::printf("\n");
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
    return 0;
}
