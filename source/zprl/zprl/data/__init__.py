# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstration data sets."""

from zprl.data.demonstrations import Demonstrations, load_demonstrations

__all__ = ["Demonstrations", "load_demonstrations"]
