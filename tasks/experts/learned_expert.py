# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An expert that reinforcement learning made, for what no script survives: the tasks with a hand.

Its actor is a small file, which ``scripts/train_expert.py`` makes anew. The expert sees what the policy sees, without
noise. Imperfect demonstrations come from noise on its actions, as those of a scripted expert do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rsl_rl.modules import MLP, EmpiricalNormalization
from torch import nn

from zprl.tasks.experts.expert import Expert
from zprl.tasks.experts.noise import ActionNoise
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.tensor_files import load_tensors, require_finite, save_tensors

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.tasks.experts.learned_expert_cfg import LearnedExpertCfg

KIND, VERSION = "zprl-expert", 1
"""What the files are; see :mod:`zprl.utils.tensor_files`."""

GROUP = "policy"
"""The observation group that the actor sees."""


@dataclass
class ExpertActor:
    """An actor and where it comes from.

    Attributes:
        terms: The observation terms that it sees, in order, with their sizes.
        num_actions: Elements of an action.
        hidden_dims: Widths of the hidden layers.
        activation: Activation between them, as rsl_rl names it.
        weights: State of the normalisation and of the layers, as rsl_rl's ``MLPModel`` names them.
        provenance: How it was made.
    """

    terms: dict[str, int]
    num_actions: int
    hidden_dims: list[int]
    activation: str
    weights: dict[str, torch.Tensor]
    provenance: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it to a file, which is complete or absent.

        Raises:
            ZprlError: If a weight is not finite.
        """
        require_finite(self.weights, f"the expert {path} would hold")
        content = {**vars(self), "terms": [[name, size] for name, size in self.terms.items()]}
        save_tensors(path, content, KIND, VERSION)

    @classmethod
    def load(cls, path: Path) -> ExpertActor:
        """Read it from a file.

        Raises:
            ZprlError: If the file is missing, damaged or another one.
        """
        content = load_tensors(path, KIND, "expert", VERSION)
        try:
            actor = cls(**{**content, "terms": {str(name): int(size) for name, size in content["terms"]}})
            actor.network()
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ZprlError(f"the expert {path} is not well-formed ({first_line(error)}); make it again.") from error
        require_finite(actor.weights, f"the expert {path} holds")
        return actor

    def network(self) -> nn.Sequential:
        """Return the network, from observations (n, sum of the terms' sizes) to actions (n, num_actions)."""
        size = sum(self.terms.values())
        with torch.device("meta"):  # whatever sizes a file declares, it gets no more memory than it has numbers
            mlp = MLP(size, self.num_actions, self.hidden_dims, self.activation)
            network = nn.Sequential(EmpiricalNormalization(size), mlp)
        names = {"obs_normalizer": "0", "mlp": "1"}
        parts = [(name.partition("."), tensor) for name, tensor in self.weights.items()]
        network.load_state_dict({f"{names[part]}.{rest}": tensor for (part, _, rest), tensor in parts}, assign=True)
        return network.eval().requires_grad_(False)


def observation_terms(env: ManagerBasedRLEnv) -> dict[str, int]:
    """Return the terms of the group that experts see, in order, with their sizes."""
    manager = env.observation_manager
    sizes = [int(torch.Size(shape).numel()) for shape in manager.group_obs_term_dim[GROUP]]
    return dict(zip(manager.active_terms[GROUP], sizes, strict=True))


class LearnedExpert(Expert):
    """Acts as its actor does on average, plus correlated noise for quality "mixed"; see :class:`Expert`.

    Args:
        cfg: The task's expert.
        env: The environment.
        quality: "expert" or "mixed".
        seed: Seed of the noise.

    Raises:
        ZprlError: If the actor's file cannot be read, or was made for other observations or actions.
    """

    def __init__(self, cfg: LearnedExpertCfg, env: ManagerBasedRLEnv, quality: str = "expert", seed: int = 0) -> None:
        self._env = env
        actor = ExpertActor.load(Path(cfg.actor_file))
        there = (observation_terms(env), env.action_manager.total_action_dim)
        if (actor.terms, actor.num_actions) != there:
            raise ZprlError(
                f"the expert {cfg.actor_file} was made for other observations or actions than the task has now; make "
                "it again with scripts/train_expert.py."
            )
        self._network = actor.network().to(env.device)
        self._terms: list[Any] = env.observation_manager._group_obs_term_cfgs[GROUP]
        generator = torch.Generator(device=env.device).manual_seed(seed)
        self._noise = ActionNoise(cfg.noise(quality), (env.num_envs, actor.num_actions), generator)
        self.reset(torch.arange(env.num_envs, device=env.device))

    def reset(self, env_ids: torch.Tensor) -> None:
        """See :meth:`Expert.reset`."""
        self._noise.restart(env_ids)

    def act(self) -> torch.Tensor:
        """See :meth:`Expert.act`."""
        seen = torch.cat([term.func(self._env, **term.params) for term in self._terms], dim=1)
        return (self._network(seen) + self._noise.step()).clamp(-1.0, 1.0)
