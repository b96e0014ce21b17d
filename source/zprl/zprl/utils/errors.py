# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Errors meant for the person at the terminal, and how every script reports them."""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Callable, Sequence


class ZprlError(Exception):
    """A problem that the user can solve: one sentence that says what is wrong, where, and what to do."""


def run_cli(main: Callable[[], object], *, after_interrupt: str = "run the same command again") -> None:
    """Run a script's entry point and turn the expected failures into one line and an exit status.

    ==================  ======  ==========================================================
    raised              status  printed to stderr
    ==================  ======  ==========================================================
    nothing             0       nothing
    :class:`ZprlError`  2       ``error: <its sentence>``
    no space left       2       ``error: no space left on device while writing ...``
    Ctrl-C              130     that the files written so far are safe, and how to continue
    a closed pipe       141     nothing: whoever reads the output, such as ``head``, has seen enough
    anything else       1       its traceback: a defect, so nothing is hidden
    ==================  ======  ==========================================================

    Args:
        main: Entry point without arguments. Its return value is ignored.
        after_interrupt: What to do to continue after Ctrl-C, such as "continue with --resume".
    """
    try:
        main()
    except ZprlError as error:
        _exit(f"error: {error}", 2)
    except KeyboardInterrupt:
        _exit(f"\ninterrupted: the last saved checkpoint is safe and complete; {after_interrupt}.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would complain at its end
        sys.exit(141)
    except OSError as error:
        sentence = describe_full_disk(error)
        if sentence is None:
            raise
        _exit(f"error: {sentence}", 2)


_FULL_DISK = {
    errno.ENOSPC: ("no space left on device", "free some space"),
    errno.EDQUOT: ("disk quota exceeded", "free some space"),
    errno.EFBIG: ("file size limit reached", "raise it with `ulimit -f`"),
}


def describe_full_disk(error: OSError) -> str | None:
    """Return the sentence for a file that could not be written for lack of space, or None for any other error."""
    if error.errno not in _FULL_DISK:
        return None
    problem, remedy = _FULL_DISK[error.errno]
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else f"a file below {os.getcwd()}"
    return f"{problem} while writing {place}; {remedy} and run the command again."


def _exit(line: str, status: int) -> None:
    # Flushed first, so that the line comes last also where stdout and stderr go to the same file.
    sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)
    sys.exit(status)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or else the name of its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def one_sentence(error: Exception) -> str:
    """Return the first sentence of a library's message, without its full stop."""
    return first_line(error).split(". ")[0].rstrip(".:; ")


def did_you_mean(name: str, known: Sequence[str], otherwise: str = "") -> str:
    """Return the end of a sentence that offers the known names closest to a misspelt one, or else ``otherwise``."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[m] for m in difflib.get_close_matches(name.lower(), list(by_lower_case), n=3, cutoff=0.5)]
    if close:
        return f" (did you mean {' or '.join(filter(None, [', '.join(close[:-1]), close[-1]]))}?)"
    return f"; {otherwise}" if otherwise else ""
