# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Errors meant for the person at the terminal, and how every script reports them.

What this module imports is imported before Ctrl-C is understood, so it is little.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading

TYPE_CHECKING = False  # typing and what is named below would take longer to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class ZprlError(Exception):
    """A problem that the user can solve: one sentence that says what is wrong, where, and what to do."""

    def __str__(self) -> str:
        # Names out of a file stand in it, and none begins a line or moves the terminal's cursor.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in super().__str__())


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the process to end, as schedulers and ``kill`` do; it ends as by Ctrl-C."""


class NotInstalledError(ZprlError):
    """Something that a program needs is not installed, or does not load."""


def run_cli(main: Callable[[], object], *, after_interrupt: str = "run the same command again") -> None:
    """Run a script's entry point and turn the expected failures into one line and an exit status.

    ==================  ======  ==========================================================
    raised              status  printed to stderr
    ==================  ======  ==========================================================
    nothing             0       nothing
    :class:`ZprlError`  2       ``error: <its sentence>``
    an OSError          2       ``error: ...``, if it is one of those that the user can mend
    Ctrl-C              130     that the files written so far are safe, and how to continue
    SIGTERM             143     the same
    a closed pipe       141     nothing: whoever reads the output, such as ``head``, has seen enough
    anything else       1       its traceback: a defect, so nothing is hidden
    ==================  ======  ==========================================================

    A stream that the process was started without, as by ``>&-``, leads nowhere.

    Args:
        main: Entry point without arguments. Its return value is ignored.
        after_interrupt: What to do to continue after Ctrl-C, such as "continue with --resume".
    """
    _open_closed_streams()
    threading.excepthook = _note_in_thread
    sys.unraisablehook = _ask_again
    try:
        with _sigterm_raises():
            try:
                main()
            except SystemExit:  # such as that of --help
                _flush_stdout()
                raise
        _flush_stdout()  # the interpreter would print a traceback of what fails at its end
    except ZprlError as error:
        _exit(f"error: {error}", 2)
    except KeyboardInterrupt as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more is at once and without a word
        word, status = ("terminated", 143) if isinstance(interrupt, Terminated) else ("interrupted", 130)
        _exit(f"\n{word}: the last saved checkpoint is safe and complete; {after_interrupt}.", status)
    except BrokenPipeError:
        _forget_stdout()
        sys.exit(141)
    except OSError as error:
        sentence = describe_os_error(error)
        if sentence is None:
            raise
        _exit(f"error: {sentence}", 2)


_FULL_DISK = {
    errno.ENOSPC: ("no space left on device", "free some space"),
    errno.EDQUOT: ("disk quota exceeded", "free some space"),
    errno.EFBIG: ("file size limit reached", "raise it with `ulimit -f`"),
}

_NO_ACCESS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "it lies on a read-only file system",
    errno.EBUSY: "it is in use, perhaps as a mount point",
    errno.ENOTDIR: "a part of its path is no folder",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOLCK: "its file system has no locks",
    errno.ENXIO: "nobody reads it",
}


def describe_os_error(error: OSError) -> str | None:
    """Return the sentence for a file that could not be used for a reason outside of this program, or None."""
    named = isinstance(error.filename, str | bytes)
    place = os.fsdecode(error.filename) if named else None  # type: ignore[arg-type]
    if error.errno in _FULL_DISK:
        problem, remedy = _FULL_DISK[error.errno]
        place = place or f"a file below {os.getcwd()}, or standard output"
        return f"{problem} while writing {place}; {remedy} and run the command again."
    if error.errno in _NO_ACCESS and place is not None:
        return f"cannot use {place}: {_NO_ACCESS[error.errno]}; change that, or name another place."
    return None


def _note_in_thread(failure: threading.ExceptHookArgs) -> None:
    """Say why a thread ended, unless that is one of the errors that its user, such as TensorBoard's, meets as well."""
    if not isinstance(failure.exc_value, OSError) or describe_os_error(failure.exc_value) is None:
        threading.__excepthook__(failure)


def _ask_again(lost: sys.UnraisableHookArgs) -> None:
    """Send Ctrl-C or SIGTERM once more if it came where errors are only printed, as in a ``__del__``."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = signal.SIGTERM if issubclass(lost.exc_type, Terminated) else signal.SIGINT
    # Later, or it would be raised in here and be lost again.
    again = threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, number))
    again.daemon = True
    again.start()


def _open_closed_streams() -> None:
    """Let closed standard streams lead nowhere: the next files that are opened would take their numbers."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise :class:`Terminated` while the block lasts, which leaves no half-written file behind."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    saved = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, saved)


@contextlib.contextmanager
def sigterm_noted() -> Iterator[Callable[[], bool]]:
    """Let the first SIGTERM only be noted while the block lasts; the next one does what it did before.

    Yields:
        Returns whether one has come.
    """
    noted = False

    def note(number: int, frame: object) -> None:
        nonlocal noted
        noted = True
        signal.signal(signal.SIGTERM, saved)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield lambda: False
        return
    saved = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGTERM, saved)


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_stdout()
        raise OSError(error.errno, error.strerror, "standard output") from error


def _forget_stdout() -> None:
    # Or the interpreter would try once more at its end, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(line: str, status: int) -> None:
    # Flushed first, so that the line comes last also where stdout and stderr go to the same file.
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    with contextlib.suppress(OSError):
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
    import difflib

    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[m] for m in difflib.get_close_matches(name.lower(), list(by_lower_case), n=3, cutoff=0.5)]
    if close:
        return f" (did you mean {' or '.join(filter(None, [', '.join(close[:-1]), close[-1]]))}?)"
    return f"; {otherwise}" if otherwise else ""
