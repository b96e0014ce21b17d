# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the wall-clock of a loop goes: functions that lie within one another, by name, each with its own time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prettytable import PrettyTable

from zprl.utils.files import atomic_json_dump


@dataclass(frozen=True)
class Part:
    """A function of the loop that is to be timed.

    Attributes:
        name: What the table calls it.
        owner: Object or class whose attribute the function is.
        attribute: Name of the attribute.
    """

    name: str
    owner: Any
    attribute: str


@dataclass(frozen=True)
class Span:
    """One call.

    Attributes:
        path: Names of the calls that it lies in, outermost first, and its own.
        start: Start on the clock of ``time.perf_counter_ns`` [ns].
        end: End [ns].
    """

    path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Row:
    """All calls of one path.

    Attributes:
        path: See :class:`Span`.
        calls: Their number.
        seconds: What they took [s].
        own_seconds: What they took outside of the calls that lie directly in them [s].
    """

    path: tuple[str, ...]
    calls: int
    seconds: float
    own_seconds: float


class SpanRecorder:
    """Records the calls of functions, all on one thread."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._path: tuple[str, ...] = ()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Record what runs in this context as one call."""
        outside = self._path
        self._path = path = (*outside, name)
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.spans.append(Span(path, start, time.perf_counter_ns()))
            self._path = outside

    @contextmanager
    def watching(self, parts: list[Part]) -> Iterator[None]:
        """Record the calls of these functions while the context lasts; afterwards they are what they were."""
        before = [(part, vars(part.owner).get(part.attribute, _ABSENT)) for part in parts]
        try:
            for part in parts:
                setattr(part.owner, part.attribute, self._timed(part))
            yield
        finally:
            for part, value in reversed(before):
                if value is _ABSENT:
                    delattr(part.owner, part.attribute)  # it is the class's, which shows again
                else:
                    setattr(part.owner, part.attribute, value)

    def _timed(self, part: Part) -> Callable[..., Any]:
        function = getattr(part.owner, part.attribute)

        @functools.wraps(function, updated=())
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.span(part.name):
                return function(*args, **kwargs)

        return timed

    def rows(self) -> list[Row]:
        """Return the calls by path, each one's parts below it, the longest first."""
        seconds: dict[tuple[str, ...], float] = {}
        calls: dict[tuple[str, ...], int] = {}
        for span in self.spans:
            seconds[span.path] = seconds.get(span.path, 0.0) + 1e-9 * (span.end - span.start)
            calls[span.path] = calls.get(span.path, 0) + 1
        within: dict[tuple[str, ...], float] = {}
        for path, value in seconds.items():
            within[path[:-1]] = within.get(path[:-1], 0.0) + value

        def below(path: tuple[str, ...]) -> Iterator[Row]:
            children = [other for other in seconds if other[:-1] == path]
            for child in sorted(children, key=lambda other: -seconds[other]):
                own = seconds[child] - within.get(child, 0.0)
                yield Row(child, calls[child], seconds[child], own)
                yield from below(child)

        return list(below(()))

    def write_trace(self, path: Path, other: Mapping[str, Any]) -> None:
        """Write all calls in Chrome's trace format, for chrome://tracing or https://ui.perfetto.dev.

        Args:
            path: File, which is complete or absent.
            other: What else the file says, such as the machine.
        """
        origin = min((span.start for span in self.spans), default=0)
        events = [
            {
                "name": span.path[-1],
                "ph": "X",
                "ts": 1e-3 * (span.start - origin),
                "dur": 1e-3 * (span.end - span.start),
                "pid": 0,
                "tid": 0,
            }
            for span in sorted(self.spans, key=lambda span: span.start)
        ]
        atomic_json_dump({"traceEvents": events, "displayTimeUnit": "ms", "otherData": dict(other)}, path)


_ABSENT = object()


def span_table(rows: list[Row], wall: float, per: int, unit: str, least: float = 0.002) -> str:
    """Return a table of the calls, indented by what they lie in.

    "of it" is what a call does outside of the parts below it; these numbers and the last line's add up to the
    wall-clock.

    Args:
        rows: See :meth:`SpanRecorder.rows`.
        wall: The wall-clock [s].
        per: Number of rounds of the loop that it took.
        unit: What a round is called.
        least: Share of the wall-clock below which a call is left out, within the one it lies in.
    """
    table = PrettyTable(
        ["part", f"calls per {unit}", f"ms per {unit}", "share", "of it, ms", "of it, share"], align="r"
    )
    table.align["part"] = "l"
    shown = {row.path for row in rows if row.seconds >= least * wall}
    hidden: dict[tuple[str, ...], float] = {}
    for row in rows:
        outside = row.path[:-1]
        if row.path not in shown and (outside in shown or not outside):
            hidden[outside] = hidden.get(outside, 0.0) + row.seconds
    for row in rows:
        if row.path in shown:
            own = row.own_seconds + hidden.get(row.path, 0.0)
            cells = [f"{row.calls / per:.0f}", *_cells(row.seconds, wall, per), *_cells(own, wall, per)]
            table.add_row(["  " * (len(row.path) - 1) + row.path[-1], *cells])
    rest = wall - sum(row.seconds for row in rows if len(row.path) == 1) + hidden.get((), 0.0)
    table.add_row(["(in no part)", "", "", "", *_cells(rest, wall, per)], divider=True)
    table.add_row(["wall-clock", "", *_cells(wall, wall, per), "", ""])
    return table.get_string()


def _cells(seconds: float, wall: float, per: int) -> list[str]:
    return [f"{1e3 * seconds / per:.2f}", f"{100 * seconds / wall:.1f}%"]
