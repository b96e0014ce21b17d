# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What scripts/verify_gpu.sh runs: everything that can only be checked on a machine with an NVIDIA GPU.

It needs this repository, or the folder that ``scripts/verify_gpu.sh --pack`` makes of it, and nothing but the standard
library; what the checks themselves need is asked for check by check.
"""
