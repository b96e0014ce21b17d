# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import io

import pytest

from zprl.utils.progress import Progress, format_duration


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_log_gets_a_line_every_ten_seconds_and_one_at_the_end():
    clock, log = Clock(), io.StringIO()
    with Progress(100, "pretraining", "epoch", log, clock) as progress:
        for _ in range(100):
            clock.now += 0.25
            progress.advance()
    assert log.getvalue().splitlines() == [
        "pretraining:  40% 40/100 epochs, 4.0 epochs/s, 0:15 left",
        "pretraining:  80% 80/100 epochs, 4.0 epochs/s, 0:05 left",
        "pretraining: 100% 100/100 epochs, 4.0 epochs/s, 0:25",
    ]


def test_terminal_line_is_rewritten_without_leftovers():
    clock, terminal = Clock(), Terminal()
    progress = Progress(3, "recording", "demo", terminal, clock)
    for note in ("a long note", ""):
        clock.now += 60.0
        progress.advance(note=note)
    progress.close()
    first, second, last = terminal.getvalue().removeprefix("\r").split("\r")
    assert first == "recording:  33% 1/3 demos, 60.0 s/demo, 2:00 left, a long note"
    assert second.rstrip() == "recording:  66% 2/3 demos, 60.0 s/demo, 1:00 left"
    assert len(second) == len(first)
    assert last.endswith("\n")


def test_terminal_line_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    clock, terminal = Clock(), Terminal()
    progress = Progress(3, "recording", "demo", terminal, clock)
    clock.now += 1.0
    progress.advance()
    assert terminal.getvalue() == "\rrecording:  33% 1/3"


def test_terminal_is_not_flooded():
    clock, terminal = Clock(), Terminal()
    progress = Progress(1000, "x", "step", terminal, clock)
    for _ in range(1000):
        clock.now += 0.001
        progress.advance()
    assert terminal.getvalue().count("\r") <= 10


def test_unknown_total_and_nothing_done():
    clock, log = Clock(), io.StringIO()
    Progress(None, "reading", "file", log, clock).close()
    Progress(0, "reading", "file", log, clock).close()
    assert log.getvalue() == "reading: 0 files, 0:00\nreading: 100% 0/0 files, 0:00\n"


def test_iterating_reports_each_item(capsys):
    assert list(Progress.over(["a", "b"], "reading", "file")) == ["a", "b"]
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("reading: 100% 2/2 files")


def test_failure_inside_still_ends_the_line():
    terminal = Terminal()
    with pytest.raises(ValueError, match="defect"), Progress(2, "reading", "file", terminal):
        raise ValueError("defect")
    assert terminal.getvalue().endswith("\n")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")])
def test_duration(seconds, text):
    assert format_duration(seconds) == text


def test_a_message_stands_on_a_line_of_its_own(capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    progress = Progress(2, "training", stream=terminal, clock=iter([0.0, 1.0, 2.0]).__next__)
    progress.advance()
    progress.message("evaluated")
    assert capsys.readouterr().out == "evaluated\n"
    assert terminal.getvalue().endswith(" \r")


def test_the_last_line_of_a_log_is_printed_once():
    log = io.StringIO()
    with Progress(1, "training", stream=log, clock=iter([0.0, 20.0, 21.0]).__next__) as progress:
        progress.advance()
    assert log.getvalue().count("100%") == 1
