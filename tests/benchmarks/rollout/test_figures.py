"""The figures of changes of version, from moments that are known."""

from __future__ import annotations

import random

import pytest

from benchmarks.rollout.figures import Answers, measure_change, usual_per_window

STEP_S = 0.125  # floats add it up without an error
USUAL = 8.0


def every(begun_s: float, ended_s: float) -> list[float]:
    """In the middle of each step."""
    return [begun_s + STEP_S * (i + 0.5) for i in range(round((ended_s - begun_s) / STEP_S))]


def test_steady_answers_have_no_dip() -> None:
    answers = Answers(every(0, 20))
    assert usual_per_window(answers, [(0, 10), (10.5, 20)]) == USUAL
    change = measure_change(answers, (10, 10.5), (0, 10), USUAL)
    assert change.seconds == 0.5
    assert change.rate_during == USUAL
    assert change.dip_during == 0
    assert change.dip_worst_second == 0
    assert change.usual_dip_worst_second == 0
    assert change.longest_gap_s == STEP_S


def test_pause_within_a_change_is_its_gap_and_its_dip() -> None:
    answers = Answers([*every(0, 10.125), *every(10.375, 20)])
    change = measure_change(answers, (10, 10.5), (0, 10), USUAL)
    assert change.longest_gap_s == 3 * STEP_S
    assert change.dip_worst_second == 2 / 8
    assert change.dip_during == 2 / 4
    assert change.usual_dip_worst_second == 0


@pytest.mark.parametrize("pause_s", [9.25, 10.625])
def test_pause_just_before_or_just_after_a_change_counts_for_its_worst_second(pause_s: float) -> None:
    answers = Answers([*every(0, pause_s), *every(pause_s + 0.25, 20)])
    assert measure_change(answers, (10, 10.5), (0, 9), USUAL).dip_worst_second == 2 / 8


def test_pause_before_a_change_is_what_chance_does() -> None:
    answers = Answers([*every(0, 8), *every(8.5, 20)])
    change = measure_change(answers, (10, 10.5), (0, 10), USUAL)
    assert change.usual_dip_worst_second == 4 / 8
    assert change.dip_worst_second == 0


def test_change_without_an_answer_is_one_gap() -> None:
    change = measure_change(Answers(every(0, 10)), (11, 13), (0, 10), USUAL)
    assert change.longest_gap_s == pytest.approx(2.1)
    assert change.dip_worst_second == 1
    assert change.dip_during == 1


def test_window_that_crosses_a_change_is_not_usual() -> None:
    answers = Answers([*every(0, 5), *every(8, 13)])
    assert usual_per_window(answers, [(0, 5), (8, 13)]) == USUAL


def test_worst_window_is_the_worst_of_all() -> None:
    chance = random.Random(1)
    for _ in range(20):
        at_s = [chance.uniform(0, 6) for _ in range(chance.randrange(40))]
        answers = Answers(at_s)
        first_s, last_s = 1.0, chance.uniform(1.0, 5.0)
        fine = [first_s + (last_s - first_s) * i / 5000 for i in range(5001)]
        tried = min(sum(start < at <= start + 1 for at in at_s) for start in fine)
        assert answers.least(first_s, last_s) == tried
