# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Drop what the simulator prints in every run and pass on everything else, from stdin to stderr.

:func:`zprl.sim.isaaclab.quiet.quiet_simulator` runs this file as a process of its own, between the simulator's C code
and the terminal. A thread would not do: it loses what a crashing process printed last, and it deadlocks with code that
prints while it holds Python's interpreter lock. Only the standard library is imported, so that it starts at once.
"""

from __future__ import annotations

import re
import signal
import sys

NOISE = re.compile(
    r"""
    ^\s*$                                                     # blank lines around banners and tables
    | ^\[INFO\]                                               # Isaac Lab's announcements, ...
    | ^\t(Environment|Physics|Rendering|Number|Source|Global|Replicate)\b .* :  # ... their details, ...
    | ^(\+[-=+]+\+|\|.*\|)\s*$                                # ... and the managers' tables
    | ^(Finalize\ builder|Initialize\ solver)\ took:          # Newton's timers
    | ^Warp\ \d+\.\d+.*initialized | ^\s+(CUDA|Devices:|"cpu"|"cuda|Kernel\ cache:|/\S+/warp/) # Warp's banner
    | ^Module\ \S+\ (\w+\ )?load\ on\ device
    | /wp_\S+\.cpp:\d+:\d+:\ warning | ^\s*\d*\ \|\ | ^\d+\ warnings?\ generated  # from compiling generated code
    | Could\ not\ find\ or\ load\ the\ NVIDIA\ CUDA\ driver   # said once by our own check of the device
    | (linesearch|solver)\ iterations\ limit\ reached         # harmless: the step is merely less exact
    | ^Failed\ to\ get\ root\ com\ velocity                   # true of every robot whose base is fixed
    | ^Actuator\ groups\ cover\ .*\ after\ accounting\ for\ fixed\ tendons  # ours couple joints that are all driven
    | Newton\ shape\ color\ replacement | ^\s+replace_newton_builder_shape_colors
    """,
    re.VERBOSE,
)
"""Lines without information for the user."""

ERROR = re.compile(r"error|exception|traceback|fatal|abort|segmentation|terminate called", re.IGNORECASE)
"""Lines that are passed on every time."""


class NoiseFilter:
    """Decides line by line what to show.

    Kernels print the same warning for thousands of worlds, with other numbers in it. It is shown when it first comes,
    and :meth:`summary` says how often it came again.
    """

    def __init__(self) -> None:
        self._repeats: dict[str, int] = {}
        self._after_error = False

    def passes(self, line: str) -> bool:
        """Return whether to show a line, given without its line break."""
        if ERROR.search(line):
            self._after_error = True
        # What follows an error belongs to it, such as the lines of its stack.
        if self._after_error and (line.startswith((" ", "\t")) or ERROR.search(line)):
            return True
        self._after_error = False
        if NOISE.search(line):
            return False
        key = re.sub(r"\d+", "#", line)
        self._repeats[key] = self._repeats.get(key, -1) + 1
        return self._repeats[key] == 0

    def summary(self) -> list[str]:
        """Return one line for every warning that came more than once."""
        return [f"{count} more like: {key}" for key, count in self._repeats.items() if count > 0]


def main() -> None:
    """Filter until the last writer is gone."""
    # The filter outlives Ctrl-C and SIGTERM, which reach the whole process group: the last words are still to come.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    noise_filter = NoiseFilter()
    for raw in sys.stdin.buffer:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if noise_filter.passes(line):
            print(line, file=sys.stderr, flush=True)
    for line in noise_filter.summary():
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
