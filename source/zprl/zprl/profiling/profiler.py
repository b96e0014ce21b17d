# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The whole measurement: for every shape, precision and batch size the errors, then the times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

import torch

from zprl.policies import FlowPolicy
from zprl.profiling import cuda
from zprl.profiling.accuracy import RULES, Errors, double_copy, measure_errors, quantised_copy
from zprl.profiling.contenders import NATIVE, OURS, RIVALS, Conditions, Contender, UnavailableError, build, native_step
from zprl.profiling.machine import Limits, describe_machine, measure_peaks, measure_stream, note_load
from zprl.profiling.parts import WHOLE, random_inputs
from zprl.profiling.shapes import Shape, Work, count_work, make_shape
from zprl.profiling.stages import ControlLoop, measure_control_loop, split_stages
from zprl.profiling.timing import Samples, Timing, take_turns
from zprl.utils.errors import ZprlError

_CHECKED_ROWS = 16
"""Rows at least on which errors are measured: small batches are run several times."""

DRAM_BYTES = 256 * 2**20
"""Size of a buffer that no cache holds [bytes]."""


@dataclass
class ProfileSettings:
    """What to measure."""

    shapes: Sequence[str] = ("A", "B")
    """Shapes; see :func:`zprl.profiling.shapes.make_shape`."""
    batches: Sequence[int] = (1, 8, 64, 256, 1024)
    """Batch sizes."""
    dtypes: Sequence[str] = ("float32", "bfloat16")
    """Precisions."""
    rivals: Sequence[str] = ("eager", "jit", "onnx")
    """Names of the rivals; see :data:`zprl.profiling.contenders.RIVALS`."""
    device: str = "cpu"
    """Device: "cpu", or "cuda" with an index if need be."""
    threads: int = 1
    """Number of threads of everyone."""
    solvers: Sequence[str] = ()
    """Solvers of the flow, every shape with each; the shape's own if there are none."""
    steps: Sequence[int] = ()
    """Numbers of solver steps K, every shape with each; the shape's own if there are none."""
    budget: float = 1.0
    """Time for a cell, all its contenders together [s]; see :func:`zprl.profiling.timing.choose_repetitions`."""
    seed: int = 0
    """Seed of random weights and data."""

    def check(self) -> None:
        """Check the settings.

        Raises:
            ZprlError: If a value is unknown or out of range, a list is empty, or the device is not there.
        """
        self.check_cells()
        self._check_device()

    def check_cells(self) -> None:
        """Check all but whether the device is there.

        Raises:
            ZprlError: If a value is unknown or out of range, or a list is empty.
        """
        for what, values, known in (("precision", self.dtypes, RULES), ("rival", self.rivals, RIVALS)):
            for value in values:
                if value not in known:
                    raise ZprlError(f"unknown {what} '{value}'; choose among {', '.join(known)}.")
        lists = {"shape": self.shapes, "batch size": self.batches, "precision": self.dtypes}
        for what, values in {**lists, "solver": self.solvers, "number of steps": self.steps}.items():
            if not values and what in lists:
                raise ZprlError(f"there is no {what} to measure; name at least one.")
            if len(set(values)) < len(values):
                raise ZprlError(f"a {what} is listed twice; name each once.")
        for what, number in (*(("batch size", batch) for batch in self.batches), ("number of threads", self.threads)):
            if number < 1:
                raise ZprlError(f"the {what} is {number}; it must be at least 1.")
        if not self.budget >= 0.0:
            raise ZprlError(f"the budget is {self.budget} s; it must not be negative.")
        if "tf32" in self.dtypes and not self.on_cuda:
            raise ZprlError("tf32 products exist on GPUs only; leave the precision out or use --device cuda.")

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def _check_device(self) -> None:
        try:
            device = torch.device(self.device)
        except RuntimeError:
            device = None
        if device is None or device.type not in ("cpu", "cuda"):
            raise ZprlError(f"unknown device '{self.device}'; choose cpu or cuda.")
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            # device_count() is 0 without a driver, and asking it starts nothing on the GPU.
            found = f"{torch.cuda.device_count()} of them" if torch.cuda.is_available() else "none"
            raise ZprlError(f"torch was asked for the GPU '{self.device}' and finds {found}; use --device cpu.")


