# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Import of LeRobot's DiffusionPolicy, in an environment where LeRobot is installed.

The seams are private names of LeRobot, so the versions that this was written against are pinned, and what is recorded
is compared with the library's own calls before a file is written.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from zprl.policies.imported.policy import ImportedPolicy, Input, Interface
from zprl.policies.imported.program import record
from zprl.policies.imported.sampler import DdimSampler
from zprl.utils.errors import NotInstalledError, ZprlError, first_line
from zprl.utils.files import checksum, load_json, reading
from zprl.utils.strict_json import NUMBER, require_form
from zprl.utils.tensor_files import load_weights

VERSIONS = ("0.6.1",)
"""Versions of LeRobot that this adapter was tested with."""

ROWS = 64
"""Observations on which an imported policy is compared with the library."""

TOLERANCE = 1.0e-5
"""Largest error of an action, in units of the largest action, that an import goes through with."""

PRE, POST = "policy_preprocessor.json", "policy_postprocessor.json"
_STATE, _ENVIRONMENT_STATE, _ACTION = "observation.state", "observation.environment_state", "action"
_FAMILIES = {"diffusion": "DiffusionPolicy"}
_STEPS = {
    PRE: ["rename_observations_processor", "to_batch_processor", "device_processor", "normalizer_processor"],
    POST: ["unnormalizer_processor", "device_processor"],
}
"""What the processors of such a checkpoint do, in order; another list is refused."""

_CONFIG = {"input_features": {}, "output_features": {}, "noise_scheduler_type": str, "num_train_timesteps": int}

_STATISTICS = {"MIN_MAX": ("min", "max"), "MEAN_STD": ("mean", "std")}
"""Statistics that a way of normalising needs."""


