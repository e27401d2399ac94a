"""What may be in flight: a window for each chain, whose turn it is, and how far a stream may run ahead of its reader."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dispatcher_client.answer_figures import Answered
from dispatcher_client.door import Door
from dispatcher_client.window_control import WindowControl

# Enough for a mean that one answer does not move; a chain's one slow answer is forgotten after as many.
_KEPT_LATENCIES = 16
# Beyond it a chain waits for the slower one: one that is eight times slower adds at most an eighth to the throughput, and
# unread answers take the application's memory.
_MOST_ANSWERED_MEANWHILE = 8.0
# The room ahead grows while an answer is out, and nothing happens that would tell.
_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True)
class Slot:
    """Room for one request in a chain's window."""

    chain_index: int
    number: int
    taken_at_s: float


class Windows:
    """The windows of chains that serve the same model: fixed sizes, or controls that set them. Thread-safe."""

    def __init__(
        self, windows: Sequence[int] | Sequence[WindowControl], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._controls = [window if isinstance(window, WindowControl) else None for window in windows]
        self._sizes = [window.size if isinstance(window, WindowControl) else window for window in windows]
        self._clock = clock
        self._numbers = itertools.count()
        # In each chain the oldest comes first: a dict keeps the order of insertion.
        self._taken: list[dict[int, float]] = [{} for _ in windows]
        self._latencies_s: list[deque[float]] = [deque(maxlen=_KEPT_LATENCIES) for _ in windows]
        self._changed = threading.Condition()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Most requests of each chain that may be outstanding, at present."""
        with self._changed:
            return tuple(self._sizes)

    @property
    def settled_sizes(self) -> tuple[int, ...]:
        """The same, but for the moments in which a control looks at what its chain does with fewer."""
        with self._changed:
            return tuple(
                size if control is None else control.settled_size for size, control in zip(self._sizes, self._controls)
            )

    @property
    def outstanding(self) -> tuple[int, ...]:
        """Requests of each chain that have no answer yet."""
        with self._changed:
            return tuple(map(len, self._taken))

    @property
    def free_places(self) -> int:
        """How many requests more may be outstanding."""
        with self._changed:
            return sum(max(0, size - len(taken)) for size, taken in zip(self._sizes, self._taken))

    def take(
        self, choose: Callable[[Sequence[int]], int | None], timeout_s: float, door: Door | None = None
    ) -> Slot | None:
        """Takes room in a chain as soon as there is some; None if there was none in time.

        Args:
            choose: gives the chain, or None to wait on, from the number of requests outstanding in each.
            door: where those who have to wait are counted.
        Raises: OverloadedError: too many wait at the door.
        """
        with self._changed:
            found: list[int] = []

            def try_to_choose() -> bool:
                chain_index = choose([len(taken) for taken in self._taken])
                found[:] = [] if chain_index is None else [chain_index]
                return bool(found)

            if not try_to_choose():
                with contextlib.nullcontext() if door is None else door.waiting():
                    if not self._changed.wait_for(try_to_choose, timeout_s):
                        return None
            slot = Slot(found[0], next(self._numbers), self._clock())
            self._taken[slot.chain_index][slot.number] = slot.taken_at_s
            return slot

    def give_back(self, slot: Slot, *, answered: bool) -> None:
        """Frees the room; the time that an answer took tells how fast the chain is."""
        with self._changed:
            del self._taken[slot.chain_index][slot.number]
            if answered:
                self._latencies_s[slot.chain_index].append(self._clock() - slot.taken_at_s)
            self._changed.notify_all()

    def hear(
        self, chain_index: int, latency_s: float, *, wait_s: float, coding_s: float, compute_s: Sequence[float]
    ) -> None:
        """Takes into account what is known of an answer that came now; see `Answered`. Before its room is given back."""
        control = self._controls[chain_index]
        if control is None or not compute_s:
            return
        with self._changed:
            control.hear(Answered(self._clock(), latency_s, wait_s, coding_s, compute_s))
            if control.size != self._sizes[chain_index]:
                self._sizes[chain_index] = control.size
                self._changed.notify_all()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Waits for a claim about these windows or about anything whose changes are told by `wake`."""
        with self._changed:
            while not self._changed.wait_for(is_so, _LOOK_AGAIN_S if len(self._sizes) > 1 else None):
                pass

    def wake(self) -> None:
        """Has every waiting thread look again."""
        with self._changed:
            self._changed.notify_all()

    def room_ahead(self) -> int:
        """How many answers may be outstanding or unread in a stream that keeps its order.

            sum over chains c of  W[c] * (1 + min(8, max over other chains d of slowest[d] / mean[c]))

        While the slowest answer of a chain d is out, chain c answers at most W[c] * slowest[d] / mean[c] requests and has
        W[c] more in flight; with room for these it never waits for d. Of one chain only errors overtake: its window is enough.
        What has been out longer than any answer took counts as the slowest; before the first answer the ratio is 1.
        """
        with self._changed:
            means_s = [statistics.fmean(kept) if kept else None for kept in self._latencies_s]
            now_s = self._clock()
            slowest_s = [
                max([now_s - next(iter(taken.values()), now_s), *kept])
                for taken, kept in zip(self._taken, self._latencies_s)
            ]
            sizes = tuple(self._sizes)
        room = 0.0
        for chain_index, size in enumerate(sizes):
            mean_s = means_s[chain_index]
            others_s = max((s for index, s in enumerate(slowest_s) if index != chain_index), default=None)
            room += size
            if others_s is not None:
                room += size * (min(_MOST_ANSWERED_MEANWHILE, others_s / mean_s) if mean_s else 1.0)
        return int(room)


def least_outstanding(outstanding: Sequence[int], sizes: Sequence[int], candidates: Sequence[int]) -> int | None:
    """The candidate with the fewest requests outstanding among those with room, the first of equals; None: all are full."""
    with_room = [index for index in candidates if outstanding[index] < sizes[index]]
    return min(with_room, key=lambda index: outstanding[index], default=None)
