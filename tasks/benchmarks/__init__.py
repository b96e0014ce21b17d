# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The benchmarks' own environments, beside this project's tasks of the same kind. None is Isaac Lab's."""
