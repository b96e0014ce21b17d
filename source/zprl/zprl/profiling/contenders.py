# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What can run a policy step: ours, and the rivals that a user would reach for."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy, NativePolicyStep
from zprl.profiling import cuda
from zprl.profiling.parts import WHOLE, Inputs, Part
from zprl.utils.errors import ZprlError, first_line

NATIVE = "native"
"""Name of ours in every table."""

NATIVE_GRAPH = "native_graph"
"""Name of ours replayed as a CUDA graph."""

OURS = (NATIVE, NATIVE_GRAPH)

Bind = Callable[[Inputs], Callable[[], Any]]
"""Returns a call without arguments for some inputs (float32, on the CPU), which are converted outside of it."""


class UnavailableError(Exception):
    """A contender cannot run here. The message is for the table and says why in a few words."""


@dataclass
class Contender:
    """Something that runs the policy step, or a part of it."""

    bind: Bind

    description: str = ""
    """How it runs, for the table."""

    def chunk(self, inputs: Inputs) -> Tensor:
        """Run once and return the chunks (N, H, A), or what the part puts out, on the CPU."""
        result = self.bind(inputs)()
        result = result[0] if isinstance(result, list | tuple) else result
        return torch.as_tensor(result).detach().cpu()


@dataclass(frozen=True)
class Conditions:
    """What all contenders of a cell share."""

    policy: FlowPolicy
    """Policy with the weights that everyone gets, float32 on the CPU."""

    example: Inputs
    """Inputs with the batch size that will be run."""

    dtype: str
    """"float32", "tf32" or "bfloat16"."""

    device: str
    """Device, such as "cpu" or "cuda:0"."""

    threads: int
    """Number of threads."""

    part: Part = WHOLE
    """What of the policy is run."""

    @property
    def torch_dtype(self) -> torch.dtype:
        """Type of a rival's tensors; the profiler tells torch to multiply them in tf32."""
        return torch.float32 if self.dtype == "tf32" else getattr(torch, self.dtype)

    @property
    def on_cuda(self) -> bool:
        """Whether it runs on a GPU."""
        return self.device.startswith("cuda")


def build(name: str, conditions: Conditions) -> Contender:
    """Make a contender ready to run.

    Args:
        name: One of :data:`OURS` or a key of :data:`RIVALS`.
        conditions: What to run.

    Raises:
        UnavailableError: If it cannot run here.
        ZprlError: If the native library is missing or refuses the policy in single precision.
    """
    with warnings.catch_warnings():
        # torch deprecates TorchScript and its ONNX exporter; that is no news for whoever reads a table of timings.
        warnings.simplefilter("ignore")
        if name in OURS:
            return _native(name, conditions)
        try:
            contender = Contender(RIVALS[name](conditions))
            contender.chunk(conditions.example)  # a missing kernel or compiler may show only now
        except UnavailableError:
            raise
        except Exception as error:  # whatever a rival's many layers raise, ours can still be measured
            reason = first_line(error)
            reason = reason if len(reason) <= 60 else reason[:57] + "..."
            raise UnavailableError(f"does not run: {reason}") from error
    return contender


def _bound(call: Callable[..., Any], conditions: Conditions, dtype: torch.dtype) -> Bind:
    """Let a function of observation, residual and noise be called with inputs that were converted before."""

    def bind(inputs: Inputs) -> Callable[[], Any]:
        arguments = inputs.to(conditions.device, dtype)
        return lambda: call(*arguments)

    return bind


def _graph_of(bind: Bind) -> Bind:
    """Let a contender's calls be captured: a graph per set of inputs, so that none is copied."""
    pool = torch.cuda.graph_pool_handle()
    return lambda inputs: cuda.graphed(bind(inputs), pool)


# -- the native step ---------------------------------------------------------------------------------------------------


def native_step(policy: FlowPolicy, precision: str, device: str = "cpu") -> NativePolicyStep:
    """Return the native step in a precision.

    Raises:
        UnavailableError: If this build, this CPU or this GPU has no such step.
        ZprlError: If the CPU has none in float32.
    """
    try:
        return NativePolicyStep(policy, precision, device)
    except ZprlError as error:
        if device == "cpu" and precision == "float32":
            raise
        raise UnavailableError(str(error)) from error


def _native(name: str, conditions: Conditions) -> Contender:
    step = native_step(conditions.policy, conditions.dtype, conditions.device)
    if conditions.part.native is None:
        raise UnavailableError(f"the native step has no {conditions.part.name} of images")
    bind = _bound(conditions.part.native(step), conditions, torch.float32)
    if name == NATIVE_GRAPH:
        return Contender(_graph_of(bind))
    rows = conditions.example.rows
    return Contender(bind, torch.ops.zprl.cuda_plan(step.blob, rows, step.header) if conditions.on_cuda else "")


