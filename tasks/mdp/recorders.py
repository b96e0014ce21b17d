# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recorder terms: what a demonstration file holds."""

from __future__ import annotations

import torch

from isaaclab.envs.mdp.recorders.recorders import InitialStateRecorder, PreStepActionsRecorder
from isaaclab.managers.manager_term_cfg import RecorderTermCfg
from isaaclab.managers.recorder_manager import RecorderManagerBaseCfg, RecorderTerm
from isaaclab.utils import configclass


class PreStepObservationTermsRecorder(RecorderTerm):
    """Record the policy's observations before each step, one dataset per term, as robomimic reads them."""

    def record_pre_step(self) -> tuple[str, dict[str, torch.Tensor]]:
        """Return ``obs`` as {term: (num_envs, dim)}."""
        manager = self._env.observation_manager
        dims = [shape[0] for shape in manager.group_obs_term_dim["policy"]]
        parts = self._env.obs_buf["policy"].split(dims, dim=1)  # pyright: ignore[reportAttributeAccessIssue]
        return "obs", dict(zip(manager.active_terms["policy"], parts, strict=True))


class PostStepRewardsRecorder(RecorderTerm):
    """Record the reward after each step."""

    def record_post_step(self) -> tuple[str, torch.Tensor]:
        """Return ``rewards``, shape (num_envs,)."""
        return "rewards", self._env.reward_buf  # pyright: ignore[reportAttributeAccessIssue]


class PostStepDonesRecorder(RecorderTerm):
    """Record whether the episode ended with each step."""

    def record_post_step(self) -> tuple[str, torch.Tensor]:
        """Return ``dones``, shape (num_envs,)."""
        return "dones", self._env.reset_buf.to(torch.uint8)  # pyright: ignore[reportAttributeAccessIssue]


@configclass
class TaskRecorderManagerCfg(RecorderManagerBaseCfg):
    """Initial state, named observations, actions, rewards and dones of every episode."""

    initial_state = RecorderTermCfg(class_type=InitialStateRecorder)
    observations = RecorderTermCfg(class_type=PreStepObservationTermsRecorder)
    actions = RecorderTermCfg(class_type=PreStepActionsRecorder)
    rewards = RecorderTermCfg(class_type=PostStepRewardsRecorder)
    dones = RecorderTermCfg(class_type=PostStepDonesRecorder)
