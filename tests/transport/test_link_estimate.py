"""What is known of a link, frame by frame."""

from __future__ import annotations

import pytest

from transport.link_estimate import FrameReport, LinkEstimate


def report(interval_s: float, busy_s: float = 0.0, rate: float | None = None, size: int = 1000) -> FrameReport:
    return FrameReport((size,), (size,), (0.0,), 0.01, interval_s, busy_s, rate)


def test_nothing_is_known_of_a_link_that_was_never_the_limit() -> None:
    link = LinkEstimate()
    link.note(report(0.02), 0.01)
    assert (link.s_per_byte, link.is_limiting, link.interval_s, link.compute_s) == (None, False, 0.02, 0.01)


def test_estimate_follows_a_tenfold_fall_within_four_frames() -> None:
    link = LinkEstimate()
    for rate in [1e6] * 5 + [1e5] * 4:
        link.note(report(0.02, 0.019, rate), 0.01)
    assert link.s_per_byte == pytest.approx(1e-5, rel=0.15)
    assert link.is_limiting


def test_link_that_carried_a_frame_without_being_the_limit_is_at_least_so_fast() -> None:
    link = LinkEstimate()
    link.note(report(0.1, 0.09, 1e4), 0.01)
    link.note(report(0.02), 0.01)
    assert link.s_per_byte == pytest.approx(0.02 / 1000)
    link.note(report(0.5), 0.01)
    assert link.s_per_byte == pytest.approx(0.02 / 1000)


def test_slowest_step_is_elsewhere_where_frames_take_longer_than_both_ends() -> None:
    link = LinkEstimate()
    link.note(report(0.02), 0.01)
    assert link.elsewhere_s == 0.02
    link.note(report(0.2, 0.19, 5e3), 0.01)  # the link is the reason: what was known stays
    assert link.elsewhere_s == 0.02
    near = LinkEstimate()
    near.note(report(0.0105), 0.01)
    assert near.elsewhere_s == 0


def test_link_that_is_idle_for_a_fifth_of_the_time_is_not_the_limit() -> None:
    link = LinkEstimate()
    link.note(report(0.02, 0.016, 1e6), 0.01)
    assert not link.is_limiting
    assert link.s_per_byte == 1e-6
