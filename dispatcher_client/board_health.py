"""Whether a board may be used: one that failed has to prove itself for a while, longer each time it fails again."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable


class Health(enum.Enum):
    """How a board stands."""

    WELL = "well"
    GONE = "gone"
    PROVING = "proving"  # it answers again


class Event(enum.Enum):
    """What is heard of a board."""

    FAILED = "failed"
    ANSWERED = "answered"
    PROVED = "proved"  # it has answered for long enough


# Every change lives in this table; what it lacks cannot happen.
TRANSITIONS: dict[tuple[Health, Event], Health] = {
    (Health.WELL, Event.ANSWERED): Health.WELL,
    (Health.WELL, Event.FAILED): Health.GONE,
    (Health.GONE, Event.FAILED): Health.GONE,
    (Health.GONE, Event.ANSWERED): Health.PROVING,
    (Health.PROVING, Event.ANSWERED): Health.PROVING,
    (Health.PROVING, Event.FAILED): Health.GONE,
    (Health.PROVING, Event.PROVED): Health.WELL,
}

# A board that is gone is asked at once, then after twice as long each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_PROVING_EVERY_S = 0.5
# How long it has to answer; twice as long for each failure before.
_FIRST_PROOF_S, _LONGEST_PROOF_S = 2.0, 120.0
# As many make the longest proof; more are not counted.
_MOST_FAILURES = 7
# A failure counts no more after a board was well for so long.
_FORGIVEN_AFTER_S = 600.0


class BoardHealth:
    """One board's standing, and when to ask it again. Not thread-safe; times are of one clock that only rises."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.health = Health.WELL
        self.why = ""
        self._failures = 0
        self._since_s = now_s
        self._ask_at_s = now_s
        self._pause_s = _FIRST_PAUSE_S

    def failed(self, why: str, now_s: float) -> None:
        """It broke a stream, or does not answer."""
        if self.health is Health.WELL and now_s - self._since_s > _FORGIVEN_AFTER_S:
            self._failures = 0
        was_gone = self.health is Health.GONE
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S) if was_gone else _FIRST_PAUSE_S
        self._failures = min(self._failures + (not was_gone), _MOST_FAILURES)
        self._change(Event.FAILED, now_s)
        self.why = why
        self._ask_at_s = now_s + self._pause_s

    def answered(self, now_s: float) -> None:
        """It answers that it is ready to serve."""
        self._change(Event.ANSWERED, now_s)
        self._ask_at_s = now_s + _PROVING_EVERY_S
        if self.health is Health.PROVING and now_s - self._since_s >= self.proof_s:
            self._change(Event.PROVED, now_s)

    def is_due(self, now_s: float) -> bool:
        """Whether it should be asked whether it answers."""
        return self.health is not Health.WELL and now_s >= self._ask_at_s

    @property
    def proof_s(self) -> float:
        """How long it must answer before it is used again."""
        return min(_FIRST_PROOF_S * 2.0 ** (max(self._failures, 1) - 1), _LONGEST_PROOF_S)

    def _change(self, event: Event, now_s: float) -> None:
        before, self.health = self.health, TRANSITIONS[self.health, event]
        if before is not self.health:
            self._since_s = now_s


class HealthBook:
    """All boards' standing, by name. Not thread-safe."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._boards = {name: BoardHealth(clock()) for name in names}

    def failed(self, name: str, why: str) -> None:
        """Names that are not in the book are ignored: a peer may tell any."""
        if name in self._boards:
            self._boards[name].failed(why, self._clock())

    def answered(self, name: str) -> None:
        """See `BoardHealth.answered`."""
        self._boards[name].answered(self._clock())

    def is_well(self, name: str) -> bool:
        """Whether it may be used."""
        return self._boards[name].health is Health.WELL

    def why(self, name: str) -> str:
        """Why it failed last."""
        return self._boards[name].why

    @property
    def due(self) -> list[str]:
        """Boards that should be asked now whether they answer."""
        now_s = self._clock()
        return [name for name, board in self._boards.items() if board.is_due(now_s)]

    @property
    def gone(self) -> list[str]:
        """Boards that may not be used."""
        return [name for name in self._boards if not self.is_well(name)]

    @property
    def proving(self) -> list[str]:
        """Those of them that answer."""
        return [name for name, board in self._boards.items() if board.health is Health.PROVING]
