# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Demonstrations: this project's own, robomimic's and LeRobot's. ``docs/data.md`` says what each form holds."""

from zprl.data.demonstrations import Demonstration as Demonstration
from zprl.data.demonstrations import Demonstrations as Demonstrations
from zprl.data.demonstrations import metadata as metadata
from zprl.data.formats import dataset_checksum as dataset_checksum
from zprl.data.formats import existing_dataset as existing_dataset
from zprl.data.formats import load_demonstrations as load_demonstrations
from zprl.data.formats import says_its_spec as says_its_spec
from zprl.data.formats import write_demonstrations as write_demonstrations
from zprl.data.hdf5 import save_demonstrations as save_demonstrations
from zprl.data.names import DatasetNamesCfg as DatasetNamesCfg
