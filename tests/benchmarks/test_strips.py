"""Rows of the strips benchmark: the names that others read, and ratios of figures in the row."""

from __future__ import annotations

from dataclasses import fields

import pytest

from benchmarks.rows import flat_rows
from benchmarks.strips import Row, _print, _row, _Run

ASKED_FOR = (
    "model dtype boards cores_per_board link_mbit_s latency_ms speedup_vs_one_board predicted_speedup bytes_exchanged"
).split()


def test_rows_have_the_names_that_others_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert {*ASKED_FOR} <= {field.name for field in fields(Row)}
    runs = [_Run([30.0, 20.0, 90.0], 1000.0, 10.0, 5.0), _Run([25.0, 20.0, 30.0], 1000.0, 12.0, 7.0)]
    row = _row("shared", "Net", "int8", 4, 0.2, 1000.0, runs, 55.0, 28.0, 2.1, 7)
    assert (row.latency_ms, row.speedup_vs_one_board) == (27.5, 2.0)
    assert (row.compute_ms, row.wait_ms, row.bytes_exchanged) == (11.0, 6.0, 1000.0)
    (flat,) = flat_rows("strips", [row])
    assert flat["benchmark"] == "strips"
    _print([row])
    assert "2.00 x" in capsys.readouterr().out
