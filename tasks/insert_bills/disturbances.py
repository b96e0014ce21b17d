# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A stress test that the paper puts its real wallet to, as far as it is published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from zprl.envs.task_env import TaskEnv
from zprl.robustness.disturbances import Disturbance, Draws, Signal
from zprl.spec import TaskSpec


@dataclass(frozen=True)
class WalletShift(Disturbance):
    """The wallet is shifted once, horizontally in a random direction, as soon as its flap has been opened."""

    unit: ClassVar[str] = "m"

    distance: float = 0.02
    """How far [m]."""

    angle: float = 0.3
    """Angle of an open flap [rad]."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`zprl.robustness.disturbances.Disturbance.start`."""
        turn = 2.0 * math.pi * draws.uniform(1)[:, 0]
        change = self.distance * torch.stack([turn.cos(), turn.sin()], dim=1)
        done = torch.zeros(len(turn), dtype=torch.bool, device=turn.device)

        def disturb(env: TaskEnv) -> None:
            wallet = env.unwrapped.scene["wallet"]  # type: ignore[attr-defined]
            now = (wallet.data.joint_pos.torch[:, 0] > self.angle) & ~done
            done.logical_or_(now)
            rows = torch.nonzero(now).flatten()
            if len(rows):
                pose = wallet.data.root_link_pose_w.torch[rows].clone()
                pose[:, :2] += change[rows]
                wallet.write_root_pose_to_sim_index(root_pose=pose, env_ids=rows.tolist())

        return Signal(disturb=disturb)


DISTURBANCES: dict[str, Disturbance] = {"disturbance": WalletShift()}
"""What the task brings along, by the names under which the paper has them."""