def _learning(conditions: Conditions, encodings: int) -> Bind:
    """A chunk as a learner gets it: the latent to choose a residual for, then the chunk of their sum."""
    if conditions.part is not WHOLE:
        raise UnavailableError("runs whole steps only")
    step = native_step(conditions.policy, conditions.dtype, conditions.device)

    def once(obs: Tensor, residual: Tensor, noise: Tensor) -> Tensor:
        return step.act_from_latent(step.latent(obs) + residual, noise)

    def twice(obs: Tensor, residual: Tensor, noise: Tensor) -> Tensor:
        step.encode(obs)
        return step.act(obs, residual, noise)

    return _bound(once if encodings == 1 else twice, conditions, torch.float32)


# -- torch -------------------------------------------------------------------------------------------------------------


def _torch(module: Callable[..., Tensor], conditions: Conditions) -> Bind:
    def call(*arguments: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(*arguments)

    return _bound(call, conditions, conditions.torch_dtype)


def _module(conditions: Conditions) -> nn.Module:
    # The tables are made before the precision is lowered, and rounded once.
    return conditions.part.module(conditions.policy).to(conditions.device, conditions.torch_dtype).eval()


def _eager(conditions: Conditions) -> Bind:
    return _torch(_module(conditions), conditions)


def _graph(conditions: Conditions) -> Bind:
    if not conditions.on_cuda:
        raise UnavailableError("CUDA graphs need a GPU")
    return _graph_of(_eager(conditions))


def _jit(conditions: Conditions) -> Bind:
    arguments = tuple(conditions.example.to(conditions.device, conditions.torch_dtype))
    with torch.no_grad():
        traced = torch.jit.trace(_module(conditions), arguments, check_trace=False)
        return _torch(torch.jit.optimize_for_inference(torch.jit.freeze(traced)), conditions)


def _compile(conditions: Conditions) -> Bind:
    torch.compiler.reset()  # or torch would give up after a few shapes and run eagerly
    # Tuned, with CUDA graphs, on a GPU; weights as constants, packed ahead, on a CPU.
    options: dict[str, Any] = {"mode": "max-autotune"} if conditions.on_cuda else {"options": {"freezing": True}}
    return _torch(torch.compile(_module(conditions), fullgraph=True, dynamic=False, **options), conditions)


# -- ONNX Runtime ------------------------------------------------------------------------------------------------------


def _onnx(conditions: Conditions) -> Bind:
    missing = [package for package in ("onnx", "onnxruntime") if importlib.util.find_spec(package) is None]
    if missing:
        raise UnavailableError(f"not installed: pip install {' '.join(missing)}")
    if conditions.on_cuda:
        raise UnavailableError("measured on the CPU only")
    if conditions.dtype != "float32":
        raise UnavailableError(f"has no {conditions.dtype} kernels on the CPU")  # 1.32 refuses the first subtraction
    import onnxruntime  # type: ignore[import-not-found]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = conditions.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Its threads wait busily for more work after a run, and would take a core from whoever has the next turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(_onnx_model(conditions), options, providers=["CPUExecutionProvider"])

    def bind(inputs: Inputs) -> Callable[[], Any]:
        feed = {name: x.numpy() for name, x in inputs.tensors.items()}
        return lambda: session.run(None, feed)

    return bind


def _onnx_model(conditions: Conditions) -> bytes:
    """Export the policy step as an ONNX model with a fixed batch size."""
    file = io.BytesIO()
    # The first opset with LayerNormalization as one operator; the older exporter turns images' axes round wrongly.
    exporter: dict[str, Any] = {"opset_version": 17, "dynamo": False}
    if conditions.part.native is None:
        exporter = {"opset_version": 18, "dynamo": True, "external_data": False}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            _module(conditions),
            tuple(conditions.example),
            file,  # type: ignore[arg-type]  # its annotation forgets files
            input_names=list(conditions.example.tensors),
            output_names=["chunk"],
            verbose=False,
            **exporter,
        )
    finally:
        logger.setLevel(level)
    return file.getvalue()


RIVALS: dict[str, Callable[[Conditions], Bind]] = {
    "eager": _eager,
    "graph": _graph,
    "jit": _jit,
    "onnx": _onnx,
    "compile": _compile,
    "once": partial(_learning, encodings=1),
    "twice": partial(_learning, encodings=2),
}
"""Rivals by name: torch eager, the same as a CUDA graph, TorchScript (frozen and optimised for inference), ONNX
Runtime, torch.compile, and the native step with a latent that a learner sees on the way: the step goes on with it
(once), or encodes the observation again (twice)."""
