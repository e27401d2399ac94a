"""Joules are counted from watts and from counters; what cannot be read is a gap, and one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from node_service.power import EnergyMeter, Kind, Sensor, find_sensors
from tests.node_service.power import trees
from tests.transport.message_stream.by_hand import comes_true


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def sensor(kind: Kind, values: Iterator[object], whole: tuple[str, ...] = ("all",), wraps_at_j: float = 0.0) -> Sensor:
    def read() -> Mapping[str, float]:
        value = next(values)
        if isinstance(value, Exception):
            raise value
        assert isinstance(value, (int, float))
        return {"all": float(value)}

    return Sensor("made up", kind, whole, read, wraps_at_j)


def after(meter: EnergyMeter, clock: Clock, seconds: float) -> float:
    clock.now_s += seconds
    return meter.joules()


def test_watts_are_added_up_over_time() -> None:
    clock = Clock()
    meter = EnergyMeter([sensor(Kind.WATTS, iter([2, 2, 4, 4]))], clock)
    assert after(meter, clock, 1) == pytest.approx(2)
    assert after(meter, clock, 1) == pytest.approx(5)
    assert after(meter, clock, 0.5) == pytest.approx(7)
    assert meter.readings[0].watts == 4


def test_time_without_readings_is_not_made_up() -> None:
    clock = Clock()
    meter = EnergyMeter([sensor(Kind.WATTS, iter([2, 2, 2]))], clock)
    assert after(meter, clock, 10) == 0
    assert after(meter, clock, 1) == pytest.approx(2)


def test_counters_are_followed_around_their_end_and_through_gaps() -> None:
    clock = Clock()
    meter = EnergyMeter([sensor(Kind.JOULES, iter([90, 95, OSError("gone"), 98, 3]), wraps_at_j=100)], clock)
    assert after(meter, clock, 1) == pytest.approx(5)
    assert after(meter, clock, 1) == pytest.approx(5)
    assert meter.readings[0].watts is None
    assert after(meter, clock, 2) == pytest.approx(8)
    assert after(meter, clock, 1) == pytest.approx(13)
    assert meter.readings[0].watts == pytest.approx(5)


def test_counter_that_starts_anew_never_falls() -> None:
    clock = Clock()
    meter = EnergyMeter([sensor(Kind.JOULES, iter([50, 60, 4]))], clock)
    assert after(meter, clock, 1) == pytest.approx(10)
    assert after(meter, clock, 1) == pytest.approx(14)


def test_sensor_that_fails_is_a_gap_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    meter = EnergyMeter([sensor(Kind.WATTS, iter([2, 2, ValueError("x"), OSError("y"), 2, 2]))], clock)
    with caplog.at_level(logging.WARNING):
        joules = [after(meter, clock, 1) for _ in range(5)]
    assert joules == pytest.approx([2, 2, 2, 2, 4])
    assert [r.message.split(" sensor ")[1][:10] for r in caplog.records] == ["cannot be ", "can be rea"]


def test_board_is_what_the_first_sensor_sees_that_sees_all_of_it() -> None:
    clock = Clock()
    part = sensor(Kind.WATTS, iter([7, 7]), whole=())
    meter = EnergyMeter([part, sensor(Kind.WATTS, iter([2, 2])), sensor(Kind.WATTS, iter([9, 9]))], clock)
    assert meter.sees_whole_board
    assert after(meter, clock, 1) == pytest.approx(2)
    assert not EnergyMeter([sensor(Kind.WATTS, iter([7]), whole=())]).sees_whole_board
    assert EnergyMeter([]).joules() == 0


def test_it_samples_by_itself_between_start_and_stop(tmp_path: Path) -> None:
    trees.jetson_orin_nano(tmp_path)
    meter = EnergyMeter(find_sensors(tmp_path))
    meter.start()
    try:
        assert comes_true(lambda: meter.readings[0].joules > 0)
    finally:
        meter.stop()
    readings = {reading.rail: reading for reading in meter.readings}
    assert set(readings) == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    assert readings["VDD_IN"].watts == pytest.approx(5.88)
    EnergyMeter([]).stop()  # one that never ran
