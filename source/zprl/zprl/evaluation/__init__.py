# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What an evaluation reports: statistics, the result table and the learning curve."""
