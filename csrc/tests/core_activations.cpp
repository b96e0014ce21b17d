// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// The activations in double precision against the standard library, on this file's instruction set.

#include <cmath>

#include "core_checks.h"
#include "core_support.h"
#include "cpu/activations.h"

namespace core_check {

// cpu/activations.h promises 1e-10 of |x| or of 1.
void check_activations() {
    using Function = zprl::DoubleVec (*)(zprl::DoubleVec);
    const struct {
        const char* name;
        Function function;
        double (*truth)(double);
    } functions[] = {
        {"silu", [](zprl::DoubleVec v) { return zprl::silu(v); }, [](double x) { return x / (1.0 + std::exp(-x)); }},
        {"mish", [](zprl::DoubleVec v) { return zprl::mish(v); },
         [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
        {"gelu", [](zprl::DoubleVec v) { return zprl::gelu(v); },
         [](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }},
        {"elu", [](zprl::DoubleVec v) { return zprl::elu(v); }, [](double x) { return x > 0.0 ? x : std::expm1(x); }},
        {"relu", [](zprl::DoubleVec v) { return zprl::relu(v); }, [](double x) { return x > 0.0 ? x : 0.0; }},
        {"tanh", [](zprl::DoubleVec v) { return zprl::tanh(v); }, [](double x) { return std::tanh(x); }},
    };
    for (const auto& f : functions) {
        const auto check = [&](double x) {
            const double result = f.function(zprl::broadcast(x))[0];
            const double error = std::abs(result - f.truth(x));
            require(error <= 1e-10 * std::max(1.0, std::abs(x)), text("%s(%.17g) is off by %.1e", f.name, x, error));
        };
        for (int i = -60000; i <= 60000; ++i) check(i * 5e-4);
        for (const double x : {-1e30, -1000.0, -700.5, 700.5, 1000.0, 1e30}) check(x);
        require(std::isnan(f.function(zprl::broadcast(std::nan("")))[0]), text("%s loses NaN", f.name));
    }
}

}  // namespace core_check
