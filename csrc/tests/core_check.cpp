// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the policy step's core, without torch and Python, so that it runs under the compiler's sanitizers.
//
//   core_check                   the activations, and many odd shapes against a step in double precision, written here
//                                a second time
//   core_check fuzz SEED COUNT   damaged policy blobs: each is refused with std::invalid_argument, or runs
//
// It runs the instruction set that ZPRL_CPU chooses. Every input, output, blob and workspace lies in a heap allocation
// of its own that ends with its last byte, so that AddressSanitizer sees any access beyond it; without it, guard bytes
// show the writes. Exit status 1 and one line on stderr if something is wrong.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "core_checks.h"

int main(int argc, char** argv) {
    try {
        if (argc == 1) {
            core_check::check_activations();
            return core_check::check_shapes();
        }
        if (argc == 4 && std::strcmp(argv[1], "fuzz") == 0) {
            return core_check::fuzz(std::strtoull(argv[2], nullptr, 10), std::strtol(argv[3], nullptr, 10));
        }
        std::fprintf(stderr, "usage: core_check [fuzz SEED COUNT]\n");
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "core_check: %s\n", error.what());
    } catch (...) {
        std::fprintf(stderr, "core_check: something other than a standard exception was thrown\n");
    }
    return 1;
}
