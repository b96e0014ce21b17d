# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""From a checkpoint to a robot: bundles, their contract, and what happens to a policy outside of its simulator."""
