// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#pragma once

#include <memory>
#include <string>

#include "backend.h"

namespace zprl {

// LibTorch on a TorchScript file of the bundle, on the calling thread: also of policies that see images. It allocates
// in every plan, so it is for programs that have LibTorch anyway, not for hard real time.
//
//   file           "policy.pt" or "policy_portable.pt"
//   torch_library  path of libzprl_torch.so, which policy.pt needs; empty for a file without our operators
//
// It plans a few times on zeros, as PyTorch compiles in the first calls. Throws std::invalid_argument with one sentence
// if a file is missing, damaged, does not load or does not fit the contract.
std::unique_ptr<Backend> make_torch_backend(const Bundle& bundle, const std::string& file,
                                            const std::string& torch_library);

}  // namespace zprl
