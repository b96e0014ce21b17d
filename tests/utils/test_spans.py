# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Recording where time goes, with calls whose durations are known."""

import json

import pytest

from zprl.utils.spans import Part, Span, SpanRecorder, span_table

MS = 1_000_000


class Loop:
    """A loop with two parts, one of which calls the other."""

    def outer(self, value):
        return self.inner(value) + 1

    def inner(self, value):
        if value < 0:
            raise ValueError(value)
        return 2 * value


@pytest.fixture
def recorder():
    """Two rounds of 10 ms, in which "b" lies in "a" and calls "c" twice."""
    recorder = SpanRecorder()
    for start in (0, 10 * MS):
        for name, begin, end in (
            (("a",), 1, 9),
            (("a", "b"), 2, 8),
            (("a", "b", "c"), 3, 4),
            (("a", "b", "c"), 5, 6),
            (("d",), 9, 10),
        ):
            recorder.spans.append(Span(name, start + begin * MS, start + end * MS))
    return recorder


def test_own_times_are_what_lies_in_no_part_below_and_add_up(recorder):
    rows = {row.path: row for row in recorder.rows()}
    assert [(*row.path,) for row in recorder.rows()] == [("a",), ("a", "b"), ("a", "b", "c"), ("d",)]
    assert {path: row.calls for path, row in rows.items()} == {("a",): 2, ("a", "b"): 2, ("a", "b", "c"): 4, ("d",): 2}
    own = {path[-1]: 1e3 * row.own_seconds for path, row in rows.items()}
    assert own == pytest.approx({"a": 4.0, "b": 8.0, "c": 4.0, "d": 2.0})
    total = sum(row.own_seconds for row in rows.values())
    assert total == pytest.approx(rows[("a",)].seconds + rows[("d",)].seconds)


@pytest.mark.parametrize("least", [0.0, 0.15, 0.5, 1.0])
def test_the_last_column_of_the_table_adds_up_to_the_wall_clock_whatever_is_left_out(recorder, least):
    table = span_table(recorder.rows(), wall=0.020, per=2, unit="round", least=least)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line]
    own = [float(row[4]) for row in cells[1:] if row[4]]
    assert sum(own) == pytest.approx(10.0)
    assert cells[-1][:3] == ["wall-clock", "", "10.00"]
    assert cells[-2][0] == "(in no part)"


def test_functions_are_recorded_while_they_are_watched_and_are_themselves_again_afterwards():
    loop, recorder = Loop(), SpanRecorder()
    parts = [Part("outside", loop, "outer"), Part("inside", loop, "inner")]
    with recorder.watching(parts):
        assert loop.outer(3) == 7
        with pytest.raises(ValueError, match="-1"):
            loop.outer(-1)
        assert loop.inner(2) == 4
    assert loop.outer(1) == 3 and vars(loop) == {}
    paths = [span.path for span in recorder.spans]
    assert paths == [*[("outside", "inside"), ("outside",)] * 2, ("inside",)]
    assert all(span.start <= span.end for span in recorder.spans)


def test_the_trace_holds_every_call_where_it_was(recorder, tmp_path):
    recorder.write_trace(tmp_path / "trace.json", {"task": "Toy"})
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["otherData"] == {"task": "Toy"}
    events = trace["traceEvents"]
    assert [event["ts"] for event in events[:3]] == [0.0, 1000.0, 2000.0]
    assert [(event["name"], event["dur"]) for event in events[:2]] == [("a", 8000.0), ("b", 6000.0)]
    assert len(events) == len(recorder.spans)