class Checkpoint:
    """A checkpoint of LeRobot, looked at without LeRobot.

    Args:
        path: Folder ``pretrained_model`` of a run of ``lerobot-train``, or that of the checkpoint around it.

    Raises:
        ZprlError: If it is no such checkpoint, of a family that is not imported, or lacks its processors.
    """

    def __init__(self, path: Path) -> None:
        inside = path / "pretrained_model"
        self.path = inside if inside.is_dir() else path
        if not (self.path / "config.json").is_file() or not (self.path / "model.safetensors").is_file():
            raise ZprlError(
                f"{path} is no checkpoint of LeRobot: it lacks config.json or model.safetensors; give the folder "
                "pretrained_model that lerobot-train wrote."
            )
        self.config: dict[str, Any] = load_json(self.path / "config.json", "configuration of LeRobot", {"type": str})
        self.family: str = self.config["type"]
        if self.family not in _FAMILIES:
            self.fail(f"is a policy of the type {self.family[:40]}, and imported are {', '.join(_FAMILIES)}")
        for file in (PRE, POST):
            if not (self.path / file).is_file():
                self.fail(
                    f"lacks {file}, in which LeRobot keeps what normalises a policy's inputs and outputs; without it "
                    "the policy would act on other units: convert it by LeRobot's migrate_policy_normalization"
                )

        self._check()

    @property
    def keys(self) -> list[str]:
        """What is normalised: the inputs in the order of the condition, and the actions."""
        return [key for key in (_STATE, _ENVIRONMENT_STATE) if key in self.config["input_features"]] + [_ACTION]

    def _check(self) -> None:
        """Refuse what is not imported, by the policy's configuration."""
        with reading(self.path / "config.json", "configuration of LeRobot"):
            require_form(self.config, _CONFIG)
            for side in ("input_features", "output_features"):
                require_form(self.config[side], {key: {"type": str, "shape": [int]} for key in self.config[side]}, side)
        seen = self.config["input_features"]
        if images := [key for key, feature in seen.items() if feature["type"] == "VISUAL"]:
            self.fail(f"sees the images {', '.join(images)}, and only policies that see states are imported")
        if odd := [key for key in seen if key not in (_STATE, _ENVIRONMENT_STATE)]:
            self.fail(f"sees {odd[0]}, and imported are {_STATE} and {_ENVIRONMENT_STATE}")
        if _STATE not in seen or _ACTION not in self.config["output_features"]:
            self.fail(f"does not see {_STATE} or does not put out {_ACTION}")

    def sampling_steps(self, steps: int | None) -> int:
        """Return the number of steps to sample by.

        Args:
            steps: The number that the user wants, or None.

        Raises:
            ZprlError: If there is no such sampler, or the checkpoint's own is not deterministic.
        """
        scheduler, trained = self.config["noise_scheduler_type"], self.config["num_train_timesteps"]
        if scheduler != "DDIM" and steps is None:
            self.fail(
                f"samples by {scheduler}, which draws noise in every step, so that nothing repeats; pass --steps 10 to "
                "sample the same weights by 10 steps of DDIM"
            )
        count = steps or self.config.get("num_inference_steps") or trained
        if not 0 < count <= trained:
            self.fail(f"was trained with {trained} times, so it is sampled by 1 to {trained} steps, not {count}")
        return count

    def data_folder(self) -> Path | None:
        """Return the data set that it was trained on, if its training says and it is there."""
        if not (self.path / "train_config.json").is_file():
            return None
        training = load_json(self.path / "train_config.json", "training configuration of LeRobot", {})
        root = (training.get("dataset") or {}).get("root")
        return Path(root) if isinstance(root, str) and (Path(root) / "meta/info.json").is_file() else None

    def transform(self, key: str, unnormalised: bool = False) -> dict[str, Any]:
        """Return how the processors normalise a key, by their files.

        Args:
            key: The key.
            unnormalised: Whether it may be that they do not.

        Raises:
            ZprlError: If they do not, or do anything else than is known.
        """
        file, number = (POST, 0) if key == _ACTION else (PRE, 3)
        steps = load_json(self.path / file, "processor of LeRobot", {"steps": [{"registry_name": str, "config": {}}]})[
            "steps"
        ]
        found = [step["registry_name"] for step in steps]
        if found != _STEPS[file]:
            self.fail(f"has the steps {', '.join(found)} in {file}, and known are {', '.join(_STEPS[file])}")
        if file == PRE and steps[0]["config"].get("rename_map"):
            self.fail("renames observations in its preprocessor, which is not imported; rename them in the data set")
        config = steps[number]["config"]
        with reading(self.path / file, "processor of LeRobot"):
            require_form(config, {"features": {}, "norm_map": {}, "eps": NUMBER}, "config")
            require_form(config["features"].get(key, {"type": ""}), {"type": str}, key)
        kind = config["features"].get(key, {"type": ""})["type"]
        mode = config["norm_map"].get(kind, "IDENTITY")
        if mode == "IDENTITY":
            if unnormalised:
                return {"mode": mode}
            self.fail(
                f"does not normalise {key}, of which its normalization_mapping does not speak; train it with "
                f'"{kind}": "MIN_MAX" there, or pass --unnormalised to import it as it is'
            )
        if mode not in _STATISTICS:
            self.fail(f"normalises {key} by {str(mode)[:40]}, and known are {' and '.join(_STATISTICS)}")
        if not (state := steps[number].get("state_file")) or not (self.path / Path(str(state)).name).is_file():
            self.fail(f"lacks the statistics of {file}, without which it would act on raw values")
        weights = load_weights(self.path / Path(str(state)).name, "statistics of LeRobot")
        names = [f"{key}.{name}" for name in _STATISTICS[mode]]
        if missing := [name for name in names if name not in weights]:
            self.fail(f"has no {missing[0]} among the statistics of {file}, so it would act on raw values")
        first, second = (weights[name].float() for name in names)
        return {"mode": mode, "first": first, "second": second, "eps": float(config["eps"])}

    def fail(self, problem: str) -> NoReturn:
        """Refuse the checkpoint by a sentence that begins with it."""
        raise ZprlError(f"the checkpoint {self.path} {problem}.")


