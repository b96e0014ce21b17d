# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What every part uses and what knows none of them: errors, files, progress, processes, classes by name."""
