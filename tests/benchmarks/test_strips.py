"""Rows of the strips benchmark: the names that others read, and ratios of figures in the row."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from benchmarks.rows import flat_rows
from benchmarks.strips import Row, _print, _ways
from partitioning.strips.search import plan_shared
from planner.group_trial import SharingTrials, TriedSharing
from planner.shared_plan import busy_boards
from planner.strip_times import StripModel
from tests.bundles import load_zoo_model
from tests.partitioning.strips.made_up_times import board, links

ASKED_FOR = (
    "model dtype boards cores_per_board link_mbit_s latency_ms speedup_vs_one_board predicted_speedup bytes_exchanged"
).split()


def test_rows_have_the_names_that_others_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert {*ASKED_FOR} <= {field.name for field in fields(Row)}
    row = Row(
        case="shared",
        model="Net",
        dtype="int8",
        boards=2,
        cores_per_board=0.2,
        speeds="1,0.5",
        link_mbit_s=1000.0,
        latency_ms=27.5,
        speedup_vs_one_board=2.0,
        predicted_ms=28.0,
        predicted_speedup=2.1,
        predicted_wire_ms=1.5,
        bytes_exchanged=1000.0,
        segments=7,
        compute_ms=11.0,
        wait_ms=6.0,
        service_cpu_ms=13.0,
        invoke_cpu_ms=10.0,
        processor="one",
        day="a day",
    )
    (flat,) = flat_rows("strips", [row])
    assert flat["benchmark"] == "strips"
    alone = replace(row, case="one board", speeds="1", invoke_cpu_ms=18.0)
    _print([alone, replace(row, speeds="1,1"), row])
    said = capsys.readouterr().out
    assert "2.00 x" in said
    assert said.count("1.80 x") == 1, "of boards alike the runtime's part of the work is the limit"


def test_ways_of_others_are_planned_from_the_same_times() -> None:
    model = StripModel(load_zoo_model("residual", "float32").graph)
    boards = [board(model.graph, speed) for speed in (1.0, 0.5)]
    between = links(2, 1e-5, 1e9)
    found = plan_shared(model.graph, boards, between, model.places[1:-1])
    trials = SharingTrials(1.0, TriedSharing(found, 0.5))
    ways = {name: way for name, way, _ in _ways(model, boards, between, trials, against=True)}
    assert list(ways) == ["shared", "leader gathers and scatters", "layer by layer", "equal shares"]
    assert all(ways["shared"].time.latency_s <= other.time.latency_s for other in ways.values())
    assert all(segment.gathered for segment in ways["leader gathers and scatters"].segments)
    assert all(s.stop_op == s.start_op + 1 for s in ways["layer by layer"].segments)
    assert all(len({share for share in s.shares if share}) == 1 for s in ways["equal shares"].segments)
    assert list(_ways(model, boards, between, trials, against=False)) == [("shared", found, 0.5)]


def test_board_alone_is_our_way_where_the_trial_says_so() -> None:
    model = StripModel(load_zoo_model("residual", "float32").graph)
    boards, between = [board(model.graph, speed) for speed in (1.0, 0.5)], links(2, 1e-5, 1e9)
    found = plan_shared(model.graph, boards, between, model.places[1:-1])
    for tried in (None, TriedSharing(found, 0.98)):
        ((_, alone, said_s),) = _ways(model, boards, between, SharingTrials(1.0, tried), against=False)
        assert (busy_boards(alone), said_s) == ([0], 1.0)
