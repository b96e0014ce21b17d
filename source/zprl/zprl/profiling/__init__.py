# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Profiler of the policy step: its error first, then its speed beside other runtimes and the machine's limits."""
