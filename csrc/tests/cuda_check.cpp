// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the policy step's CUDA kernels without a GPU: their own source, run on the CPU by cuda_emulation.h.
//
//   cuda_check plan         the planner's promises over a grid of shapes and devices
//   cuda_check pack         packed weights, read back at the places that layout.h names
//   cuda_check noise        the noise of sampled latents, against the CPU's
//   cuda_check emulation    kernels with mistakes, which the emulation must notice
//   cuda_check step [NAME]  whole steps of odd shapes against a step in double precision
//
// Random policies, the reference and the calls are core_check's. Exit status 1 and one line on stderr if something
// is wrong.

#include <string>

#include "core_calls.h"
#include "cuda_check_emulation.h"
#include "cuda_check_mistakes.h"
#include "cuda_check_pack.h"
#include "cuda_check_plan.h"
#include "cuda_check_reference.h"
#include "cuda_check_run.h"
#include "cuda_check_steps.h"
#include "latent_noise.h"

namespace core_check {
namespace {

void check_noise() {
    Random random(3);
    for (int i = 0; i < 10000; ++i) {
        const uint64_t seed = random.bits();
        const uint32_t index = static_cast<uint32_t>(random.below(1000));
        const float cpu = zprl::standard_normal(seed, index), gpu = zprl::standard_normal_inline(seed, index);
        require(same_bits(&cpu, &gpu, 1), "the noise differs from the CPU's");
    }
    std::printf("cuda_check: noise is the CPU's\n");
}

}  // namespace
}  // namespace core_check

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    try {
        if (what == "step") return core_check::check_steps(argc > 2 ? argv[2] : nullptr);
        if (what == "pack") return core_check::check_packing(), 0;
        if (what == "plan") return core_check::check_plans(), 0;
        if (what == "noise") return core_check::check_noise(), 0;
        if (what == "emulation") return core_check::check_emulation(), core_check::check_planted_mistakes(), 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cuda_check: %s\n", error.what());
        return 1;
    }
    std::fprintf(stderr, "usage: cuda_check plan|pack|noise|emulation|step [NAME]\n");
    return 2;
}