@dataclass(frozen=True)
class TrainingData:
    """What is known of the data set that a policy was trained on.

    Attributes:
        frequency: Its control frequency [Hz].
        task: Task that it belongs to, or "" if it does not say so.
        features: Observation terms of that task under each of its keys, or nothing.
    """

    frequency: int
    task: str = ""
    features: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, checkpoint: Checkpoint, folder: Path) -> TrainingData:
        """Read it out of a data set of LeRobot.

        Raises:
            ZprlError: If it is none, or the checkpoint was trained on data of other sizes.
        """
        what = "description of the LeRobot data set"
        info = load_json(folder / "meta/info.json", what, {"fps": int, "features": {}})
        wanted = {**checkpoint.config["input_features"], **checkpoint.config["output_features"]}
        for key, feature in wanted.items():
            shape = (info["features"].get(key) or {}).get("shape")
            if shape != feature["shape"]:
                checkpoint.fail(
                    f"has {key} of the shape {feature['shape']}, and the data set {folder} has "
                    f"{'none' if shape is None else shape}: it was trained on another one"
                )
        if not (folder / "meta/zprl.json").is_file():
            return cls(info["fps"])
        ours = load_json(
            folder / "meta/zprl.json", what, {"spec": {"task": str, "groups": [{"features": [{"name": str}]}]}}
        )
        states = [f["name"] for g in ours["spec"]["groups"] for f in g["features"] if f.get("kind") == "state"]
        return cls(info["fps"], ours["spec"]["task"], ours.get("features") or {_STATE: states})


def require_lerobot() -> str:
    """Return LeRobot's version.

    Raises:
        NotInstalledError: If it is not installed here.
        ZprlError: If it is another version than this adapter knows.
    """
    try:
        version = importlib.metadata.version("lerobot")
    except importlib.metadata.PackageNotFoundError:
        raise NotInstalledError(
            "LeRobot is not installed in this environment, which does not need it: run `zprl import-base` where it is "
            "(docs/bases.md says how), and use the folder that it writes here."
        ) from None
    if version not in VERSIONS:
        raise ZprlError(
            f"LeRobot {version} is installed, and policies are imported from {', '.join(VERSIONS)}, whose insides are "
            f"known; install that version: pip install 'lerobot[diffusion]=={VERSIONS[-1]}'."
        )
    return version


def import_diffusion(
    checkpoint: Checkpoint, data: TrainingData, steps: int | None = None, unnormalised: bool = False
) -> ImportedPolicy:
    """Record a DiffusionPolicy and compare it with the library's own calls.

    Args:
        checkpoint: The checkpoint.
        data: What it was trained on.
        steps: Steps of DDIM to sample with, or None for those of the checkpoint.
        unnormalised: Whether inputs that the checkpoint does not normalise are let through.

    Raises:
        NotInstalledError: If LeRobot is not installed.
        ZprlError: If the checkpoint cannot be imported, or the recorded policy is off by more than :data:`TOLERANCE`.
    """
    count = checkpoint.sampling_steps(steps)
    for key in checkpoint.keys:
        checkpoint.transform(key, unnormalised)
    version = require_lerobot()
    library = _Library(checkpoint, count, unnormalised)
    config, model = library.policy.config, library.policy.diffusion
    inputs = tuple(Input(key, config.input_features[key].shape[0]) for key in library.keys)
    interface = Interface(
        inputs=inputs,
        action_size=config.action_feature.shape[0],
        history=config.n_obs_steps,
        frequency=data.frequency,
        horizon=config.horizon,
        first=config.n_obs_steps - 1,
        execute_steps=config.n_action_steps,
        embedding_size=config.n_obs_steps * sum(value.size for value in inputs),
        task=data.task,
        features=data.features,
    )
    scheduler = model.noise_scheduler
    scheduler.set_timesteps(model.num_inference_steps)
    times = tuple(int(time) for time in scheduler.timesteps)
    stride = scheduler.config.num_train_timesteps // model.num_inference_steps
    earlier = [time - stride for time in times]
    before = [scheduler.alphas_cumprod[t] if t >= 0 else scheduler.final_alpha_cumprod for t in earlier]
    clip = float(scheduler.config.clip_sample_range) if scheduler.config.clip_sample else None
    predicts = scheduler.config.prediction_type
    sampler = DdimSampler(scheduler.alphas_cumprod.clone(), times, torch.stack(before), predicts, clip)
    windows = [torch.zeros(3, interface.history, value.size) for value in inputs]
    chunk, condition = (
        torch.zeros(3, interface.horizon, interface.action_size),
        torch.zeros(3, interface.embedding_size),
    )
    what = f"the policy {checkpoint.path}"
    programs = {
        "embed": record(_Embed(library), windows, what),
        "denoise": record(_Denoise(model.unet), [chunk, torch.zeros(3, dtype=torch.long), condition], what),
        "normalize": record(_Scale(library.transforms[_ACTION], inverse=False), [chunk], what),
        "finish": record(_Scale(library.transforms[_ACTION], inverse=True), [chunk], what),
    }
    packages = {name: importlib.metadata.version(name) for name in ("lerobot", "diffusers", "torch")}
    source = {
        "framework": "lerobot",
        "version": version,
        "family": checkpoint.family,
        "path": str(checkpoint.path),
        "sha256": checksum(checkpoint.path / "model.safetensors"),
        "processors": {name: checksum(checkpoint.path / name) for name in (PRE, POST)},
        "sampler": f"DDIM, {len(times)} steps",
        "license": str(checkpoint.config.get("license") or "not said"),
        "packages": packages,
    }
    shape = interface.horizon, interface.action_size
    fixed = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    policy = ImportedPolicy(interface, programs, sampler, source, {}, fixed)
    policy.parity = library.compare(policy)
    return policy


