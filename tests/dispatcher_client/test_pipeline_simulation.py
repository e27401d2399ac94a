"""The simulated chain does what can be worked out by hand."""

from __future__ import annotations

import pytest

from tests.dispatcher_client.pipeline_simulation import (
    FixedWindow,
    Pipeline,
    Step,
    changing,
    rate_per_s,
    run,
    run_together,
    steady,
    under_quota,
)


@pytest.mark.parametrize("window", [1, 2, 3, 5, 9])
def test_steady_chain_answers_as_littles_law_says(window: int) -> None:
    """10 + 30 + 10 ms under way: one frame in 30 ms at most, and `window` frames in 50 ms."""
    passages = run(Pipeline([Step(steady(s)) for s in (0.01, 0.03, 0.01)]), FixedWindow(window), 200)[50:]
    assert rate_per_s(passages) == pytest.approx(min(1 / 0.03, window / 0.05))
    assert passages[-1].latency_s == pytest.approx(max(0.05, window * 0.03))


def test_full_step_keeps_the_frame_in_the_step_before() -> None:
    slow_link = Pipeline([Step(steady(0.01)), Step(steady(0.05), is_link=True, places=1), Step(steady(0.01))])
    last = run(slow_link, FixedWindow(8), 100)[-1]
    # Before the link: one is in it, one in its place, one kept by the first stage; five wait for that stage.
    assert last.wait_s[0] == pytest.approx(5 * 0.05 - 0.01, abs=0.011)
    assert last.wait_s[1] == 0


def test_quota_hands_out_time_at_the_begin_of_each_period() -> None:
    serve = under_quota(0.02, share=0.2)  # 4 ms of a core, 2 ms in each 10 ms
    assert serve(0.0) == pytest.approx(0.012)
    assert serve(0.012) == pytest.approx(0.020)  # nothing is left until 20 ms; then two periods
    assert serve(0.1) == pytest.approx(0.012)


def test_frames_are_sent_when_their_input_is_there() -> None:
    passages = run(Pipeline([Step(steady(0.01))], reply_s=0.002), FixedWindow(3), 3, [0.0, 0.5, 0.5])
    assert [p.sent_at_s for p in passages] == [0.0, 0.5, 0.5]
    assert [p.latency_s for p in passages] == pytest.approx([0.012, 0.012, 0.022])


def test_dispatchers_take_turns_at_shared_stages() -> None:
    shared = Pipeline([Step(changing(1e9, steady(0.01), steady(1.0)))])
    first, second = run_together(shared, [FixedWindow(2), FixedWindow(2)], 50)
    assert rate_per_s(first) == pytest.approx(rate_per_s(second)) == pytest.approx(50, rel=0.05)
