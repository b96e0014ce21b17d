# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Whether a task's time limit and what is observed go together when something is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def check_time(env: ManagerBasedRLEnv) -> None:
    """Refuse to learn from observations that tell the time, if the time-out is not an end.

    What would have come after the time-out is estimated from the observation at it. A value function that sees the time
    never learns what it is there, and drifts (Pardo et al., arXiv 1712.00378).

    Raises:
        ZprlError: If it is so.
    """
    from isaaclab.envs import mdp

    telling = {mdp.current_time_s, mdp.remaining_time_s}
    manager: Any = env.observation_manager
    for group, terms in manager._group_obs_term_cfgs.items():
        for name, term in zip(manager.active_terms[group], terms, strict=True):
            if term.func in telling and not env.cfg.is_finite_horizon:
                raise ZprlError(
                    f"the observation {group}.{name} tells the time, and the time-out counts as an interruption whose "
                    "value is estimated; set env.is_finite_horizon=True, so that it counts as the end, or leave the "
                    "observation out."
                )