class _Library:
    """A policy as LeRobot itself runs it."""

    def __init__(self, checkpoint: Checkpoint, steps: int, unnormalised: bool) -> None:
        self.checkpoint = checkpoint
        with _quiet():
            try:
                configs = importlib.import_module("lerobot.configs.policies")
                modeling = importlib.import_module("lerobot.policies.diffusion.modeling_diffusion")
                factory = importlib.import_module("lerobot.policies.factory")
                config = configs.PreTrainedConfig.from_pretrained(str(checkpoint.path), local_files_only=True)
            except ImportError as error:
                raise NotInstalledError(
                    f"LeRobot's diffusion policy does not import ({first_line(error)[:160]}); install it by "
                    f"pip install 'lerobot[diffusion]=={VERSIONS[-1]}'."
                ) from error
            except Exception as error:  # of a parser that may raise anything
                checkpoint.fail(f"has a config.json that LeRobot does not read ({first_line(error)[:200]})")
        config.device, config.compile_model, config.pretrained_backbone_weights = "cpu", False, None
        config.noise_scheduler_type, config.num_inference_steps = "DDIM", steps
        with _quiet():
            try:
                self.policy = modeling.DiffusionPolicy.from_pretrained(
                    str(checkpoint.path), config=config, strict=True, local_files_only=True
                )
                overrides = {"device_processor": {"device": "cpu"}}
                self.pre, self.post = factory.make_pre_post_processors(
                    config,
                    pretrained_path=str(checkpoint.path),
                    preprocessor_overrides=overrides,
                    postprocessor_overrides=overrides,
                )
            except Exception as error:
                checkpoint.fail(f"does not load in LeRobot {VERSIONS[-1]} ({first_line(error)[:200]})")
        self.policy.eval().requires_grad_(False)
        self.keys = checkpoint.keys[:-1]
        self.transforms = {key: checkpoint.transform(key, unnormalised) for key in (*self.keys, _ACTION)}

    @torch.no_grad()
    def compare(self, policy: ImportedPolicy) -> dict[str, Any]:
        """Return how far the recorded policy is from the library, over :data:`ROWS` drawn observations.

        Compared are ``predict_action_chunk`` on windows, and ``select_action`` over two chunks of an episode, with the
        queues that LeRobot keeps; both between its own processors, and from the same noise.

        Raises:
            ZprlError: If it is off by more than :data:`TOLERANCE`.
        """
        interface, generator = policy.interface, torch.Generator().manual_seed(0)
        windows = []
        for value in interface.inputs:
            given = self.transforms[value.key]
            low, high = given.get("first", torch.tensor(-1.0)), given.get("second", torch.tensor(1.0))
            middle, spread = ((low + high) / 2, (high - low) / 2) if given["mode"] != "MEAN_STD" else (low, high)
            draw = torch.rand(ROWS, interface.history + interface.execute_steps, value.size, generator=generator)
            windows.append(middle + spread * (2.0 * draw - 1.0))
        noise = torch.randn(ROWS, *policy.noise_shape, generator=generator)
        again = torch.randn(ROWS, *policy.noise_shape, generator=generator)
        steps, keys = interface.history, [value.key for value in interface.inputs]
        seen = [value[:, :steps] for value in windows]
        ours = policy.generate(policy.embed(seen), noise)[:, : interface.execute_steps]
        with _quiet():
            self.policy.reset()
            batch = self.pre(dict(zip(keys, seen, strict=True)))
            theirs = self.post(self.policy.predict_action_chunk(batch, noise=noise))
            # An episode: its first observation fills the queue, and the second chunk sees the last ones.
            acted, episode = [], [value[:, steps - 1 :] for value in windows]
            for step in range(interface.execute_steps + 1):
                batch = self.pre({key: value[:, step] for key, value in zip(keys, episode, strict=True)})
                acted.append(self.post(self.policy.select_action(batch, noise=again if step else noise)))
            self.policy.reset()
        begin = [value[:, :1].expand(-1, steps, -1) for value in episode]
        late = [
            torch.cat([value[:, :1].expand(-1, steps, -1), value[:, 1:]], dim=1)[:, -steps:]
            for value in (part[:, : interface.execute_steps + 1] for part in episode)
        ]
        first = policy.generate(policy.embed(begin), noise)[:, : interface.execute_steps]
        second = policy.generate(policy.embed(late), again)[:, :1]
        errors = {
            "predict_action_chunk": (ours - theirs).abs().max().item(),
            "select_action": (torch.cat([first, second], dim=1) - torch.stack(acted, dim=1)).abs().max().item(),
        }
        scale = theirs.abs().max().item()
        worst = max(errors.values())
        if not worst <= TOLERANCE * max(scale, 1.0e-12):
            self.checkpoint.fail(
                f"acts otherwise as recorded than in LeRobot, by up to {worst:.2g} with actions up to {scale:.2g}; "
                "this version of LeRobot or of a package below it has changed what the adapter relies on"
            )
        return {"rows": ROWS, "largest_action": scale, "largest_errors": errors, "tolerance": TOLERANCE}


