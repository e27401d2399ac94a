"""Cuts that were planned before, and plans made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chain import planned_cuts
from benchmarks.chain.planned_cuts import PlannedCuts, chain_of, keep_cuts, kept_cuts, replicas_of, unused_boards
from dispatcher_client import Board
from tests.bundles import zoo_file
from transport.address import Address

_BOARDS = [Board(f"pi{i}", Address("10.0.0.1", 50000 + i)) for i in (1, 2, 3)]


def test_kept_cuts_are_for_one_file_and_kind_of_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned_cuts, "DIRECTORY", tmp_path)
    file, found = zoo_file("residual", "float32"), PlannedCuts((9,), 50.0)
    keep_cuts(found, file, 2, 0.2, 200.0)
    assert kept_cuts(file, 2, 0.2, 200.0) == found
    assert kept_cuts(file, 2, 0.2, 100.0) is None
    assert kept_cuts(file, 2, 0.4, 200.0) is None
    assert kept_cuts(file, 3, 0.2, 200.0) is None
    assert kept_cuts(zoo_file("residual", "int8"), 2, 0.2, 200.0) is None


def test_chain_takes_the_first_boards() -> None:
    plan = chain_of("net", _BOARDS, PlannedCuts((9,), None))
    assert [(s.board, s.until) for s in plan.chains[0].stages] == [("pi1", 9), ("pi2", None)]


def test_replicas_hold_the_whole_model_each() -> None:
    plan = replicas_of("net", _BOARDS)
    assert [[(s.board, s.until) for s in chain.stages] for chain in plan.chains] == [
        [("pi1", None)],
        [("pi2", None)],
        [("pi3", None)],
    ]


def test_unused_boards_are_said() -> None:
    planned = {1: PlannedCuts((), None), 3: PlannedCuts((4,), 9.0), 2: PlannedCuts((4,), 9.0)}
    assert list(unused_boards(planned)) == ["the planner leaves 1 of 3 boards unused"]
