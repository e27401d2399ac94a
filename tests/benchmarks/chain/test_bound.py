"""The bound is set by the slowest stage or link, whichever it is."""

from __future__ import annotations

import pytest

from benchmarks.chain.bound import bound_of

BOARDS = ["pi1", "pi2", "pi3"]


@pytest.mark.parametrize(
    ("invoke_ms", "received", "reply", "rate", "by"),
    [
        # 4 ms on a fifth of a core: 20 ms.
        ([2.0, 4.0, 3.0], [1e3, 1e3, 1e3], 0.0, 50.0, "pi2's invoke"),
        # 10 MB at 1 Gbit/s: 80 ms, into pi2 and out of pi1 alike; the first is named.
        ([2.0, 4.0, 3.0], [1e3, 1e7, 1e3], 0.0, 12.5, "the link out of pi1"),
        ([2.0, 4.0, 3.0], [1e7, 1e3, 1e3], 0.0, 12.5, "the link into pi1"),
        # Answers go through every board but add to what arrives only where one comes from behind.
        ([0.1, 0.1, 0.1], [1e3, 1e3, 1e3], 1e7, 1e3 / 80.008, "the link into pi1"),
    ],
)
def test_bound(invoke_ms: list[float], received: list[float], reply: float, rate: float, by: str) -> None:
    bound = bound_of(BOARDS, invoke_ms, received, reply, cores=0.2, link_mbit_s=1000.0)
    assert bound.images_per_s == pytest.approx(rate)
    assert bound.limited_by == by


def test_one_board_has_the_answer_on_its_way_out_only() -> None:
    bound = bound_of(["pi1"], [0.001], [1e6], 3e6, cores=1.0, link_mbit_s=8.0)
    assert bound.images_per_s == pytest.approx(1 / 3)
    assert bound.limited_by == "the link out of pi1"
