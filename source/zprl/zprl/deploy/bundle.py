# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""From a checkpoint to a bundle: a folder with the steered policy in several formats, its contract and its proof."""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zprl.deploy import formats, verify
from zprl.deploy.contract import CONTRACT_FILE, GOLDEN_FILE, Contract, write_contract
from zprl.deploy.contract_parts import BundleFile
from zprl.deploy.describe import Experience, build_contract, describe_origin
from zprl.deploy.formats import FORMATS
from zprl.deploy.golden import Recording, record_episodes
from zprl.deploy.steered import (
    NativeSteeredPolicy,
    PortableSteeredPolicy,
    SteeredPolicy,
    TorchSteeredPolicy,
    actor_network,
)
from zprl.envs import EnvLayout
from zprl.policies import FlowPolicy
from zprl.policies.native.blob import pack_policy
from zprl.policies.native.library import multiplies_bfloat16
from zprl.rl.actor import make_actor
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.rl.packed_actor import pack_actor
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write, checksum, load_json

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

RECORDING_WORLDS = 8
RECORDING_SEED = 300_000
"""Seed of the recorded episodes, apart from those of training and evaluation."""
RANDOM_CASES = 1000
"""Number of random observations that every format is checked on, beside the recorded ones."""


@dataclass
class Source:
    """What is exported.

    Attributes:
        path: File of the checkpoint or base policy.
        policy: The base policy, with the inference settings of the export.
        meta: What was saved with it.
        residual_scale: Lambda; 0 for a base policy.
        checkpoint: The checkpoint, or None for a base policy.
    """

    path: Path
    policy: FlowPolicy
    meta: dict[str, Any]
    residual_scale: float
    checkpoint: SteeringCheckpoint | None

    def __post_init__(self) -> None:
        self.actor = None if self.checkpoint is None else actor_network(self.checkpoint)

    def blob(self, dtype: str) -> Tensor:
        """Return the native blob, with the actor if there is one."""
        actor = None
        if self.checkpoint is not None:
            actor = pack_actor(make_actor(self.checkpoint), self.residual_scale)
        return pack_policy(self.policy, dtype, actor=actor)

    def reference(self) -> PortableSteeredPolicy:
        """Return the policy in double precision."""
        actor = None if self.actor is None else copy.deepcopy(self.actor).double()
        return PortableSteeredPolicy(copy.deepcopy(self.policy).double(), actor, self.residual_scale).double().eval()

    def portable(self, for_onnx_runtime: bool = False) -> PortableSteeredPolicy:
        """Return the policy in portable operators."""
        return PortableSteeredPolicy(self.policy, self.actor, self.residual_scale, for_onnx_runtime).eval()

    def python(self) -> SteeredPolicy:
        """Return the policy as evaluation runs it, in single precision."""
        try:
            return self.native("float32")
        except ZprlError:
            return TorchSteeredPolicy(self.policy, self.actor, self.residual_scale).eval()

    def native(self, dtype: str) -> NativeSteeredPolicy:
        """Return the policy on the native operators."""
        return NativeSteeredPolicy(self.policy, self.actor, self.residual_scale, dtype).eval()


def runnable_kinds(source: Source, kinds: list[str], precision: str) -> list[str]:
    """Leave out what runs on our own core if that does not know the policy's parts, with one line on stderr.

    Args:
        source: The policy.
        kinds: Formats.
        precision: "float32" or "bfloat16".

    Raises:
        ZprlError: If nothing is left, or this processor cannot run the precision.
    """
    try:
        source.blob("float32")
    except ZprlError as error:
        left = [kind for kind in kinds if not FORMATS[kind].native]
        if not left:
            raise ZprlError(f"no format is left: {error} Choose --portable, onnx or torch_export.") from error
        print(f"warning: only {', '.join(left)} can be exported: {error}", file=sys.stderr, flush=True)
        return left
    if precision == "bfloat16" and not multiplies_bfloat16():
        raise ZprlError(
            "this processor does not multiply bfloat16, so the export could not be checked; export with --precision "
            "float32, or on a processor with AVX512-BF16."
        )
    return kinds


def describe(source: Source, env: ManagerBasedRLEnv, layout: EnvLayout, seed: int) -> tuple[Recording, Contract]:
    """Record episodes of a policy and describe it.

    Args:
        source: The policy.
        env: An environment of its task.
        layout: The task's layout.
        seed: Seed of the recorded episodes.
    """
    reference, checkpoint = source.reference(), source.checkpoint
    recording = record_episodes(env, reference, source.policy.cfg.execute_steps, seed)
    result = source.path.with_name("result.json")
    evaluation = load_json(result, "result") if checkpoint is not None and result.is_file() else None
    if evaluation is not None:
        evaluation.pop("history", None)
    origin = describe_origin(
        source.path,
        checkpoint.env_steps if checkpoint else 0,
        checkpoint.settings.get("physics") if checkpoint else None,
    )
    contract = build_contract(
        env,
        layout,
        source.policy,
        reference,
        Experience(source.meta.get("dataset"), recording),
        source.meta["latent_statistics"]["latent_mean_rms"],
        origin,
        evaluation,
    )
    return recording, contract


