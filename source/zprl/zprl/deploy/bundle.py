# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""From a checkpoint to a bundle: a folder with the steered policy in several formats, its contract and its proof."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from zprl.deploy import fidelity
from zprl.deploy.contract import GOLDEN_FILE, Contract, write_contract
from zprl.deploy.contract_parts import BundleFile
from zprl.deploy.describe import build_contract
from zprl.deploy.formats import FORMATS
from zprl.deploy.golden import Recording, record_episodes
from zprl.deploy.load import is_bundle
from zprl.deploy.source import Source as Source
from zprl.envs.description import describe_env
from zprl.envs.task_env import TaskEnv
from zprl.policies.native.library import multiplies_bfloat16
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write, checksum, naming_errors
from zprl.utils.folders import check_replaceable, replace_folder

RECORDING_WORLDS = 8
RECORDING_SEED = 300_000
"""Seed of the recorded episodes, apart from those of training and evaluation."""
RANDOM_CASES = 1000
"""Number of random observations that every format is checked on, beside the recorded ones."""


@dataclass(frozen=True)
class Exported:
    """A bundle that was written.

    Attributes:
        folder: The bundle.
        contract: Its contract, without files.
        recording: Its recorded episodes.
        errors: A table of its formats' errors.
    """

    folder: Path
    contract: Contract
    recording: Recording
    errors: str


def export_policy(
    env: TaskEnv,
    source: Source,
    output: Path,
    kinds: Sequence[str],
    precision: str = "float32",
    seed: int = RECORDING_SEED,
    force: bool = False,
) -> Exported:
    """Let a policy act, describe it, and write it as a bundle, which is verified before it gets its name.

    Args:
        env: An environment of its task.
        source: The policy.
        output: Folder to make, or with ``force`` to replace.
        kinds: Formats, keys of :data:`zprl.deploy.formats.FORMATS`; what the native core cannot run is left out, with
            a line on stderr.
        precision: "float32" or "bfloat16", of the native formats.
        seed: Seed of the recorded episodes.
        force: Whether a bundle that is there is replaced.

    Raises:
        ZprlError: If the policy does not fit the task, nothing can be exported, the folder cannot be written, or a
            file that was written does not reproduce the policy.
    """
    check_output(output, force)
    kinds = runnable_kinds(source, list(kinds), precision)
    env.spec.require_match(source.spec, f"the policy {source.path}")
    reference = source.reference()
    recording = record_episodes(env, source, reference, seed)
    contract = build_contract(source, describe_env(env), reference, recording)
    errors = write_bundle(output, source, contract, recording, kinds, precision)
    return Exported(output, contract, recording, errors)


def runnable_kinds(source: Source, kinds: list[str], precision: str) -> list[str]:
    """Leave out what runs on our own core if that does not know the policy's parts, with one line on stderr.

    Raises:
        ZprlError: If nothing is left, or this processor cannot run the precision.
    """
    native = [kind for kind in kinds if FORMATS[kind].native]
    if not native:
        return kinds
    try:
        source.blob("float32")
    except ZprlError as error:
        left = [kind for kind in kinds if kind not in native]
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


def check_output(path: Path, force: bool) -> Path:
    """Check that a bundle can be written to a folder, which may exist if it is empty, or with ``force`` holds a bundle.

    Raises:
        ZprlError: If it cannot.
    """
    check_replaceable("--output", path, force, is_bundle, "bundle")
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
    output = output.resolve()  # a link stays, and what it leads to is written
    with naming_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent))
    try:
        place.chmod(0o755)
        cases = _make_cases(source, recording)
        if cases.rms == 0.0:
            raise ZprlError(f"the policy {source.path} puts out zeros alone, which prove nothing; train it.")
        kinds, files = list(dict.fromkeys(kinds)), {}
        for kind in kinds:
            form = FORMATS[kind]
            used = precision if form.native else "float32"
            content, limit = form.write(source, used, contract), fidelity.tolerance(contract, used, cases.rms)
            files[form.file] = _add(place / form.file, content, kind, form.needs, used, limit)
        golden = recording.to_bytes()
        files[GOLDEN_FILE] = _add(place / GOLDEN_FILE, golden, "golden", "NumPy or zprl_runtime", "float32", None)
        contract = dataclasses.replace(contract, files=files)
        write_contract(place, contract)
        errors = fidelity.measure_in_fresh_process(place, kinds, cases)
        for kind, problem in fidelity.broken_rules(errors, contract):
            raise ZprlError(f"the exported format {kind} does not reproduce the policy: {problem}.")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        with naming_errors(output, place):
            raise
    try:
        replace_folder(place, output)
    except OSError as error:
        raise ZprlError(
            f"the bundle is complete and verified, but {output} cannot be replaced ({error.strerror}); it lies in "
            f"{place}: move it yourself."
        ) from error
    return fidelity.error_table([cases.compare("Python policy", cases.python, cases.python), *errors], cases.rms)


@torch.inference_mode()
def _make_cases(source: Source, recording: Recording) -> fidelity.Cases:
    """Return the recorded observations and random ones, with what the policy does.

    Random vectors lie around the normaliser's mean; groups that only the actor sees, and images, are random like the
    recorded ones.
    """
    recorded = {name: torch.from_numpy(value) for name, value in recording.planned_on().items()}
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(RANDOM_CASES, source.policy.obs_dim, generator=generator)
    random = source.by_group(source.policy.obs_normalizer.inverse(noise))
    others = {name: value for name, value in recorded.items() if name not in random}
    random |= fidelity.random_like(others, RANDOM_CASES, generator)
    obs = {name: torch.cat([recorded[name], random[name].cpu()]) for name in source.groups}
    count, reference = len(recording.plan_step) + RANDOM_CASES, source.reference()
    # In parts: the maps of many images at once are large.
    truth = torch.cat([reference(*(v[i : i + 256] for v in obs.values())) for i in range(0, count, 256)])
    rows = ({name: value[i : i + 1] for name, value in obs.items()} for i in range(count))
    return fidelity.Cases(obs, truth, torch.cat([source.python(row) for row in rows]))


def _add(path: Path, content: bytes, kind: str, needs: str, precision: str, limit: list[float] | None) -> BundleFile:
    with atomic_write(path) as file:
        file.write(content)
    return BundleFile(kind, needs, precision, limit, len(content), checksum(path))