@dataclass
class ContenderResult:
    """What was measured of one contender in one cell."""

    name: str
    note: str = ""
    """Why it did not run; empty if it did."""
    description: str = ""
    """How it ran: on a GPU, the plan of ours."""
    errors: Errors | None = None
    broken_rules: list[str] = field(default_factory=list)
    """Names of the rules that the error breaks. Rules are for ours; a rival's error is only shown."""
    timing: Timing | None = None


@dataclass
class CellResult:
    """All contenders at one shape, precision and batch size; ours comes first."""

    shape: str
    dtype: str
    batch: int
    contenders: list[ContenderResult] = field(default_factory=list)
    samples: dict[str, Samples] = field(default_factory=dict)
    stages: dict[str, float] | None = None
    """What :func:`zprl.profiling.stages.split_stages` measured, if it did."""
    control_loop: ControlLoop | None = None
    """At batch 1: the native step without rivals, if it was measured."""
    ours: str = NATIVE
    """Whose time the others are compared with: the native step, or where it has no such part what runs in its place."""

    @property
    def name(self) -> str:
        """What identifies the cell."""
        return f"{self.shape} {self.dtype} batch {self.batch}"

    def contender(self, name: str) -> ContenderResult:
        """Return a contender's result."""
        return next(result for result in self.contenders if result.name == name)


@dataclass
class ShapeFacts:
    """What a shape is, whatever runs it."""

    name: str
    work: Work
    solver: str
    steps: int
    action_errors: dict[str, list[float]] = field(default_factory=dict)
    """For a trained policy, by precision: largest error of each component of an executed action, in its own unit,
    against the policy in double precision with the weights as trained. Rounding of the weights is part of it."""
    part: str = ""
    """Of a part of a policy that sees: "encoder" or "flow"."""
    whole: str = ""
    """Likewise: name of the shape that it is a part of."""


@dataclass
class ProfileReport:
    """Everything that was measured."""

    settings: ProfileSettings
    machine: dict[str, object]
    limits: Limits = field(default_factory=Limits)
    shapes: list[ShapeFacts] = field(default_factory=list)
    cells: list[CellResult] = field(default_factory=list)

    def facts(self, shape: str) -> ShapeFacts:
        """Return the facts of a shape."""
        return next(facts for facts in self.shapes if facts.name == shape)

    def check(self) -> None:
        """Insist that our results are right.

        Raises:
            ZprlError: If an error breaks a rule.
        """
        broken = [cell.name for cell in self.cells if any(result.broken_rules for result in cell.contenders)]
        if broken:
            raise ZprlError(
                f"the native step is wrong beyond the rules in {len(broken)} of {len(self.cells)} cells "
                f"({'; '.join(broken[:3])}{'; ...' if len(broken) > 3 else ''}); its times mean nothing."
            )
        absent = [(cell.name, result.note) for cell in self.cells for result in cell.contenders if result.name in OURS]
        absent = [f"{name}: {note}" for name, note in absent if note]
        if absent and self.settings.on_cuda:  # on a CPU, bfloat16 may be missing for good reasons
            raise ZprlError(f"the native step did not run in {len(absent)} cells (first: {absent[0]}).")


def profile_policy_step(settings: ProfileSettings, report: Callable[[str], None] = lambda line: None) -> ProfileReport:
    """Measure errors and times.

    Args:
        settings: What to measure.
        report: Takes a line whenever a cell is done.

    Raises:
        ZprlError: If a setting is wrong, a policy is missing, or the native library does not load.
    """
    settings.check()
    # Before the first minute of measuring, so that a misspelt shape does not cost one.
    shapes = [
        shape
        for name in settings.shapes
        for solver in settings.solvers or [None]
        for steps in settings.steps or [None]
        for shape in make_shape(name, solver, steps, settings.seed).parts()
    ]
    with torch.cuda.device(settings.device) if settings.on_cuda else nullcontext(), _torch_threads(settings.threads):
        result = ProfileReport(settings, describe_machine(settings.device, settings.threads))
        note_load(result.limits, settings.threads)
        measure_peaks(result.limits, settings.device, settings.threads)
        measure_stream(result.limits, settings.device, DRAM_BYTES)
        for shape in shapes:
            _profile_shape(shape, result, report)
        # Again, as the clock may have changed meanwhile: the better one counts.
        measure_peaks(result.limits, settings.device, settings.threads)
    return result


