# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Progress of long work: a line that updates itself on a terminal, a line now and then in a log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TextIO


class Progress:
    """Report how far a task is, how fast it goes and when it will be done.

    On a terminal one line is rewritten; elsewhere, such as in a log file, a new line is printed every ten seconds.
    It goes to stderr, so that stdout holds results only.

    .. code-block:: python

        with Progress(total=200, description="pretraining", unit="epoch") as progress:
            for _ in range(200):
                loss = train_epoch()
                progress.advance(note=f"loss {loss:.3f}")

        for path in Progress.over(paths, "reading", "file"):
            ...

    Args:
        total: Number of units to do, or None if unknown.
        description: What is being done.
        unit: Name of one unit in the singular.
        stream: Where to print; stderr by default.
        clock: Time source [s], replaceable in tests.
    """

    TERMINAL_INTERVAL = 0.1
    """Shortest time between two updates of the line on a terminal [s]."""
    LOG_INTERVAL = 10.0
    """Shortest time between two lines elsewhere [s]."""

    def __init__(
        self,
        total: int | None,
        description: str,
        unit: str = "step",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self._total = total
        self._description = description
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._note = ""
        self._shown = -1  # units done on the line that was printed last
        self._width = 0  # of the line on the terminal, to blank out what a shorter one leaves
        self._start = self._printed = clock()

    @classmethod
    def over[T](cls, items: Iterable[T], description: str, unit: str = "step") -> Iterator[T]:
        """Iterate over items and report the progress; the total is known if the items have a length."""
        total = len(items) if hasattr(items, "__len__") else None  # pyright: ignore[reportArgumentType]
        with cls(total, description, unit) as progress:
            for item in items:
                yield item
                progress.advance()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add finished units.

        Args:
            count: Number of units finished since the last call.
            note: Short text to show at the end of the line, such as the loss.
        """
        self.done += count
        self._note = note
        now = self._clock()
        if now - self._printed >= (self.TERMINAL_INTERVAL if self._terminal else self.LOG_INTERVAL):
            self._printed = now
            self._print(now)

    def message(self, text: str) -> None:
        """Print a line of its own to stdout, clear of the progress line."""
        if self._terminal:
            print(f"\r{' ' * self._width}\r", end="", file=self._stream, flush=True)
            self._width = 0
        print(text, flush=True)

    def close(self) -> None:
        """Print the final state and end the line."""
        if self._terminal or self._shown != self.done:
            self._print(self._clock())
        if self._terminal:
            print(file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _print(self, now: float) -> None:
        line = self._line(now - self._start)
        self._shown = self.done
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]  # a wrapped line could not be rewritten
            padding = " " * (self._width - len(line))
            self._width = len(line)
            print(f"\r{line}{padding}", end="", file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)

    def _line(self, elapsed: float) -> str:
        rate = self.done / elapsed if elapsed > 0.0 else 0.0
        if self._total is None:
            parts = [f"{self._description}: {self.done} {self._unit}s"]
        else:
            percent = 100 * self.done // self._total if self._total else 100
            parts = [f"{self._description}: {percent:3d}% {self.done}/{self._total} {self._unit}s"]
        if rate > 0.0:
            slow = rate < 1.0
            parts.append(f"{1 / rate:.1f} s/{self._unit}" if slow else f"{rate:.1f} {self._unit}s/s")
        if rate > 0.0 and self._total is not None and self.done < self._total:
            parts.append(f"{format_duration((self._total - self.done) / rate)} left")
        else:
            parts.append(format_duration(elapsed))
        if self._note:
            parts.append(self._note)
        return ", ".join(parts)


def format_duration(seconds: float) -> str:
    """Return a duration [s] as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
