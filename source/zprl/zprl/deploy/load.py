# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Opening a bundle in Python, in any of its formats, with one interface."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zprl.deploy.contract import CONTRACT_FILE, Contract, read_contract, read_verified
from zprl.deploy.contract_parts import ObservationGroup
from zprl.deploy.formats import FORMATS, Model
from zprl.spec import ActionTerm, Feature, Group, Observations, TaskSpec
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from _typeshed import StrPath

    from zprl.evaluation.rollout import ChunkPlanner


@dataclass
class Bundle:
    """An exported policy, ready to act on the CPU.

    Attributes:
        folder: The bundle.
        contract: Its contract.
        kind: Format that is loaded, a key of :data:`zprl.deploy.formats.FORMATS`.
        model: The steered policy, for a batch.
        base_model: The base policy, or None if the format does not hold it.
    """

    folder: Path
    contract: Contract
    kind: str
    model: Model
    base_model: Model | None = None

    @property
    def spec(self) -> TaskSpec:
        """Spec of the task that the policy was exported for, as far as its contract knows it.

        A contract knows features as vectors or images, tracks no points, and knows no idle value of an action that is
        held by repeating it, for which 0 stands here.
        """
        return _spec(self.contract, {})

    def require_match(self, spec: TaskSpec) -> None:
        """Check that the policy fits a task.

        Raises:
            ZprlError: If it was exported for other observations, actions or another control period.
        """
        idle = {(term.name, i): value for term in spec.actions for i, value in enumerate(term.idle)}
        flat = TaskSpec(spec.task, tuple(map(_flat, spec.groups)), spec.actions, spec.step_dt)
        flat.require_match(_spec(self.contract, idle), f"the bundle {self.folder}")

    def planners(self, spec: TaskSpec) -> dict[str, ChunkPlanner]:
        """Return what an evaluation runs: ``base``, if the format holds it, and ``steered``, if the policy is.

        Args:
            spec: Spec of the environment that they will act in.

        Raises:
            ZprlError: If the policy was exported for another one.
        """
        self.require_match(spec)
        if self.contract.policy == "base":
            return {"base": _Planner(self, self.act)}
        base: dict[str, ChunkPlanner] = {"base": _Planner(self, self.act_base)} if self.has_base else {}
        return base | {"steered": _Planner(self, self.act)}

    @property
    def has_base(self) -> bool:
        """Whether :meth:`act_base` can be called."""
        return self.base_model is not None

    def act(self, obs: Observations | Tensor) -> Tensor:
        """Plan action chunks.

        Rows are computed one by one, so that a row's chunk does not depend on the rows beside it.

        Args:
            obs: Raw observations by group, in the contract's order and units: vectors (N, D) and images (N, ...). Of a
                policy with one group its tensor will do.

        Returns:
            Chunks (N, H, A), in the contract's order and units.

        Raises:
            ZprlError: If the observations lack a group or have another shape.
        """
        return self._by_rows(self.model, obs)

    def act_base(self, obs: Observations | Tensor) -> Tensor:
        """What the base policy, which is frozen inside of a steered one, would do; see :meth:`act`.

        Raises:
            ZprlError: If the format does not hold it, or the observations lack a group or have another shape.
        """
        if self.base_model is None:
            having = [kind for kind, form in FORMATS.items() if form.has_base and form.file in self.contract.files]
            raise ZprlError(
                f"the format {self.kind} of the bundle {self.folder} does not hold the base policy; "
                f"{' or '.join(having) or 'none of its formats'} does."
            )
        return self._by_rows(self.base_model, obs)

    def act_batch(self, obs: Observations | Tensor) -> Tensor:
        """:meth:`act` on all rows at once, as fast as the format allows."""
        inputs = self._inputs(obs)
        return self._checked(self.model(*inputs), len(inputs[0]))

    def observe(self, **terms: Tensor) -> Observations:
        """Put observations together from their terms, by name, whatever their order.

        Args:
            terms: Each term of the contract: (N, size) in its unit and frame, or an image (N, ...).

        Returns:
            Observations by group.

        Raises:
            ZprlError: If a term is missing, unknown or of another size.
        """
        groups = self.contract.observation.groups
        shapes = {
            term.name: group.row_shape if group.kind == "image" else (term.size,)
            for group in groups
            for term in group.features
        }
        wrong = sorted(set(shapes) ^ set(terms))
        if wrong:
            what = "lacks" if wrong[0] in shapes else "has the unknown term"
            raise ZprlError(f"the observation {what} {wrong[0]}; its terms are {', '.join(shapes)}.")
        for name, shape in shapes.items():
            if tuple(terms[name].shape[1:]) != shape:
                raise ZprlError(
                    f"the observation term {name} has the shape {tuple(terms[name].shape)} instead of "
                    f"(N, {', '.join(map(str, shape))})."
                )
        return {group.name: torch.cat([terms[term.name] for term in group.features], dim=1) for group in groups}

    def _by_rows(self, model: Model, obs: Observations | Tensor) -> Tensor:
        inputs = self._inputs(obs)
        rows = [model(*(value[i : i + 1] for value in inputs)) for i in range(inputs[0].shape[0])]
        return torch.cat([self._checked(row, 1) for row in rows])

    def _checked(self, chunks: Tensor, rows: int) -> Tensor:
        """Return chunks that a robot can execute."""
        shape = (rows, self.contract.control.horizon, self.contract.action_size)
        problem = None
        if tuple(chunks.shape) != shape:
            problem = f"the shape {tuple(chunks.shape)} instead of {shape}"
        elif not chunks.isfinite().all():
            problem = "NaN or infinity"
        if problem is not None:
            raise ZprlError(
                f"the format {self.kind} of the bundle {self.folder} puts out {problem}; export the policy again."
            )
        return chunks

    def _inputs(self, obs: Observations | Tensor) -> list[Tensor]:
        """Return the inputs of a model, checked."""
        groups = self.contract.observation.groups
        if isinstance(obs, Tensor):
            if len(groups) != 1:
                names = ", ".join(group.name for group in groups)
                raise ZprlError(f"the policy reads the observation groups {names}; give a dictionary of them.")
            obs = {groups[0].name: obs}
        inputs, rows = [], None
        for group in groups:
            if group.name not in obs:
                raise ZprlError(f"the observation lacks the group {group.name}; it has {', '.join(obs) or 'none'}.")
            value, shape = obs[group.name], group.row_shape
            rows = len(value) if rows is None and value.ndim else rows
            if tuple(value.shape[1:]) != shape or not value.ndim or value.shape[0] != rows or rows == 0:
                terms = ", ".join(f"{term.name}[{term.size}]" for term in group.features)
                raise ZprlError(
                    f"the observation has the shape {tuple(value.shape)} instead of (N, {', '.join(map(str, shape))}); "
                    f"it consists of {terms}."
                )
            dtype = getattr(torch, group.dtype)
            if dtype == torch.uint8 and value.dtype != dtype:
                raise ZprlError(f"the image {group.name} holds {value.dtype} instead of uint8.")
            if value.is_floating_point() and value.isnan().any():
                where = "; give the holes of a depth image a distance" if group.kind == "image" else ""
                raise ZprlError(
                    f"the observation group {group.name} holds NaN, on which no action can be planned{where}."
                )
            inputs.append(value.to("cpu", dtype).contiguous())
        return inputs


