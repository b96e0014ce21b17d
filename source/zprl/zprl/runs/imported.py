# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base policies of other frameworks in a task: what of it they see, their bottleneck, and the file that a run keeps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zprl.data import Demonstrations, load_demonstrations
from zprl.data.lerobot.layout import STATE
from zprl.data.names import SETTING
from zprl.policies import ImportedPolicy, make_base_policy
from zprl.policies.base import window_group
from zprl.policies.imported.base_policy import ImportedBasePolicy
from zprl.policies.imported.bottleneck import ImportedBottleneck, train_bottleneck
from zprl.policies.imported.policy import FILE, load_imported, save_imported
from zprl.runs import paths
from zprl.spec import TaskSpec, require_task
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, content_key
from zprl.utils.progress import Progress
from zprl.utils.tensor_files import load_tensors, require_finite, save_tensors

if TYPE_CHECKING:
    from zprl.data.names import DatasetNamesCfg
    from zprl.policies.imported.policy import Interface
    from zprl.rl.runner_cfg import ZprlRunnerCfg
    from zprl.runs.session import TaskSession

BOTTLENECK_FILE = "bottleneck.safetensors"
"""Name of the bottleneck's file, beside the policy's."""

_KIND, _VERSION = "zprl-imported-bottleneck", 1


def bind(
    interface: Interface, spec: TaskSpec, names: DatasetNamesCfg, groups: tuple[str, ...], what: str
) -> dict[str, Any]:
    """Return what a policy sees and does in a task, as :func:`make_imported` takes it: ``spec`` and ``columns``.

    Args:
        interface: What the policy sees and does.
        spec: The task's spec.
        names: What the task's configuration says of names; without features, what the policy's data set said.
        groups: Observation groups whose states stand under "observation.state" if nobody says anything.
        what: What the policy is, for error messages.

    Raises:
        ZprlError: If it belongs to another task, or sizes or the control period differ.
    """
    if interface.task:
        require_task(spec.task, interface.task, what)
    if abs(interface.frequency * spec.step_dt - 1.0) > 1e-6:
        raise ZprlError(
            f"{what} acts at {interface.frequency} Hz, and task {spec.task} runs at {1.0 / spec.step_dt:g} Hz; use "
            "another one, or change the task's control period."
        )
    if interface.action_size != spec.action_dim:
        raise ZprlError(
            f"{what} acts by {interface.action_size} numbers, and task {spec.task} by {spec.action_dim}: "
            f"{', '.join(map(str, spec.actions))}; train one on actions of this task."
        )
    given: Mapping[str, Any] = names.features or interface.features
    if not given:
        states = [f.name for name in groups for f in spec.group(name, who=what).features if f.kind == "state"]
        given = {STATE: states}
    columns: dict[str, list[list[str]]] = {}
    for entry in interface.inputs:
        if entry.key not in given:
            raise ZprlError(
                f"{what} sees {entry.key}, {entry.size} numbers, and nothing says which terms of task {spec.task} that "
                f"are; say it by {SETTING}.features."
            )
        places = []
        for term in given[entry.key]:
            place = spec.find(term)
            if place is None:
                raise ZprlError(
                    f"{what} is to see the term {term} as {entry.key}, which task {spec.task} does not observe as a "
                    f"vector; say by {SETTING}.features what it sees."
                )
            places.append([place[0], term])
        size = sum(
            spec.group(group).slices()[term].stop - spec.group(group).slices()[term].start for group, term in places
        )
        if size != entry.size:
            raise ZprlError(
                f"{what} sees {entry.size} numbers as {entry.key}, and {', '.join(given[entry.key])} of task "
                f"{spec.task} are {size}; say by {SETTING}.features what it sees."
            )
        columns[entry.key] = [[window_group(spec.group(group), interface.history).name, term] for group, term in places]
    used = dict.fromkeys(window for places in columns.values() for window, _ in places)
    windows = {window_group(group, interface.history).name: group for group in spec.vectors}
    seen = tuple(window_group(windows[name], interface.history) for name in used)
    return {"spec": TaskSpec(spec.task, seen, spec.actions, spec.step_dt).to_dict(), "columns": columns}


