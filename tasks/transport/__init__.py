# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Hand a hammer from one arm to the other, and clear away what is in its place."""
