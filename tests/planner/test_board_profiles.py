"""Profiles from real boards: found again, measured anew when asked for, and no board forgotten when one fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from examples.local_boards import LocalBoards
from fleet.errors import BoardRefusedError, BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from planner.board_profiles import (
    BoardRecord,
    ProfileSettings,
    describe_boards,
    flag_notes,
    measure_codecs,
    profile_boards,
)
from planner.model import PlannerModel
from protos.v1.control_plane_pb2 import Profile
from tests.external_delegate import first_relu
from tests.planner.on_boards import SETTINGS, trials_on
from transport.address import Address


def measure(
    model: PlannerModel, boards: list[Board], settings: ProfileSettings = SETTINGS
) -> tuple[dict[str, BoardRecord], list[tuple[str, int, int]]]:
    """All pieces on all boards, from records that know nothing, and what the listener heard."""
    heard: list[tuple[str, int, int]] = []
    records = run_in_loop(describe_boards(boards, settings))
    wanted = dict.fromkeys(records, model.pieces)
    run_in_loop(profile_boards(model, wanted, records, settings, lambda *what: heard.append(what)))
    return records, heard


def kept(records: Mapping[str, BoardRecord]) -> dict[tuple[str, tuple[int, int]], Profile]:
    """The profiles that their boards keep: those without flags."""
    return {(name, ops): p for name, r in records.items() for ops, p in r.profiles.items() if not p.flags}


def test_boards_describe_themselves_under_their_names(boards: LocalBoards) -> None:
    records = run_in_loop(describe_boards(boards.named, SETTINGS))
    assert list(records) == ["board1", "board2", "board3"]
    for name, record in records.items():
        assert record.description.name == name
        assert not record.profiles
        assert not record.codec_speeds


def test_pieces_are_profiled_on_every_board_and_progress_is_told(dense: PlannerModel, boards: LocalBoards) -> None:
    records, heard = measure(dense, boards.named)
    n = len(dense.pieces)
    for name, record in records.items():
        assert list(record.profiles) == dense.pieces
        assert [what for what in heard if what[0] == name] == [(name, done, n) for done in range(n + 1)]
        for ops, profile in record.profiles.items():
            assert profile.key.sha256 == dense.segment(ops).sha256
            assert profile.board == name
            assert profile.run_s > 0


def test_profiles_are_found_again_and_measured_anew_only_when_fresh_ones_are_asked_for(
    dense: PlannerModel, boards: LocalBoards
) -> None:
    first = kept(measure(dense, boards.named)[0])
    assert first, "at least one of fifteen measurements is not disturbed"
    again, heard = measure(dense, boards.named)
    assert heard[-1][1:] == (len(dense.pieces), len(dense.pieces))
    for (name, ops), profile in first.items():
        assert again[name].profiles[ops] == profile
    fresh, _ = measure(dense, boards.named, replace(SETTINGS, fresh=True))
    for (name, ops), profile in first.items():
        assert fresh[name].profiles[ops].measured_at_s > profile.measured_at_s


def test_profile_that_is_kept_is_measured_anew_when_it_is_not_exact_enough(
    dense: PlannerModel, boards: LocalBoards
) -> None:
    one = boards.named[:1]
    rough = measure(dense, one)[0]["board1"].profiles
    exact = measure(dense, one, replace(SETTINGS, confidence=1e-6))[0]["board1"].profiles
    for ops, profile in rough.items():
        assert exact[ops].measured_at_s > profile.measured_at_s


def test_known_profiles_stay_unless_they_are_to_be_replaced(dense: PlannerModel, boards: LocalBoards) -> None:
    records, _ = measure(dense, boards.named[:1])
    before = dict(records["board1"].profiles)
    wanted, settings = {"board1": dense.pieces}, replace(SETTINGS, fresh=True)
    run_in_loop(profile_boards(dense, wanted, records, settings))
    assert records["board1"].profiles == before
    run_in_loop(profile_boards(dense, {"board1": dense.pieces[:1]}, records, settings, replace_known=True))
    assert [ops for ops, p in records["board1"].profiles.items() if p != before[ops]] == dense.pieces[:1]


def test_threads_of_the_boards_file_reach_the_board(dense: PlannerModel, boards: LocalBoards) -> None:
    named = [replace(boards.named[0], threads=2), boards.named[1]]
    records, _ = measure(dense, named)
    assert {p.key.threads for p in records["board1"].profiles.values()} == {2}
    assert {p.key.threads for p in records["board2"].profiles.values()} == {1}


def test_pieces_are_measured_with_the_delegate_of_the_boards_file(dense: PlannerModel, store_root: Path) -> None:
    with LocalBoards(1, store_root, ("--threads", "1", "--delegate", f"npu={first_relu()}")) as own:
        (board,) = own.named
        for delegate, library in (("npu", "libfirst_relu.so"), ("none", "")):
            records, _ = measure(dense, [replace(board, delegate=delegate)])
            profiles = records[board.name].profiles.values()
            assert {p.key.delegate for p in profiles} == {delegate}
            assert {p.runtime.delegate.partition(" ")[0] for p in profiles} == {library}


def test_every_board_that_does_not_answer_is_named_at_once(boards: LocalBoards) -> None:
    nobody = [Board(name, Address("127.0.0.1", 1)) for name in ("pi8", "pi9")]
    begin_s = time.monotonic()
    with pytest.raises(BoardUnavailableError, match=r"^board pi8: 127(.*\n)*board pi9: 127") as caught:
        run_in_loop(describe_boards([nobody[0], *boards.named, nobody[1]], SETTINGS))
    assert caught.value.board == "pi8"
    assert time.monotonic() - begin_s < 10


def test_board_that_refuses_is_named_with_its_reason(dense: PlannerModel, boards: LocalBoards) -> None:
    with pytest.raises(BoardRefusedError, match=r"board1: .*9999"):
        measure(dense, boards.named[:1], replace(SETTINGS, budget_s=9999, fresh=True))


def test_board_that_dies_while_it_measures_is_named_and_the_others_stop(dense: PlannerModel, store_root: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    with LocalBoards(2, store_root) as running:

        def kill_first(board: str, done: int, total: int) -> None:
            heard.append((board, done, total))
            if board == "board1" and done == 1:
                running.boards[0].process.kill()

        async def run() -> int:
            records = await describe_boards(running.named, SETTINGS)
            slow = replace(SETTINGS, budget_s=0.5, confidence=1e-6)
            with pytest.raises(BoardUnavailableError) as caught:
                await profile_boards(dense, dict.fromkeys(records, dense.pieces), records, slow, kill_first)
            assert caught.value.board == "board1"
            return len(heard)

        before = run_in_loop(run())
        assert trials_on(running.named[1]) == []
        assert len(heard) == before, "the other board was measured on"
        assert ("board2", len(dense.pieces), len(dense.pieces)) not in heard


@pytest.mark.parametrize("confidence", [0.001, 0.02, 0.5])
def test_rough_measurement_asks_for_less_and_never_for_nothing(confidence: float) -> None:
    rough = ProfileSettings(confidence, 3.0).rough
    assert confidence <= rough.confidence < 1
    assert rough.budget_s == pytest.approx(1.0)


def test_codecs_are_measured_on_every_board(boards: LocalBoards) -> None:
    records = run_in_loop(describe_boards(boards.named[:2], SETTINGS))
    run_in_loop(measure_codecs(records, SETTINGS, 0.2))
    for record in records.values():
        assert record.codec_speeds
        assert all(speed.encode_bytes_per_s > 0 for speed in record.codec_speeds)
    assert flag_notes(records) == []