def bound(session: TaskSession, file: Path, spec: TaskSpec) -> tuple[ImportedPolicy, dict[str, Any]]:
    """Load an imported policy and what belongs to its use in a task, with the bottleneck beside it if there is one.

    Args:
        session: The task.
        file: The policy's file, as it was imported or as :func:`prepare` wrote it.
        spec: The task's spec.

    Raises:
        ZprlError: If it cannot be read or does not fit the task, or the bottleneck is of another policy.
    """
    policy, meta = load_imported(file)
    if not meta:
        cfg = session.agent_cfg
        meta = bind(policy.interface, spec, cfg.dataset_names, cfg.policy.observation_groups, f"the policy {file}")
        beside = file.parent / BOTTLENECK_FILE
        meta["bottleneck"] = load_bottleneck(beside, file, policy).to_dict() if beside.is_file() else None
        meta["imported_sha256"] = checksum(file)
    return policy, meta


def prepare(session: TaskSession, file: Path, spec: TaskSpec) -> Path:
    """Return the file of an imported policy with all that belongs to its use in a task, of which a run keeps a copy.

    Args:
        session: The task.
        file: See :func:`bound`.
        spec: See :func:`bound`.

    Raises:
        ZprlError: If it does not fit the task, or lacks the bottleneck that the method needs.
    """
    policy, meta = bound(session, file, spec)
    _require_bottleneck(session, policy, meta, file)
    if load_imported(file)[1]:
        return file
    key = content_key({"file": meta["imported_sha256"], "columns": meta["columns"], "spec": meta["spec"]})
    if meta["bottleneck"] is not None:
        key += "_" + checksum(file.parent / BOTTLENECK_FILE)[:12]
    path = paths.LOGS / "imported_base" / session.task / key / FILE
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_imported(path, policy, meta)
    return path


def _require_bottleneck(session: TaskSession, policy: ImportedPolicy, meta: Mapping[str, Any], file: Path) -> None:
    from zprl.utils.registry import resolve_class

    knob = resolve_class(session.agent_cfg.steering.class_type, "steering").knob  # type: ignore[attr-defined]
    if knob in ("latent", "embedding") and meta["bottleneck"] is None:
        raise ZprlError(
            f"--method {session.agent_cfg.method} steers by the {knob}, and the imported policy {file} has no "
            f"{BOTTLENECK_FILE} beside it; train one with scripts/pretrain.py --task {session.task} --base "
            f"{file.parent} --dataset_file DATA, or choose --method noise or action_residual."
        )


def windows_of(policy: ImportedPolicy, base: ImportedBasePolicy, demos: Demonstrations) -> tuple[list[Tensor], Tensor]:
    """Return what a policy sees at every step of a data set, and the actions that belong to it.

    At an episode's beginning its first observation, at its ends its first and last action are repeated.

    Args:
        policy: The policy.
        base: The same in the task that the data set is of.
        demos: The data set.

    Returns:
        Raw windows (M, T, D) of each input, and raw chunks (M, horizon, A).
    """
    interface = policy.interface
    parts: list[list[np.ndarray]] = [[] for _ in interface.inputs]
    chunks = []
    places = {group.name: group.slices() for group in demos.spec.groups}
    where = {feature: (group, at) for group, slices in places.items() for feature, at in slices.items()}
    past = np.arange(1 - interface.history, 1)
    ahead = np.arange(-interface.first, interface.horizon - interface.first)
    for episode in demos.episodes:
        steps, last = np.arange(len(episode.actions))[:, None], len(episode.actions) - 1
        for index, entry in enumerate(interface.inputs):
            terms = [where[feature] for _, feature in base.columns[entry.key]]
            values = np.concatenate([episode.observations[group][:, at] for group, at in terms], axis=1)
            parts[index].append(values[np.clip(steps + past, 0, last)])
        chunks.append(episode.actions[np.clip(steps + ahead, 0, last)])
    windows = [torch.from_numpy(np.concatenate(part).astype(np.float32)) for part in parts]
    return windows, torch.from_numpy(np.concatenate(chunks).astype(np.float32))


