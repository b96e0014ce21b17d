# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The stress tests that the paper puts its real box to, as far as they are published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from zprl.robustness.disturbances import Disturbance, KickOrShift, Undisturbed
from zprl.tasks.open_box.open_box_env_cfg import FRICTION


@dataclass(frozen=True)
class OutOfRange(Undisturbed):
    """Boxes stand further from the middle of where the policy has seen them, and are turned by more."""

    amount: float = 0.6
    """By how much the ranges of x, y and yaw are wider, as a share of their widths; the middle stays."""

    def configure(self, env_cfg: Any) -> None:
        """See :meth:`zprl.robustness.disturbances.Disturbance.configure`."""
        params = env_cfg.events.reset_object.params
        for name in ("x_range", "y_range", "yaw_range"):
            low, high = params[name]
            more = 0.5 * self.amount * (high - low)
            params[name] = (low - more, high + more)


KICKED = 0.03
"""How far a kicked box slides along x or y if nobody holds it [m]; between them, where MuJoCo's pyramid of friction is
weaker, it slides by up to 1.4 times that."""

_SPEED = math.sqrt(2.0 * 9.81 * FRICTION * KICKED)

DISTURBANCES: dict[str, Disturbance] = {
    "disturbance": KickOrShift(kick=(_SPEED, _SPEED)),
    "out_of_range": OutOfRange(),
}
"""What the task brings along, by the names under which the paper has them."""
