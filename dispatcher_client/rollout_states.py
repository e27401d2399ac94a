"""What happens in a change of version, and what each outcome leads to."""

from __future__ import annotations

import enum


class RolloutState(enum.Enum):
    """What is being done, and whom requests go to meanwhile."""

    ASKING = "asking"  # what boards have memory for; they go to the old version
    OPENING = "opening"  # the new one, beside the old one, to which they go
    RETIRING = "retiring"  # the old one, which answers what it has; they go to the new one
    STORING = "storing"  # the new one's partitions on boards; they go to the old one
    PAUSING = "pausing"  # the old one answers what it has and leaves its memory; they wait
    REPLACING = "replacing"  # the new one is opened where the old one was; they wait
    RETURNING = "returning"  # the old one is opened again; they wait
    UNLOADING = "unloading"  # the old one; they go to the new one
    DONE = "done"  # they go to the new one
    ROLLED_BACK = "rolled back"  # they go to the old one, as before
    CLOSED = "closed"  # neither could be opened, and they end with an error


class RolloutEvent(enum.Enum):
    """How it ended."""

    ROOM = "room"  # for both versions on every board
    SHORT = "short of memory"
    STORED = "stored"
    LEFT = "left"  # by every request
    OPENED = "opened"
    UNLOADED = "unloaded"
    FAILED = "failed"


# Every change lives in this table; what it lacks cannot happen.
TRANSITIONS: dict[tuple[RolloutState, RolloutEvent], RolloutState] = {
    (RolloutState.ASKING, RolloutEvent.ROOM): RolloutState.OPENING,
    (RolloutState.ASKING, RolloutEvent.SHORT): RolloutState.STORING,
    (RolloutState.ASKING, RolloutEvent.FAILED): RolloutState.ROLLED_BACK,
    (RolloutState.OPENING, RolloutEvent.OPENED): RolloutState.RETIRING,
    (RolloutState.OPENING, RolloutEvent.FAILED): RolloutState.ROLLED_BACK,
    (RolloutState.RETIRING, RolloutEvent.LEFT): RolloutState.UNLOADING,
    (RolloutState.RETIRING, RolloutEvent.FAILED): RolloutState.DONE,
    (RolloutState.STORING, RolloutEvent.STORED): RolloutState.PAUSING,
    (RolloutState.STORING, RolloutEvent.FAILED): RolloutState.ROLLED_BACK,
    (RolloutState.PAUSING, RolloutEvent.LEFT): RolloutState.REPLACING,
    (RolloutState.PAUSING, RolloutEvent.FAILED): RolloutState.RETURNING,
    (RolloutState.REPLACING, RolloutEvent.OPENED): RolloutState.UNLOADING,
    (RolloutState.REPLACING, RolloutEvent.FAILED): RolloutState.RETURNING,
    (RolloutState.RETURNING, RolloutEvent.OPENED): RolloutState.ROLLED_BACK,
    (RolloutState.RETURNING, RolloutEvent.FAILED): RolloutState.CLOSED,
    (RolloutState.UNLOADING, RolloutEvent.UNLOADED): RolloutState.DONE,
    (RolloutState.UNLOADING, RolloutEvent.FAILED): RolloutState.DONE,
}

REQUESTS_WAIT = frozenset({RolloutState.PAUSING, RolloutState.REPLACING, RolloutState.RETURNING})
ENDS = frozenset({RolloutState.DONE, RolloutState.ROLLED_BACK, RolloutState.CLOSED})
