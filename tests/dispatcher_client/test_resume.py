"""A dispatcher that is killed at random moments and started again answers each input once, with the whole model's bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.resuming import kill_and_resume
from bundle import Bundle
from dispatcher_client import Dispatcher, Journal
from examples.local_boards import LocalBoards
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole

KILLS = 9


@pytest.mark.parametrize("sync_ms", [0.0])
def test_each_input_is_answered_once_when_the_dispatcher_is_killed_again_and_again(
    boards: LocalBoards, zoo_bundle: Callable[..., Bundle], tmp_path: Path, sync_ms: float
) -> None:
    bundle = zoo_bundle("residual", "float32")
    result = kill_and_resume(bundle, boards, tmp_path / "journal", KILLS, seed=1, within_s=0.3, sync_ms=sync_ms)
    assert result.kills == KILLS
    assert len(result.lost_s) >= 6
    assert (result.lost, result.duplicated, result.out_of_order, result.wrong) == (0, 0, 0, 0)
    # Given and recorded differ by what each kill may have kept from the application.
    assert result.inputs - KILLS <= len(result.given) <= result.inputs


def test_stream_of_single_inputs_resumes_when_they_share_frames(
    boards: LocalBoards, zoo_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = zoo_bundle("residual", "int8", 3, batch=4)
    whole = random_inputs(bundle, 0)
    name, rows = next(iter(whole.items()))
    singles = [rows[index : index + 1] for index in range(len(rows))]
    with Dispatcher(bundle, boards.named) as chain, Journal(tmp_path / "journal") as journal:
        first = chain.stream(singles, journal=journal)
        next(first)
        first.close()
        assert len(journal) == 1
        assert len(list(chain.stream(singles, journal=journal))) == 3
        parts = [named(chain, answer) for answer in journal]
    expected = run_whole(bundle, {name: rows})
    assert {output: b"".join(part[output] for part in parts) for output in expected} == expected
