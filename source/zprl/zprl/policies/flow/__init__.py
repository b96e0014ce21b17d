# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The project's own base policy: a flow-matching policy with a variational bottleneck."""
