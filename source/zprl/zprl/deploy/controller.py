# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An exported policy in a control loop: the C++ controller of csrc/runtime, over NumPy arrays and without torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zprl.utils.errors import ZprlError, first_line
from zprl.utils.native import native_core

if TYPE_CHECKING:
    from zprl._core import ControllerStatus


@dataclass(frozen=True)
class ControllerCfg:
    """Settings of :class:`ChunkController`. A control step is the contract's period."""

    execute_steps: int = 0
    """Number of actions Ta of a chunk that are executed before the next one [control steps]; 0 for the contract's."""

    blend_steps: int = 0
    """Length of the cross-fade from one chunk to the next [control steps], at most Ta; 0 hands over at once."""

    asynchronous: bool = False
    """Whether a thread plans the next chunk while the old one goes on; otherwise :meth:`ChunkController.step` does."""

    lead_steps: int = 1
    """With asynchronous planning: steps from an observation to the takeover of its chunk [control steps].

    Ta + lead_steps must not exceed the horizon.
    """

    range_margin: float = 0.5
    """How far an observation may be outside of training's range, as a part of the range's width; infinite: any."""

    range_slack: float = 0.01
    """The same in the observation's own unit, in addition, for elements that never moved."""

    on_not_finite: str = "continue"
    """What happens if an observation holds NaN or infinity; see :attr:`on_out_of_range`.

    "report" is as "continue" here, since nothing can be planned from it.
    """

    on_out_of_range: str = "hold"
    """What happens if an observation is out of training's range.

    "report" (a flag, nothing else), "continue" (the old chunk to its end, then hold), "hold" (the safe action of the
    contract at once, and a new plan afterwards) or "stop" (hold until :meth:`ChunkController.reset`).
    """

    rate_margin: float = 2.0
    """Largest change of an action from one step to the next, of the largest one in training; infinite: any.

    For 20 steps from a reset, and from where a hold begins or ends, it lets the action reach the wanted one by then.
    """

    stale_steps: float = 3.0
    """Time between two steps after which the chunk is stale [control steps], at least 1; infinite: never.

    The step that comes late holds, since its observation may be as old, and the next one plans anew.
    """


class ChunkController:
    """One observation in and one action out at every control step.

    csrc/runtime/chunk_controller.h describes what it does in every case: planning, hand-over, faults and limits. Robots
    with a control loop in C++ use that class; this one is the same code, for loops in Python.

    Args:
        bundle: Folder that ``scripts/export.py`` wrote.
        cfg: Settings.

    Raises:
        ZprlError: If the bundle is missing, truncated, altered or damaged, its policy sees images, this processor
            cannot run it, or a setting does not fit its contract.
    """

    def __init__(self, bundle: str | os.PathLike[str], cfg: ControllerCfg | None = None) -> None:
        with _as_zprl_error():
            self._controller = native_core().ChunkController(os.fspath(bundle), **asdict(cfg or ControllerCfg()))
        self.period: float = self._controller.period
        """Time between two steps [s]."""
        self.obs_dim: int = self._controller.obs_dim
        """Width of the observation D."""
        self.action_dim: int = self._controller.action_dim
        """Width of the action A."""

    @property
    def planning(self) -> bool:
        """Whether the planning thread is at work."""
        return self._controller.planning

    @property
    def last_error(self) -> str:
        """Why planning failed last; empty if it never did."""
        return self._controller.last_error

    def step(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ControllerStatus]:
        """Run one control step.

        Args:
            obs: Raw observation (D,), float32, in the contract's order and units.

        Returns:
            The action (A,), in the contract's units, and what happened. An element that is NaN (flag "no_command") is
            not to be sent: a hold leaves it as it is, and it is not known how that is, as nothing was sent yet.

            * ``flags``: names such as "planned", "holding", "blending", "late", "stale", "observation_out_of_range";
            * ``step``: number of the step, from 0 after a reset;
            * ``chunk_index``: the action's index in its chunk, -1 for a hold;
            * ``observation_index``: first element that is not finite or out of range, -1 if there is none;
            * ``plans``: number of chunks that took over since the reset;
            * ``planning_time``: of the newest chunk [s];
            * ``latent_distance``, ``decoded_distance``: root mean square of (z - mean) / std of its latent before and
              after steering, with the contract's statistics: about 1 in training [dimensionless].

        Raises:
            ZprlError: If the observation has another shape or type.
        """
        with _as_zprl_error():
            return self._controller.step(obs)

    def reset(self, last_action: NDArray[np.float32] | None = None) -> None:
        """Begin a new episode: forget the chunk and a stop. The limit on the change still counts from the last action.

        Args:
            last_action: What the robot was commanded since by others (A,), float32, in the contract's units, NaN where
                it is not known; None if nothing else commanded it.

        Raises:
            ZprlError: If it has another shape or type.
        """
        with _as_zprl_error():
            self._controller.reset(last_action)


@contextlib.contextmanager
def _as_zprl_error() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ZprlError(first_line(error).removeprefix("zprl: ")) from error
