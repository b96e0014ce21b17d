# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Opening a bundle in Python, in any of its formats, with one interface."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zprl.deploy.contract import CONTRACT_FILE, Contract, read_contract, verify_file
from zprl.deploy.formats import FORMATS
from zprl.policies.native.library import load_torch_library
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from _typeshed import StrPath

    from zprl.envs import EnvLayout

Model = Callable[[Tensor], Tensor]
"""Maps raw observations (N, D) to chunks (N, H, A), float32 on the CPU."""


class Bundle:
    """An exported policy, ready to act on the CPU.

    Args:
        folder: The bundle.
        contract: Its contract.
        kind: Format that is loaded, a key of :data:`zprl.deploy.formats.FORMATS`.
        model: The steered policy, for a batch.
        base_model: The base policy, or None if the format does not hold it.
    """

    def __init__(
        self, folder: Path, contract: Contract, kind: str, model: Model, base_model: Model | None = None
    ) -> None:
        self.folder = folder
        self.contract = contract
        self.kind = kind
        self._model = model
        self._base_model = base_model

    @property
    def layout(self) -> EnvLayout:
        """Layout of the task that the policy was exported for."""
        from zprl.spec import EnvLayout

        actions: dict[str, int] = {}
        for dimension in self.contract.action:
            actions[dimension.term] = actions.get(dimension.term, 0) + 1
        return EnvLayout(
            task=self.contract.task,
            observation_terms=tuple((term.name, term.size) for term in self.contract.observation.terms),
            action_terms=tuple(actions.items()),
            step_dt=self.contract.control.period,
        )

    @property
    def has_base(self) -> bool:
        """Whether :meth:`act_base` can be called."""
        return self._base_model is not None

    def act(self, obs: Tensor) -> Tensor:
        """Plan action chunks.

        Rows are computed one by one, so that a row's chunk does not depend on the rows beside it.

        Args:
            obs: Raw observations (N, D), in the contract's order and units.

        Returns:
            Chunks (N, H, A), in the contract's order and units.

        Raises:
            ZprlError: If the observations have another width.
        """
        return self._by_rows(self._model, obs)

    def act_base(self, obs: Tensor) -> Tensor:
        """What the base policy, which is frozen inside of a steered one, would do; see :meth:`act`.

        Raises:
            ZprlError: If the format does not hold it, or the observations have another width.
        """
        if self._base_model is None:
            having = [kind for kind, form in FORMATS.items() if form.has_base and form.file in self.contract.files]
            raise ZprlError(
                f"the format {self.kind} of the bundle {self.folder} does not hold the base policy; "
                f"{' or '.join(having) or 'none of its formats'} does."
            )
        return self._by_rows(self._base_model, obs)

    def act_batch(self, obs: Tensor) -> Tensor:
        """:meth:`act` on all rows at once, as fast as the format allows."""
        return self._model(self._checked(obs))

    def observe(self, **terms: Tensor) -> Tensor:
        """Put an observation vector together from its terms, by name, whatever their order.

        Args:
            terms: Each term of the contract (N, size), in its unit and frame.

        Returns:
            Observations (N, D).

        Raises:
            ZprlError: If a term is missing, unknown or of another size.
        """
        expected = {term.name: term.size for term in self.contract.observation.terms}
        wrong = sorted(set(expected) ^ set(terms))
        if wrong:
            what = "lacks" if wrong[0] in expected else "has the unknown term"
            raise ZprlError(f"the observation {what} {wrong[0]}; its terms are {', '.join(expected)}.")
        for name, size in expected.items():
            if terms[name].ndim != 2 or terms[name].shape[1] != size:
                raise ZprlError(
                    f"the observation term {name} has the shape {tuple(terms[name].shape)} instead of (N, {size})."
                )
        return torch.cat([terms[name] for name in expected], dim=1)

    def _by_rows(self, model: Model, obs: Tensor) -> Tensor:
        obs = self._checked(obs)
        return torch.cat([model(obs[i : i + 1]) for i in range(obs.shape[0])])

    def _checked(self, obs: Tensor) -> Tensor:
        size = self.contract.observation.size
        if obs.ndim != 2 or obs.shape[0] == 0 or obs.shape[1] != size:
            terms = ", ".join(f"{term.name}[{term.size}]" for term in self.contract.observation.terms)
            raise ZprlError(
                f"the observation has the shape {tuple(obs.shape)} instead of (N, {size}); it consists of {terms}."
            )
        return obs.to("cpu", torch.float32).contiguous()


