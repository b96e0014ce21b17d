# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Registration of the tasks, with the two learners that each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gymnasium

if TYPE_CHECKING:
    from isaaclab_rl.rsl_rl import RslRlOnPolicyRunnerCfg

    from zprl.rl.runner_cfg import ZprlRunnerCfg


def register_task(task: str, *, suites: Sequence[str] = (), **entry_points: str) -> None:
    """Register a manager-based task, with a ZPRL learner and with PPO from scratch to compare with.

    Args:
        task: Task id, such as "Zprl-Lift-Franka". The learners' experiments bear its name.
        suites: Suites that the task belongs to: tasks that studies compare methods on, by ``--suite NAME``.
        **entry_points: ``env_cfg_entry_point``, ``expert_entry_point`` if the task has an expert, and learners' of its
            own, each as "module:class"; ``disturbances_entry_point``, if it brings disturbances along, as "module:name"
            of a dictionary of them by name.
    """
    name = task.lower().replace("-", "_")

    def zprl_cfg() -> ZprlRunnerCfg:
        from zprl.rl.runner_cfg import ZprlRunnerCfg

        return ZprlRunnerCfg(experiment_name=name)

    def rsl_rl_cfg() -> RslRlOnPolicyRunnerCfg:
        return _ppo_from_scratch(f"{name.removeprefix('zprl_')}_ppo")

    gymnasium.register(
        id=task,
        entry_point="isaaclab.envs:ManagerBasedRLEnv",
        disable_env_checker=True,
        kwargs={
            "rsl_rl_cfg_entry_point": rsl_rl_cfg,
            "zprl_cfg_entry_point": zprl_cfg,
            "default_agent": "rsl_rl",
            "suites": tuple(suites),
            **entry_points,
        },
    )


def register_gymnasium_task(task: str, *, suites: Sequence[str] = (), **entry_points: str) -> None:
    """Register a task whose worlds are Gymnasium environments; see :class:`zprl.sim.gymnasium.WorldsCfg`.

    Args:
        task: Task id.
        suites: See :func:`register_task`.
        **entry_points: ``worlds_cfg_entry_point``, ``zprl_cfg_entry_point`` and ``expert_entry_point`` if the task has
            an expert, each as "module:class".
    """
    gymnasium.register(
        id=task,
        entry_point="zprl.sim.gymnasium.settings:make_registered",
        disable_env_checker=True,
        kwargs={"suites": tuple(suites), **entry_points},
    )


def _ppo_from_scratch(experiment_name: str) -> RslRlOnPolicyRunnerCfg:
    """Return settings of plain PPO, which sees the sparse reward only, without demonstrations."""
    import torch

    from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

    return RslRlOnPolicyRunnerCfg(
        # Isaac Lab passes --device to the environment only, so the default must fit a machine without a GPU.
        device="cuda:0" if torch.cuda.is_available() else "cpu",
        num_steps_per_env=24,
        max_iterations=1500,
        save_interval=100,
        experiment_name=experiment_name,
        obs_groups={"actor": ["policy"], "critic": ["policy"]},
        actor=RslRlMLPModelCfg(
            hidden_dims=[256, 128, 64],
            activation="elu",
            obs_normalization=True,
            distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=1.0),
        ),
        critic=RslRlMLPModelCfg(hidden_dims=[256, 128, 64], activation="elu", obs_normalization=True),
        algorithm=RslRlPpoAlgorithmCfg(
            value_loss_coef=1.0,
            use_clipped_value_loss=True,
            clip_param=0.2,
            entropy_coef=0.006,
            num_learning_epochs=5,
            num_mini_batches=4,
            learning_rate=1.0e-4,
            schedule="adaptive",
            gamma=0.98,
            lam=0.95,
            desired_kl=0.01,
            max_grad_norm=1.0,
        ),
    )
