# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstrations in LeRobotDatasets of version 3."""

from zprl.data.lerobot.images import ENCODINGS as ENCODINGS
from zprl.data.lerobot.layout import is_lerobot as is_lerobot
from zprl.data.lerobot.reading import read_lerobot as read_lerobot
from zprl.data.lerobot.writing import save_lerobot as save_lerobot
