# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base policies of other frameworks: imported once where the framework is installed, run anywhere without it."""