class _Embed(nn.Module):
    """Raw windows (N, T, D) of all inputs to the condition (N, E)."""

    def __init__(self, library: _Library) -> None:
        super().__init__()
        self.keys = list(library.keys)
        self.scales = nn.ModuleList(_Scale(library.transforms[key], inverse=False) for key in self.keys)
        self.model = library.policy.diffusion

    def forward(self, *windows: Tensor) -> Tensor:
        """Compute it."""
        parts = zip(self.keys, self.scales, windows, strict=True)
        return self.model._prepare_global_conditioning({key: scale(window) for key, scale, window in parts})


class _Denoise(nn.Module):
    """See :data:`zprl.policies.imported.sampler.Denoiser`."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """Compute it."""
        return self.unet(x, times, global_cond=condition)


class _Scale(nn.Module):
    """What LeRobot's processors do to normalise a key, or the other way, in their order of operations."""

    offset: Tensor
    spread: Tensor

    def __init__(self, transform: Mapping[str, Any], inverse: bool) -> None:
        super().__init__()
        self.mode, self.inverse = transform["mode"], inverse
        if self.mode == "IDENTITY":
            return
        first, second = transform["first"], transform["second"]
        if self.mode == "MIN_MAX":
            spread = second - first
            spread = torch.where(spread == 0, torch.tensor(transform["eps"], dtype=spread.dtype), spread)
        else:
            spread = second if inverse else second + transform["eps"]
        self.register_buffer("offset", first)
        self.register_buffer("spread", spread)

    def forward(self, value: Tensor) -> Tensor:
        """Compute it."""
        if self.mode == "IDENTITY":
            return value
        if self.mode == "MEAN_STD":
            return value * self.spread + self.offset if self.inverse else (value - self.offset) / self.spread
        if self.inverse:
            return (value + 1) / 2 * self.spread + self.offset
        return 2 * (value - self.offset) / self.spread - 1


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what LeRobot prints from the user."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
