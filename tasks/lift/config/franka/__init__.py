# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The Franka Panda lifts a cube."""

import gymnasium as gym

from . import agents

gym.register(
    id="Zprl-Lift-Franka",
    entry_point="isaaclab.envs:ManagerBasedRLEnv",
    disable_env_checker=True,
    kwargs={
        "env_cfg_entry_point": f"{__name__}.env_cfg:FrankaLiftEnvCfg",
        "rsl_rl_cfg_entry_point": f"{agents.__name__}.rsl_rl_ppo_cfg:LiftPPORunnerCfg",
        "zprl_cfg_entry_point": f"{agents.__name__}.zprl_cfg:LiftZprlRunnerCfg",
        "expert_entry_point": f"{__name__}.expert:LiftExpertCfg",
        "default_agent": "rsl_rl",
    },
)