def pretrain_bottleneck(session: TaskSession, file: Path, dataset: Path, spec: TaskSpec, path: Path) -> None:
    """Train the bottleneck of an imported policy, which stays as it is, and save it.

    Args:
        session: The task.
        file: The policy's file as it was imported.
        dataset: Data set of the task in this project's own form: what the policy was trained on.
        spec: The task's spec.
        path: File to write.

    Raises:
        ZprlError: If the data set does not fit the policy or the task, or training diverges.
    """
    start, cfg = time.perf_counter(), session.agent_cfg
    policy, _ = load_imported(file)
    meta = bind(policy.interface, spec, cfg.dataset_names, cfg.policy.observation_groups, f"the policy {file}")
    base = make_base_policy(policy, {**meta, "bottleneck": None}, session.device)
    assert isinstance(base, ImportedBasePolicy)
    demos = load_demonstrations(dataset)
    require_task(session.task, demos.task, f"the data set {dataset}")
    spec.require_match(demos.spec, f"the data set {dataset}")
    windows, chunks = windows_of(policy, base, demos)
    device = session.device
    with torch.no_grad():
        rows = [[part.to(device) for part in split] for split in zip(*(w.split(256) for w in windows), strict=True)]
        embeddings = torch.cat([policy.embed(part) for part in rows])
    _require_own_data(policy, embeddings, chunks, dataset)
    settings = cfg.imported
    with Progress(settings.num_steps, "training the bottleneck", "step") as progress:

        def advance(step: int, metrics: dict[str, float]) -> None:
            progress.advance(step - progress.done, ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))

        try:
            bottleneck = train_bottleneck(policy, embeddings, chunks.to(device), settings, advance)
        except ValueError as error:
            raise ZprlError(f"the bottleneck cannot be trained on {dataset}: {error}.") from error
    save_bottleneck(path, bottleneck, file, {"dataset_sha256": checksum(dataset), "task": session.task}, cfg)
    found = bottleneck.statistics
    print(
        f"bottleneck: {settings.num_steps} steps in {time.perf_counter() - start:.0f} s on {len(embeddings):,} "
        f"observations, RMS(z) {found['latent_mean_rms']:.2f}, sigma {found['latent_std_rms']:.2f}, decoded condition "
        f"off by RMS {found['recon_error_rms']:.3f} of {found['embedding_rms']:.3f}, written to {path}"
    )


@torch.no_grad()
def _require_own_data(policy: ImportedPolicy, embeddings: Tensor, chunks: Tensor, dataset: Path) -> None:
    """Refuse a data set that the policy cannot have been trained on.

    Its loss on what belongs together is then no lower than on observations with the actions of other ones, from the
    same noise.
    """
    rows = torch.arange(0, len(embeddings), max(1, len(embeddings) // 256), device=embeddings.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = policy.imitation_loss(embeddings[rows], chunks.to(embeddings.device)[rows])
        torch.manual_seed(0)
        shuffled = policy.imitation_loss(embeddings[rows], chunks.to(embeddings.device)[rows.flip(0)])
    if not own < shuffled:
        raise ZprlError(
            f"the data set {dataset} is not what the imported policy was trained on: its actions fit the observations "
            f"no better than those of others (loss {own:.3f} against {shuffled:.3f}); give the policy's own data."
        )


def save_bottleneck(
    path: Path, bottleneck: ImportedBottleneck, file: Path, data: Mapping[str, Any], cfg: ZprlRunnerCfg
) -> None:
    """Save a bottleneck, bound to the SHA-256 of the policy's file.

    Raises:
        ZprlError: If a weight is not finite.
        OSError: If it cannot be written.
    """
    content = {**bottleneck.to_dict(), "base_sha256": checksum(file), "data": dict(data)}
    content["settings"] = class_to_dict(cfg.imported)
    require_finite(content, f"the bottleneck {path} would hold")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, content, _KIND, _VERSION)


def load_bottleneck(path: Path, file: Path, policy: ImportedPolicy) -> ImportedBottleneck:
    """Load the bottleneck of an imported policy.

    Args:
        path: Its file.
        file: The policy's file.
        policy: The policy.

    Raises:
        ZprlError: If it cannot be read, or was trained on another policy.
    """
    content = load_tensors(path, _KIND, "bottleneck", _VERSION)
    require_finite(content, f"the bottleneck {path} holds")
    try:
        expected, found = content["base_sha256"], checksum(file)
        if expected != found:
            raise ZprlError(
                f"the bottleneck {path} was trained on another policy (SHA-256 {expected}) than {file} ({found}); "
                "train it again with scripts/pretrain.py."
            )
        return ImportedBottleneck.from_dict(content, policy.interface.embedding_size)
    except (KeyError, TypeError, ValueError) as error:
        raise ZprlError(f"the bottleneck {path} is malformed ({error}); train it again.") from error