def check_output(path: Path, force: bool) -> Path:
    """Check that a bundle can be written to a folder.

    Args:
        path: The folder; it may exist only if it is empty, or with ``force``.
        force: Whether a bundle that is there is replaced.

    Raises:
        ZprlError: If it cannot.
    """
    if path.exists() and not path.is_dir():
        raise ZprlError(f"--output {path} is a file; name a folder.")
    filled = path.is_dir() and any(path.iterdir())
    if filled and not force:
        raise ZprlError(f"--output {path} is not empty; name another folder or pass --force to replace it.")
    if filled and not (path / CONTRACT_FILE).is_file():
        raise ZprlError(f"--output {path} holds no bundle, and --force only replaces one; name another folder.")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        raise ZprlError(f"--output {path} cannot be written: {parent} is not a writable folder.")
    return path


def write_bundle(
    output: Path, source: Source, contract: Contract, recording: Recording, kinds: list[str], precision: str
) -> str:
    """Write, verify and only then name a bundle: the folder is complete and proven, or as it was before.

    Args:
        output: Folder to make or to replace.
        source: The policy.
        contract: Its contract, without files.
        recording: The recorded episodes.
        kinds: Formats.
        precision: "float32" or "bfloat16", of the native formats.

    Returns:
        A table of the formats' errors.

    Raises:
        ZprlError: If a file does not reproduce the policy.
    """
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent))
    try:
        place.chmod(0o755)
        cases = make_cases(source, recording)
        python = verify.FormatError(
            "Python policy", *_errors(cases.python.double() - cases.truth), rows=0.0, python=0.0
        )
        limits = {name: verify.tolerance(contract, name, cases.rms) for name in ("float32", "bfloat16")}
        files: dict[str, BundleFile] = {}
        for kind in dict.fromkeys(kinds):
            form = FORMATS[kind]
            used = precision if form.native else "float32"
            content = encode(source, kind, used, contract)
            files[form.file] = _add(place / form.file, content, kind, form.needs, used, limits[used])
        golden = recording.to_bytes()
        files[GOLDEN_FILE] = _add(place / GOLDEN_FILE, golden, "golden", "NumPy or zprl_runtime", "float32", None)
        write_contract(place, dataclasses.replace(contract, files=files))
        measured = verify.measure_in_fresh_process(place, list(dict.fromkeys(kinds)), cases)
        for error in measured:
            file = files[FORMATS[error.kind].file]
            problem = verify.broken_rule(error, contract, file.tolerance or [], file.precision)
            if problem is not None:
                raise ZprlError(f"the exported format {error.kind} does not reproduce the policy: {problem}.")
        _replace_folder(place, output)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return verify.error_table([python, *measured], cases.rms)


def encode(source: Source, kind: str, precision: str, contract: Contract) -> bytes:
    """Return the content of a format's file.

    Args:
        source: The policy.
        kind: The format.
        precision: Type of the velocity field's weights, for the native formats.
        contract: The contract, which the file carries where it can.
    """
    example = source.policy.obs_normalizer.mean + torch.zeros(2, source.policy.obs_dim)
    if kind == "native":
        return source.blob(precision).numpy().tobytes()
    if kind == "torchscript":
        return formats.write_torchscript(source.native(precision), example, contract)
    if kind == "portable":
        return formats.write_torchscript(source.portable(), example, contract)
    if kind == "onnx":
        return formats.write_onnx(source.portable(for_onnx_runtime=True), example, contract)
    return formats.write_torch_export(source.portable(), example, contract)


@torch.inference_mode()
def make_cases(source: Source, recording: Recording) -> verify.Cases:
    """Return the recorded observations and random ones around the normaliser's mean, with what the policy does."""
    generator = torch.Generator().manual_seed(0)
    random = source.policy.obs_normalizer.inverse(torch.randn(RANDOM_CASES, source.policy.obs_dim, generator=generator))
    obs = torch.cat([torch.from_numpy(recording.obs[recording.plan_step]), random])
    reference, python = source.reference(), source.python()
    return verify.Cases(obs, reference(obs.double()), torch.cat([python(row[None]) for row in obs]))


def _errors(difference: Tensor) -> tuple[float, float]:
    return float(difference.abs().max()), float(difference.square().mean().sqrt())


def _add(path: Path, content: bytes, kind: str, needs: str, precision: str, limit: list[float] | None) -> BundleFile:
    with atomic_write(path) as file:
        file.write(content)
    return BundleFile(kind, needs, precision, limit, len(content), checksum(path))


def _replace_folder(place: Path, output: Path) -> None:
    """Give a complete folder its name. A folder of that name steps aside first and is removed last."""
    aside = None
    if output.is_dir() and any(output.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".old", dir=output.parent))
        os.replace(output, aside)
    os.replace(place, output)
    if aside is not None:
        shutil.rmtree(aside)


def layout_of(source: Source) -> EnvLayout:
    """Return the layout that a policy was made for."""
    return source.checkpoint.layout if source.checkpoint else EnvLayout.from_dict(source.meta["layout"])
