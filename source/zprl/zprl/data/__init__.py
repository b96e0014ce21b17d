# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstration data sets."""

from zprl.data.demonstrations import Demonstration as Demonstration
from zprl.data.demonstrations import Demonstrations as Demonstrations
from zprl.data.demonstrations import load_demonstrations as load_demonstrations
from zprl.data.demonstrations import save_demonstrations as save_demonstrations