def open_bundle(folder: StrPath, kind: str | None = None) -> Bundle:
    """Open a bundle.

    Args:
        folder: The bundle.
        kind: Format to load, a key of :data:`zprl.deploy.formats.FORMATS`; the first that the bundle has if None.

    Raises:
        ZprlError: If it is no bundle, a file is missing, truncated or altered, the format is unknown or not in it, or
            what loads the format is not installed.
    """
    folder = Path(folder)
    contract = read_contract(folder, verify=False)
    present = [name for name, form in FORMATS.items() if form.file in contract.files]
    if kind is None and present:
        kind = present[0]
    if kind not in FORMATS:
        raise ZprlError(f"format {kind!r} is unknown; choose from {', '.join(FORMATS)}.")
    if kind not in present:
        raise ZprlError(f"the bundle {folder} has no format {kind}; it has {', '.join(present)}.")
    path = verify_file(folder, contract, FORMATS[kind].file)
    with torch.inference_mode():
        return _LOADERS[kind](folder, contract, path)


def is_bundle(path: StrPath) -> bool:
    """Whether a path is a folder with a contract."""
    return (Path(path) / CONTRACT_FILE).is_file()


def _inference(model: Model) -> Model:
    @torch.inference_mode()
    def run(obs: Tensor) -> Tensor:
        return model(obs)

    return run


def _load_torchscript(folder: Path, contract: Contract, path: Path) -> Bundle:
    load_torch_library()
    return _load_portable(folder, contract, path, "torchscript")


def _load_portable(folder: Path, contract: Contract, path: Path, kind: str = "portable") -> Bundle:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which C++ programs still want
            module = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise _unloadable(path, error) from error
    return Bundle(folder, contract, kind, _inference(module), _inference(module.base))


def _load_torch_export(folder: Path, contract: Contract, path: Path) -> Bundle:
    try:
        module = torch.export.load(str(path)).module()
    except Exception as error:  # unpacking arbitrary bytes can raise anything
        raise _unloadable(path, error) from error
    return Bundle(folder, contract, "torch_export", _inference(module))


def _load_onnx(folder: Path, contract: Contract, path: Path) -> Bundle:
    try:
        import onnxruntime  # type: ignore[import-not-found]
    except ImportError as error:
        raise ZprlError(f"{path} needs ONNX Runtime; install it with `pip install onnxruntime`.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class
        raise _unloadable(path, error) from error
    return Bundle(folder, contract, "onnx", lambda obs: torch.from_numpy(session.run(None, {"obs": obs.numpy()})[0]))


def _load_native(folder: Path, contract: Contract, path: Path) -> Bundle:
    try:
        from zprl import _core

        policy = _core.Policy(path.read_bytes())
    except ImportError as error:
        raise ZprlError(f"the native core module does not load ({error}); build it with `make setup`.") from error
    except ValueError as error:
        raise _unloadable(path, error) from error
    values = contract.control.initial_noise.values
    start = None if values is None else np.asarray(values, dtype=np.float32)

    def run(obs: Tensor) -> Tensor:
        noise = None if start is None else np.repeat(start[None], obs.shape[0], axis=0)
        return torch.from_numpy(policy.act(obs.numpy(), noise=noise))

    return Bundle(folder, contract, "native", run)


def _unloadable(path: Path, error: Exception) -> ZprlError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ZprlError(f"{path} does not load here ({json.dumps(lines[0] if lines else type(error).__name__)[1:-1]}).")


_LOADERS: dict[str, Callable[[Path, Contract, Path], Bundle]] = {
    "torchscript": _load_torchscript,
    "portable": _load_portable,
    "onnx": _load_onnx,
    "torch_export": _load_torch_export,
    "native": _load_native,
}
