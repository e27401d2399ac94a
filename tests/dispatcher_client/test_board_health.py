"""A board that failed is used again only after it has proved itself, the longer the more often it failed."""

from __future__ import annotations

import pytest

from dispatcher_client.board_health import TRANSITIONS, BoardHealth, Event, Health, HealthBook


def prove(board: BoardHealth, now_s: float) -> float:
    """Has it answer whenever it is asked until it is well; when that is."""
    while board.health is not Health.WELL:
        now_s += 0.05
        if board.is_due(now_s):
            board.answered(now_s)
    return now_s


def test_table_has_every_event_but_a_proof_without_a_doubt() -> None:
    assert set(TRANSITIONS) == {
        (health, event) for health in Health for event in Event if event is not Event.PROVED or health is Health.PROVING
    }


def test_board_is_well_until_it_fails_and_is_asked_only_then() -> None:
    board = BoardHealth()
    assert not board.is_due(1e6)
    board.failed("killed", 10.0)
    assert (board.health, board.why) == (Health.GONE, "killed")
    assert not board.is_due(10.1)
    assert board.is_due(10.3)


def test_one_answer_is_no_proof() -> None:
    board = BoardHealth()
    board.failed("killed", 0.0)
    board.answered(1.0)
    after_one_answer = board.health
    board.failed("killed again", 1.5)
    assert (after_one_answer, board.health) == (Health.PROVING, Health.GONE)


def test_pauses_grow_while_it_stays_silent() -> None:
    board, now_s, pauses = BoardHealth(), 0.0, []
    board.failed("gone", now_s)
    for _ in range(9):
        before_s = now_s
        while not board.is_due(now_s):
            now_s += 0.01
        pauses.append(now_s - before_s)
        board.failed("still gone", now_s)
    assert pauses == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 15, 15, 15], abs=0.02)


def test_flapping_board_must_prove_itself_twice_as_long_each_time() -> None:
    board, now_s, proofs = BoardHealth(), 0.0, []
    for _ in range(8):
        board.failed("flaps", now_s)
        while not board.is_due(now_s):
            now_s += 0.05
        board.answered(now_s)
        proved_s = prove(board, now_s)
        proofs.append(proved_s - now_s)
        now_s = proved_s + 1.0
    assert proofs == pytest.approx([2, 4, 8, 16, 32, 64, 120, 120], abs=0.6)


def test_board_that_fails_for_ever_needs_the_longest_proof_and_no_more() -> None:
    board = BoardHealth()
    for at_s in range(5000):
        board.failed("fails", at_s)
        board.answered(at_s + 0.5)
    assert board.proof_s == 120.0


def test_failures_are_forgiven_after_a_long_time_without() -> None:
    board = BoardHealth()
    for at_s in (0.0, 100.0):
        board.failed("fails", at_s)
        board.answered(at_s + 1)
        prove(board, at_s + 1)
    assert board.proof_s == 4.0
    board.failed("fails", 1000.0)
    assert board.proof_s == 2.0


def test_book_knows_its_boards_only() -> None:
    book = HealthBook(["a", "b"], clock=lambda: 5.0)
    book.failed("a", "broke its stream")
    book.failed("stranger", "a peer may tell anything")
    assert (book.gone, book.is_well("b"), book.why("a")) == (["a"], True, "broke its stream")
    assert book.due == []
    assert book.proving == []
    book.answered("a")
    assert (book.gone, book.proving) == (["a"], ["a"])
    book.answered("b")
    assert book.is_well("b")
