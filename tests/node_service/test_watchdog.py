"""The watchdog ends what stands still, and takes no standstill of the whole process for one of a stage."""

from __future__ import annotations

import threading

import pytest

from node_service.errors import StalledError
from node_service.watchdog import Watchdog
from tests.transport.message_stream.by_hand import comes_true


class Stream:
    """As much of a stream as the watchdog looks at."""

    def __init__(self) -> None:
        self.stalled: StalledError | None = None
        self.failed: list[Exception] = []
        self.excused: list[tuple[float, float]] = []

    def standstill(self) -> StalledError | None:
        return self.stalled

    def excuse(self, since_s: float, until_s: float) -> None:
        self.excused.append((since_s, until_s))

    def fail(self, error: Exception) -> None:
        self.failed.append(error)
        self.stalled = None  # as a stream that is over


def watch(*streams: Stream) -> Watchdog:
    return Watchdog(streams)  # type: ignore[arg-type]


def test_only_streams_whose_stage_stands_still_are_ended() -> None:
    well, stuck = Stream(), Stream()
    stuck.stalled = StalledError("stage 1 stands still")
    watch(well, stuck).look()
    assert (well.failed, [str(e) for e in stuck.failed]) == ([], ["stage 1 stands still"])


def test_it_looks_by_itself_until_it_is_stopped() -> None:
    stream = Stream()
    watchdog = watch(stream)
    watchdog.start()
    try:
        stream.stalled = StalledError("stage 1 stands still")
        assert comes_true(lambda: bool(stream.failed))
    finally:
        watchdog.stop()
    stream.stalled = StalledError("stage 1 stands still")
    threading.Event().wait(0.3)
    assert len(stream.failed) == 1
    watch().stop()  # one that never ran


def test_look_that_comes_late_says_nothing() -> None:
    """As after a SIGSTOP and a SIGCONT: what stood still was the process."""
    stream = Stream()
    stream.stalled = StalledError("stage 1 stands still")
    looks = iter(range(0, 10**6, 10))  # ten seconds from one look to the next
    watchdog = Watchdog([stream], clock=lambda: float(next(looks)))  # type: ignore[list-item]
    watchdog.start()
    threading.Event().wait(0.5)
    watchdog.stop()
    assert stream.failed == []
    assert next(looks) > 10, "it has looked"
    since_s, until_s = zip(*stream.excused[:2])
    assert since_s == pytest.approx((0.2, 20.2))
    assert until_s == (10.0, 30.0)


def test_defect_in_a_look_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    broken, stuck = Stream(), Stream()
    broken.standstill = lambda: 1 // 0  # type: ignore[method-assign,assignment,return-value]
    watchdog = watch(broken, stuck)
    watchdog.start()
    try:
        assert comes_true(lambda: "a defect in looking" in caplog.text)
        del broken.standstill
        stuck.stalled = StalledError("stage 1 stands still")
        assert comes_true(lambda: bool(stuck.failed))
    finally:
        watchdog.stop()
