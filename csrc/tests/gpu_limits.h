// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of gpu_driver: how many clusters of blocks run at once, which depends on the chip at hand.

#pragma once

namespace gpu_driver {

// The most clusters of so many blocks that the current device runs at once if each block has a multiprocessor to
// itself, by taking all of its shared memory; 0 if it runs none.
int active_clusters(int cluster_size);

}  // namespace gpu_driver
