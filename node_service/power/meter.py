"""Counts joules from sensors of power and energy; a sensor that cannot be read is a gap."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node_service.power.sensor import Kind, Sensor

_log = logging.getLogger(__name__)
_EVERY_S = 0.25
# Watts are taken to have changed evenly between two readings, if these are no further apart.
_MOST_APART_S = 2.0


@dataclass(frozen=True)
class RailReading:
    """One rail. `watts` is None while its sensor cannot be read, and until there are two readings of a counter."""

    source: str
    rail: str
    joules: float
    watts: float | None


@dataclass
class _Rail:
    joules: float = 0.0
    watts: float | None = None
    last: float = 0.0
    last_s: float | None = None


class EnergyMeter:
    """Reads sensors when asked, and on a thread of its own between `start` and `stop`. Thread-safe."""

    def __init__(self, sensors: Sequence[Sensor], clock: Callable[[], float] = time.monotonic) -> None:
        self._sensors = list(sensors)
        self._clock = clock
        self._lock = threading.Lock()
        self._rails: list[dict[str, _Rail]] = [{} for _ in sensors]
        self._failed: set[int] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="boardline-power", daemon=True)
        self.sample()

    @property
    def sees_whole_board(self) -> bool:
        """Whether one of the sensors measures all that the board takes."""
        return any(sensor.whole for sensor in self._sensors)

    def start(self) -> None:
        """Samples four times a second, if there is a sensor; the threads that compute are not held up."""
        if self._sensors:
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread; does nothing to one that never ran."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def sample(self) -> None:
        """Reads every sensor once."""
        with self._lock:
            for index, sensor in enumerate(self._sensors):
                self._sample(index, sensor)

    def joules(self) -> float:
        """What the board has taken since the meter was made, by the first sensor that sees the whole of it; never falls."""
        self.sample()
        with self._lock:
            for sensor, rails in zip(self._sensors, self._rails):
                if sensor.whole:
                    return sum(rails[rail].joules for rail in sensor.whole if rail in rails)
        return 0.0

    def watts(self) -> float | None:
        """What the board takes at present, by the first sensor that sees the whole of it; None while it cannot be read."""
        with self._lock:
            for sensor, rails in zip(self._sensors, self._rails):
                if sensor.whole:
                    readings = [rails[rail].watts if rail in rails else None for rail in sensor.whole]
                    return None if None in readings else sum(w for w in readings if w is not None)
        return None

    @property
    def readings(self) -> list[RailReading]:
        """Every rail of every sensor, as last read."""
        with self._lock:
            return [
                RailReading(sensor.source, name, rail.joules, rail.watts)
                for sensor, rails in zip(self._sensors, self._rails)
                for name, rail in rails.items()
            ]

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            self.sample()

    def _sample(self, index: int, sensor: Sensor) -> None:
        try:
            values = sensor.read()
        except (OSError, ValueError) as error:
            if index not in self._failed:
                _log.warning("the %s sensor cannot be read, its figures have a gap: %s", sensor.source, error)
            self._failed.add(index)
            for rail in self._rails[index].values():
                rail.watts = None
                if sensor.kind is Kind.WATTS:  # counters count on meanwhile
                    rail.last_s = None
            return
        if index in self._failed:
            self._failed.discard(index)
            _log.warning("the %s sensor can be read again", sensor.source)
        now_s = self._clock()
        for name, value in values.items():
            rail = self._rails[index].setdefault(name, _Rail())
            if sensor.kind is Kind.WATTS:
                _add_watts(rail, value, now_s)
            else:
                _add_joules(rail, value, now_s, sensor.wraps_at_j)


def _add_watts(rail: _Rail, watts: float, now_s: float) -> None:
    if rail.last_s is not None and now_s - rail.last_s <= _MOST_APART_S:
        rail.joules += (rail.last + watts) / 2 * (now_s - rail.last_s)
    rail.watts, rail.last, rail.last_s = watts, watts, now_s


def _add_joules(rail: _Rail, count_j: float, now_s: float, wraps_at_j: float) -> None:
    if rail.last_s is not None:
        added_j = count_j - rail.last
        if added_j < 0:
            added_j = added_j + wraps_at_j if wraps_at_j else count_j
        rail.joules += added_j
        if now_s > rail.last_s:
            rail.watts = added_j / (now_s - rail.last_s)
    rail.last, rail.last_s = count_j, now_s