class _Planner:
    """A bundle's policy as an evaluation runs it: chunks on the device of the observations."""

    def __init__(self, bundle: Bundle, act: Callable[[Observations], Tensor]) -> None:
        self.execute_steps = bundle.contract.control.execute_steps
        self._groups = [group.name for group in bundle.contract.observation.groups]
        self._act = act

    def __call__(self, obs: Observations, noise: Tensor | None = None) -> Tensor:
        """Return chunks (N, H, A); the flow starts where the bundle says, whatever the noise."""
        seen = {name: obs[name] for name in self._groups}
        return self._act(seen).to(seen[self._groups[0]].device)

    def begin_episodes(self) -> None:
        """Do nothing: an exported policy remembers nothing."""


def _spec(contract: Contract, idle: Mapping[tuple[str, int], float]) -> TaskSpec:
    """Return a contract's spec, where actions that are held by repeating idle at given values, by term and index."""
    terms: dict[str, list[tuple[float, float, float]]] = {}
    for d in contract.action:
        elements = terms.setdefault(d.term, [])
        low, high = -math.inf if d.low is None else d.low, math.inf if d.high is None else d.high
        elements.append((low, high, idle.get((d.term, len(elements)), 0.0) if d.hold is None else d.hold))
    actions = tuple(ActionTerm(name, *zip(*elements, strict=True)) for name, elements in terms.items())
    groups = tuple(map(_spec_group, contract.observation.groups))
    return TaskSpec(contract.task, groups, actions, contract.control.period)


def _spec_group(group: ObservationGroup) -> Group:
    features = []
    for term in group.features:
        shape = tuple(group.shape) if group.kind == "image" else (term.size // group.history,)
        renderer = "" if group.camera is None else group.camera.renderer
        features.append(Feature(term.name, shape, group.kind, group.dtype, group.history, renderer))
    return Group(group.name, tuple(features))


def _flat(group: Group) -> Group:
    """Return a group as a contract knows it."""
    if group.is_image:
        return group
    return Group(group.name, tuple(replace(f, shape=(math.prod(f.shape),)) for f in group.features))


def open_bundle(folder: StrPath, kind: str | None = None) -> Bundle:
    """Open a bundle.

    Args:
        folder: The bundle.
        kind: Format to load, a key of :data:`zprl.deploy.formats.FORMATS`. None takes the first that the bundle has of
            those that only compute: what is a program has to be asked for, as it may be somebody else's.

    Raises:
        ZprlError: If it is no bundle, a file is missing, truncated or altered, the format is unknown or not in it, what
            loads the format is not installed, or all its formats are programs and none is named.
    """
    folder = Path(folder)
    contract = read_contract(folder, verify=False)
    present = [name for name, form in FORMATS.items() if form.file in contract.files]
    if kind is None and present:
        kind = next((name for name in present if not FORMATS[name].is_program), None)
        if kind is None:
            raise ZprlError(
                f"the bundle {folder} holds programs alone ({', '.join(present)}), which can run code of whoever made "
                "it; name one as the format if you trust them."
            )
    if kind not in FORMATS:
        raise ZprlError(f"format {kind!r} is unknown; choose from {', '.join(FORMATS)}.")
    if kind not in present:
        raise ZprlError(f"the bundle {folder} has no format {kind}; it has {', '.join(present)}.")
    form = FORMATS[kind]
    content = read_verified(folder, contract, form.file)
    with torch.inference_mode():
        return Bundle(folder, contract, kind, *form.load(content, folder / form.file, contract))


def is_bundle(path: StrPath) -> bool:
    """Whether a path is a folder with a contract."""
    return (Path(path) / CONTRACT_FILE).is_file()
