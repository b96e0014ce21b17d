# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Assets authored by this project, offline: no mesh, no network, no third-party licence."""

from pathlib import Path

FRANKA_PANDA_USD = Path(__file__).parent / "data" / "franka_panda.usda"
"""The Franka Panda, as :mod:`zprl.tasks.robots.assets.franka_panda` writes it."""

ADROIT_USDS = {arm: Path(__file__).parent / "data" / f"adroit_{arm}.usda" for arm in ("fixed", "two_axes", "four_axes")}
"""The Adroit hand by the arm that carries it, as :mod:`zprl.tasks.robots.assets.adroit` writes it."""

DUAL_FRANKA_USDS = {
    layout: Path(__file__).parent / "data" / f"dual_franka_{layout}.usda" for layout in ("facing", "side_by_side")
}
"""Two Pandas by how they stand, as :mod:`zprl.tasks.robots.assets.dual_franka` writes them."""

FRANKA_SPATULA_USD = Path(__file__).parent / "data" / "franka_spatula.usda"
"""A Panda with a spatula instead of a gripper, as :mod:`zprl.tasks.robots.assets.franka_spatula` writes it."""