def _profile_shape(shape: Shape, result: ProfileReport, report: Callable[[str], None]) -> None:
    settings, cfg, part = result.settings, shape.policy.cfg, shape.part
    facts = ShapeFacts(shape.name, count_work(shape.policy, part), cfg.solver, cfg.num_flow_steps)
    facts.part, facts.whole = part.name, shape.name.removesuffix(f" {part.name}")
    result.shapes.append(facts)
    # What is not compiled runs in single precision, whatever the flow behind it.
    for dtype in settings.dtypes if part.native else ("float32",):
        # On a GPU, buffers of that size take less time than starting to read them.
        if not settings.on_cuda and facts.work.core_weights:
            measure_stream(result.limits, settings.device, facts.work.core_bytes(dtype))
        policy = quantised_copy(shape.policy, dtype)
        truth = double_copy(policy).to(settings.device)
        for batch in settings.batches:
            with cuda.matmul_precision(dtype):
                cell = _profile_cell(replace(shape, policy=policy), truth, dtype, batch, settings)
            result.cells.append(cell)
            report(_cell_line(cell))
            ours = cell.contender(cell.ours).timing
            if ours and settings.device == "cpu" and part is WHOLE:
                if batch in (1, max(settings.batches)):
                    cell.stages = split_stages(policy, dtype, batch, ours.median)
                if batch == 1:
                    cell.control_loop = measure_control_loop(policy, dtype, ours.p10, settings.budget, settings.seed)
        if shape.trained is not None:
            with suppress(UnavailableError):  # the cells say why already
                facts.action_errors[dtype] = _action_errors(shape.trained, dtype, settings)


def _profile_cell(shape: Shape, truth: FlowPolicy, dtype: str, batch: int, settings: ProfileSettings) -> CellResult:
    policy, part = shape.policy, shape.part
    exact = part.exact(truth)
    draws = [part.draw(policy, batch, settings.seed + 1 + i) for i in range(-(-_CHECKED_ROWS // batch))]
    with torch.no_grad():
        expected = torch.cat([exact(*inputs.to(settings.device, torch.float64)) for inputs in draws]).cpu()
    conditions = Conditions(policy, draws[0], dtype, settings.device, settings.threads, part)
    cell = CellResult(shape.name, dtype, batch)
    ours = OURS if settings.on_cuda else (NATIVE,)
    if part.native is None:
        cell.ours = "eager"
        ours = (cell.ours,)
    ready: dict[str, Contender] = {}
    for name in dict.fromkeys((*ours, *settings.rivals)):
        outcome = ContenderResult(name)
        cell.contenders.append(outcome)
        try:
            contender = build(name, conditions)
        except UnavailableError as error:
            outcome.note = str(error)
            continue
        outcome.errors = measure_errors(torch.cat([contender.chunk(inputs) for inputs in draws]), expected)
        outcome.description = contender.description
        if name in OURS:
            outcome.broken_rules = outcome.errors.broken_rules(dtype)
        ready[name] = contender

    if settings.on_cuda:
        cache_bytes = torch.cuda.get_device_properties(settings.device).L2_cache_size
        sets = cuda.num_input_sets(sum(x.nbytes for x in draws[0]), cache_bytes)
        calls = {name: cuda.rotating([made.bind(draws[0]) for _ in range(sets)]) for name, made in ready.items()}
        # Ranges for Nsight Systems.
        cell.samples = take_turns(calls, settings.budget, cuda.event_clock(settings.device), torch.cuda.nvtx.range)
    else:
        calls = {name: contender.bind(draws[0]) for name, contender in ready.items()}
        cell.samples = take_turns(calls, settings.budget)
    for name, samples in cell.samples.items():
        cell.contender(name).timing = Timing.of(samples.seconds)
    return cell


def _action_errors(policy: FlowPolicy, dtype: str, settings: ProfileSettings) -> list[float]:
    """Largest error of each component of an executed action of the native step, in the action's own unit."""
    inputs = random_inputs(policy, max(settings.batches), settings.seed + 1)
    truth = double_copy(policy).act(*inputs.to("cpu", torch.float64))
    step = native_step(policy, dtype, settings.device)
    chunk = step.act(*inputs.to(settings.device, torch.float32))
    return (chunk.cpu().double() - truth).abs().amax((0, 1)).tolist()


def _cell_line(cell: CellResult) -> str:
    times = [
        f"{result.name} {1e3 * result.timing.median:,.3f} ms" if result.timing else f"{result.name} -"
        for result in cell.contenders
    ]
    return f"{cell.name}: {', '.join(times)}"


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
