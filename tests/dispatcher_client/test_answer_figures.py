"""Means of answers, and what is left of a latency."""

from __future__ import annotations

import pytest

from dispatcher_client.answer_figures import Answered, AnswerSums


def test_way_is_what_neither_waits_nor_work_account_for() -> None:
    answered = Answered(at_s=5.0, latency_s=1.0, wait_s=0.2, coding_s=0.1, compute_s=(0.2, 0.1))
    assert answered.sent_at_s == 4.0
    assert answered.way_s == pytest.approx(0.4)
    assert Answered(5.0, 1.0, 0.9, 0.0, (0.3,)).way_s == 0  # clocks of several boards


def test_figures_are_means_over_the_time_since_the_begin() -> None:
    sums = AnswerSums(begin_s=10.0)
    sums.add(Answered(10.5, 1.0, 0.2, 0.1, (0.1, 0.3)))
    sums.add(Answered(11.0, 2.0, 0.4, 0.1, (0.3, 0.3)))
    figures = sums.figures()
    assert figures is not None
    assert figures.count == 2
    assert figures.rate_per_s == pytest.approx(2)
    assert figures.in_flight == pytest.approx(3)
    assert figures.wait_s == pytest.approx(0.3)
    assert figures.way_s == pytest.approx((0.3 + 0.9) / 2)
    assert figures.compute_s == pytest.approx((0.2, 0.3))
    assert figures.slowest_s == pytest.approx(0.3)
    assert figures.work_s == pytest.approx(0.1 + 0.2 + 0.3)
    assert figures.spread == pytest.approx(2 * 0.1)


def test_first_answer_only_begins_if_no_begin_is_given() -> None:
    sums = AnswerSums(None)
    sums.add(Answered(1.0, 0.5, 0.0, 0.0, (0.5,)))
    assert sums.count == 0
    assert sums.figures() is None
    sums.add(Answered(3.0, 0.5, 0.0, 0.0, (0.5,)))
    figures = sums.figures()
    assert figures is not None
    assert figures.rate_per_s == pytest.approx(0.5)


def test_answers_at_one_moment_have_no_rate() -> None:
    sums = AnswerSums(1.0)
    sums.add(Answered(1.0, 0.5, 0.0, 0.0, (0.5,)))
    assert sums.figures() is None
