# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs checks one after the other, each under a time limit, and writes what becomes of them as it comes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from zprl.profiling.gpu_check.checks import Check, Place, json_lines, last_line
from zprl.utils.files import atomic_write

PASSED, FAILED, CUT_OFF, SKIPPED = "passed", "failed", "cut off", "skipped"

LOG, SUMMARY, RESULTS = "log.txt", "summary.txt", "results.jsonl"
"""Files of the report besides those of the checks: all that was printed, the table, and every line of JSON."""

_LEAST_SECONDS = 5.0
"""Time under which a check is not begun [s]."""
_GRACE_SECONDS = 5.0
"""Time that a process gets between SIGTERM and SIGKILL, and after that [s]."""
_MOST_WORDS = 200

_FIND_MODULES = "import importlib.util as u, sys; print(*[m for m in sys.argv[1:] if u.find_spec(m) is None])"
_FIND_KERNELS = "import sys, zprl; sys.exit(not zprl.build_info().get('cuda'))"


@dataclass(frozen=True)
class Outcome:
    """What became of a check."""

    name: str
    result: str
    """:data:`PASSED`, :data:`FAILED`, :data:`CUT_OFF` or :data:`SKIPPED`."""
    seconds: float
    reason: str

    @property
    def is_failure(self) -> bool:
        """Whether the run as a whole has failed by it."""
        return self.result in (FAILED, CUT_OFF)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table, a line each."""
    width = max([len("check"), *(len(outcome.name) for outcome in outcomes)])
    head = f"{'check':{width}}  {'result':8}  seconds  reason\n"
    return head + "".join(f"{o.name:{width}}  {o.result:8}  {o.seconds:7.0f}  {o.reason}\n" for o in outcomes)


@dataclass
class Runner:
    """Runs checks and keeps their outcomes.

    Args:
        place: Where things lie.
        seconds: Time for all checks together [s].
        carried: Whether the root is a pack: what a pack carries must then be there.
        not_carried: Modules that a pack does not carry.
        rehearsing: Whether checks are only rehearsed, without a GPU.
    """

    place: Place
    seconds: float
    carried: bool = False
    not_carried: frozenset[str] = frozenset()
    rehearsing: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)
    _has_kernels: bool | None = None

    # -- asking the machine

    def missing_modules(self, modules: Sequence[str]) -> list[str]:
        """Return those modules that the checks' interpreter does not find."""
        if not modules:
            return []
        return self._ask(_FIND_MODULES, *modules).stdout.split()

    def _ask(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.place.python, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self._environment({}), check=False)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1", **extra}

    def _obstacle(self, check: Check) -> tuple[str, str] | None:
        """What keeps a check from running, as result and reason, or None."""
        for program in check.programs:
            if shutil.which(program) is None:
                return SKIPPED, f"there is no {program}" + ("" if check.name != "build" else "; what is there is used")
        missing = self.missing_modules(check.modules)
        lacking = [module for module in missing if module not in self.not_carried]
        if self.carried and lacking:
            return FAILED, f"the pack lacks the module '{lacking[0]}'; make it again"
        if missing:
            return SKIPPED, f"Python has no module '{missing[0]}'"
        if check.driver and not os.access(self.place.driver, os.X_OK):
            return (FAILED, "the pack lacks gpu_driver; make it again") if self.carried else (SKIPPED, "no gpu_driver")
        if check.kernels and not self._kernels():
            result = FAILED if self.carried else SKIPPED
            return result, "the native library is missing or has no CUDA kernels"
        if check.need is not None and not check.need.exists() and not self.rehearsing:
            return SKIPPED, f"an earlier check has left no {check.need.name}"
        return None

    def _kernels(self) -> bool:
        if not self._has_kernels:  # the build may bring them
            self._has_kernels = self._ask(_FIND_KERNELS).returncode == 0
        return self._has_kernels

    # -- running

    def run(self, check: Check) -> Outcome:
        """Run a check, or say why not, and write what became of it."""
        left = self.seconds - (time.monotonic() - self._start)
        begin = time.monotonic()
        obstacle = self._obstacle(check)
        if obstacle is None and self.rehearsing and check.rehearsal is None:
            obstacle = SKIPPED, "nothing of it runs without a GPU"
        if obstacle is not None:
            return self.note(Outcome(check.name, obstacle[0], 0.0, obstacle[1]))
        if left < _LEAST_SECONDS:
            reason = f"not begun: the {self.seconds:.0f} s for all checks are over (ZPRL_VERIFY_SECONDS)"
            return self.note(Outcome(check.name, CUT_OFF, 0.0, reason))
        limit = min(check.limit, left)
        with (self.place.report / LOG).open("ab") as log:
            first = log.tell()
            status = self._run_commands(check, log, begin + limit)
        output = self._logged(first)
        seconds = time.monotonic() - begin
        if status is None:
            result, reason = CUT_OFF, f"ran into its limit of {limit:.0f} s: {last_line(output)}"
        elif status != 0:
            result, reason = FAILED, f"exit status {status}: {last_line(output)}"
        elif self.rehearsing:
            result, reason = SKIPPED, f"dry run, without a GPU: {check.words(output)}"
        elif not any(re.search(check.expects, text) for text in (output, *self._left(check))):
            result, reason = FAILED, f"nothing was verified: {last_line(output)}"
        else:
            result, reason = PASSED, check.words(output)
        with (self.place.report / RESULTS).open("a") as results:
            results.writelines(json.dumps(line) + "\n" for line in json_lines(output))
        return self.note(Outcome(check.name, result, seconds, reason))

    def _run_commands(self, check: Check, log: IO[bytes], deadline: float) -> int | None:
        """Run the commands of a check until one fails; return the last status, or None if time ran out."""
        commands = (check.rehearsal,) if self.rehearsing and check.rehearsal is not None else check.commands
        env = dict(check.env)
        status = 0
        for command in commands:
            shown = " ".join([*(f"{name}={value}" for name, value in env.items()), shlex.join(command)])
            log.write(f"== {check.name}: {shown}\n".encode())
            log.flush()
            status = run_limited(
                command, deadline - time.monotonic(), log, self._environment(env), check.folder or self.place.root
            )
            if status != 0:
                break
        return status

    def _logged(self, first: int) -> str:
        """Return what was logged from a place in the file on, without the lines that say what was called."""
        with (self.place.report / LOG).open("rb") as log:
            log.seek(first)
            text = log.read().decode(errors="replace")
        return "\n".join(line for line in text.splitlines() if not line.startswith("== "))

    def _left(self, check: Check) -> Iterator[str]:
        for name in check.files:
            if (self.place.report / name).exists():
                yield (self.place.report / name).read_text(errors="replace")

    def note(self, outcome: Outcome) -> Outcome:
        """Keep an outcome, print it, and write the table anew."""
        printable = "".join(c if c.isprintable() else " " for c in outcome.reason)
        if len(printable) > _MOST_WORDS:
            printable = printable[: _MOST_WORDS - 3] + "..."
        outcome = Outcome(outcome.name, outcome.result, outcome.seconds, printable)
        self.outcomes.append(outcome)
        print(f"{outcome.name}: {outcome.result} ({outcome.seconds:.0f} s) {outcome.reason}", flush=True)
        with atomic_write(self.place.report / SUMMARY) as file:
            file.write(table(self.outcomes).encode())
        return outcome


def run_limited(
    command: Sequence[str], seconds: float, log: IO[bytes], env: Mapping[str, str], folder: Path
) -> int | None:
    """Run a command in a process group of its own, which does not outlive the call.

    Args:
        command: Program and arguments.
        seconds: Time limit [s].
        log: File that takes what it prints.
        env: Environment.
        folder: Folder to run in.

    Returns:
        Its exit status, 128 + the signal's number if one has ended it; None if it was cut off.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=folder, start_new_session=True
        )
    except OSError as error:
        log.write(f"{command[0]} cannot be started: {error.strerror}\n".encode())
        log.flush()
        return 126
    try:
        status = process.wait(max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        status = None
    finally:
        _end_group(process)
    if status == 124:  # a limit of its own, as that of timeout(1), has cut it off
        return None
    return status if status is None or status >= 0 else 128 - status


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, by force if need be; one that even that does not end is left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
