"""A chain's place in service: when its chain breaks, the requests that have no answer wait for another one and go there."""

from __future__ import annotations

import asyncio
import enum
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dispatcher_client.chain import Chain
from dispatcher_client.deadlines import Deadline, Deadlines
from dispatcher_client.errors import AbandonedError, ChainClosedError, DispatcherError, late, own_instance
from dispatcher_client.incidents import Incident, Incidents
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.reply import Reply
from fleet.errors import (
    BoardError,
    BoardOverloadedError,
    BoardRefusedError,
    ComputeFailedError,
    FrameDroppedError,
    FrameRejectedError,
)
from fleet.event_loop import delivers_answers
from transport.frame import EncodedTensor
from transport.tensor_spec import Array

# Chains that break one after the other with a request in flight: it may be what breaks them, and goes to no further boards.
# The last time it goes alone among those that are sent again, so that they do not end with it.
MOST_ATTEMPTS = 3
# They say nothing of the chain, even of one that has broken meanwhile, and name no board that is gone.
_OF_THE_FRAME = (ComputeFailedError, FrameRejectedError, FrameDroppedError, BoardOverloadedError)
_numbers = itertools.count()  # of requests of all lanes: one may end in another lane


class LaneState(enum.Enum):
    """What happens to a request."""

    OPEN = "open"  # it is sent
    MENDING = "mending"  # it waits
    FAILED = "failed"  # it ends with the error
    CLOSED = "closed"


class LaneEvent(enum.Enum):
    """What happens to a lane."""

    BROKE = "broke"
    RESUMED = "resumed"  # with another chain
    GIVEN_UP = "given up"
    CLOSED = "closed"


# Every change lives in this table; what it lacks cannot happen.
TRANSITIONS: dict[tuple[LaneState, LaneEvent], LaneState] = {
    (LaneState.OPEN, LaneEvent.BROKE): LaneState.MENDING,
    (LaneState.OPEN, LaneEvent.RESUMED): LaneState.OPEN,
    (LaneState.MENDING, LaneEvent.RESUMED): LaneState.OPEN,
    (LaneState.MENDING, LaneEvent.GIVEN_UP): LaneState.FAILED,
    (LaneState.FAILED, LaneEvent.RESUMED): LaneState.OPEN,
    (LaneState.OPEN, LaneEvent.CLOSED): LaneState.CLOSED,
    (LaneState.MENDING, LaneEvent.CLOSED): LaneState.CLOSED,
    (LaneState.FAILED, LaneEvent.CLOSED): LaneState.CLOSED,
    (LaneState.CLOSED, LaneEvent.CLOSED): LaneState.CLOSED,
}


@dataclass
class _Request:
    number: int
    tensors: Sequence[Array]
    deadline: Deadline
    stays: bool
    attempts: int = 0
    sent: Reply | None = None  # what the last chain that it went to promised
    waits_in: Lane | None = None  # the last lane that it waited in
    is_abandoned: bool = False
    future: Reply = field(init=False)

    def __post_init__(self) -> None:
        self.future = Reply(self._abandon)

    def was_sent(self, reply: Reply) -> None:
        """To a chain, which promised this."""
        self.sent = reply
        if self.is_abandoned:
            reply.abandon()

    def _abandon(self) -> None:
        """First the claim, then what it concerns at present. Lanes do it the other way round, so that one sees the other's."""
        self.is_abandoned = True
        if self.sent is not None:
            self.sent.abandon()
        if self.waits_in is not None:
            self.waits_in._drop(self)


class Lane:
    """Thread-safe. Requests are bounded by the window of those who send them.

    What was lost waits, and a thread that lives as long as there is something to send sends it again: whoever notices a break, or
    mends it, never waits for a chain that takes nothing.
    """

    def __init__(
        self,
        chain: Chain,
        on_break: Callable[[Lane, Chain, DispatcherError], None],
        elsewhere: Callable[[Lane], Lane | None] = lambda lane: None,
        incidents: Incidents | None = None,
    ) -> None:
        """Args:
        on_break: hears once of each chain that broke, on the thread that noticed; must return at once, and have `resume` or
            `give_up` called later.
        elsewhere: another lane that is open, for what waits in this one; must return at once.
        incidents: where breaks, and requests that are sent again, are counted.
        """
        self.chain = chain
        self._incidents = incidents or Incidents()
        self._on_break = on_break
        self._elsewhere = elsewhere
        self._lock = threading.Lock()
        self._state = LaneState.OPEN
        self._waiting: dict[int, _Request] = {}
        self._resender: threading.Thread | None = None  # while it runs
        self._deadlines = Deadlines(self._expire)
        self._error: DispatcherError = ChainClosedError("the chain was closed.")
        chain.when_broken(partial(self._chain_broke, chain))

    @property
    def placement(self) -> ChainPlacement:
        """The chain that serves at present, or did last."""
        return self.chain.placement

    @property
    def state(self) -> LaneState:
        """What happens to a request at present."""
        return self._state

    @property
    def failure(self) -> DispatcherError | None:
        """Why the lane takes no requests; None while it takes them, be it to wait."""
        return self._error if self._state in (LaneState.FAILED, LaneState.CLOSED) else None

    @property
    def is_mending(self) -> bool:
        """Whether requests wait for another chain."""
        return self._state is LaneState.MENDING

    @property
    def coding_reason(self) -> str:
        """How requests are coded on their way to the first board, and why."""
        return self.chain.coding_reason

    async def open(self, timeout_s: float) -> list[str]:
        """Opens the first chain. Raises: BoardError: the board that could not be opened."""
        return await self.chain.open(timeout_s)

    def post(self, tensors: Sequence[Array], deadline: Deadline, *, stays: bool = False) -> Reply:
        """Sends one request; the future ends with the reply's tensors or a DispatcherError, at once if it is abandoned here.

        The arrays are copied: they may have to be sent again after the application has changed them.
        Args: stays: no other lane may answer it.
        """
        request = _Request(next(_numbers), [np.array(t) for t in tensors], deadline, stays)
        self._place(request)
        return request.future

    def resume(self, chain: Chain) -> Chain | None:
        """Goes on with an open chain, to which waiting requests go; the chain before, if that is still open.

        A lane that was closed meanwhile takes no chain: it is given back, for the caller to close.
        """
        with self._lock:
            if self._state is LaneState.CLOSED:
                return chain
            before = self.chain if self._state is LaneState.OPEN else None
            self._change(LaneEvent.RESUMED)
            self.chain = chain
        chain.when_broken(partial(self._chain_broke, chain))
        self.resend()
        return before

    def resend(self) -> None:
        """Has requests that wait sent, if a chain is there or another lane has become open."""
        with self._lock:
            self._begin_resending()

    def give_up(self, error: DispatcherError) -> None:
        """Ends waiting requests, and those to come until another chain is there, with an error, unless another lane is open."""
        with self._lock:
            if self._state is not LaneState.MENDING:
                return
            self._change(LaneEvent.GIVEN_UP)
            self._error = error
            self._begin_resending()

    async def close(self) -> None:
        """Lets the chain answer what it has; what waits for another one ends with ChainClosedError."""
        with self._lock:
            self._change(LaneEvent.CLOSED)
            self._error = ChainClosedError("the chain was closed.")
            resender = self._resender
        await self.chain.close()
        self._end_waiting(ChainClosedError("the chain was closed before the answer came."))
        if resender is not None:  # what it waits for has ended with the chain
            await asyncio.to_thread(resender.join)
        self._deadlines.close()

    def _change(self, event: LaneEvent) -> None:
        self._state = TRANSITIONS[self._state, event]

    def _place(self, request: _Request) -> Reply | None:
        """Sends a request, whose reply's future it gives; or has it wait, or ends it."""
        with self._lock:
            chain = self.chain if self._state is LaneState.OPEN else None
            waits = chain is None and self._wait(request)
        if waits:
            self._drop_if_abandoned(request)
        elif request.is_abandoned:
            request.future.end(_abandoned())
        elif chain is not None:
            return self._send(chain, request)
        else:
            request.future.end(own_instance(self._error))
        return None

    def _send(self, chain: Chain, request: _Request) -> Reply | None:
        request.attempts += 1
        if request.attempts > 1:
            self._incidents.note(Incident.REPLAY)
        try:
            reply = chain.post(request.tensors, request.deadline)
        except Exception as error:  # nobody may wait for ever for what was never sent
            request.future.end(error)
            return None
        request.was_sent(reply)
        reply.add_done_callback(partial(self._replied, chain, request))
        return reply

    def _replied(self, chain: Chain, request: _Request, reply: Future[list[EncodedTensor]]) -> None:
        error = reply.exception()
        if error is None:
            request.future.end(reply.result())
        elif isinstance(error, DispatcherError) and self._is_lost(chain, error, request):
            self._lose(chain, request, error)
        else:
            request.future.end(error)

    def _is_lost(self, chain: Chain, error: DispatcherError, request: _Request) -> bool:
        """Whether the request has no answer because of its chain, and another chain may have one."""
        if self._state is LaneState.CLOSED or request.attempts >= MOST_ATTEMPTS:
            return False
        if isinstance(error, BoardRefusedError):
            return True
        is_chains = isinstance(error, (BoardError, ChainClosedError)) and chain.failure is not None
        return is_chains and not isinstance(error, _OF_THE_FRAME)

    def _lose(self, chain: Chain, request: _Request, error: DispatcherError) -> None:
        self._chain_broke(chain, error)
        with self._lock:
            waits = self._wait(request)
        if waits:
            self._drop_if_abandoned(request)
        else:
            request.future.end(own_instance(self._error))

    def _chain_broke(self, chain: Chain, error: DispatcherError) -> None:
        with self._lock:
            is_first = self.chain is chain and self._state is LaneState.OPEN
            if is_first:
                self._change(LaneEvent.BROKE)
        if is_first:
            self._incidents.note(Incident.BREAK)
            self._on_break(self, chain, error)

    def _wait(self, request: _Request) -> bool:
        """Has a request wait, if it may; the lock is held."""
        has_none = self._state is LaneState.FAILED and (request.stays or self._elsewhere(self) is None)
        if has_none or self._state is LaneState.CLOSED:
            return False
        request.waits_in = self
        self._waiting[request.number] = request
        self._deadlines.set(request.number, request.deadline)
        self._begin_resending()
        return True

    def _drop_if_abandoned(self, request: _Request) -> None:
        if request.is_abandoned:
            self._drop(request)

    def _drop(self, request: _Request) -> None:
        """Ends a request that waits here and that nobody waits for."""
        with self._lock:
            waited = self._waiting.pop(request.number, None)
        if waited is not None:
            self._deadlines.cancel(request.number)
            request.future.end(_abandoned())

    def _expire(self, number: int) -> None:
        with self._lock:
            request = self._waiting.pop(number, None)
        if request is not None:
            request.future.end(late(request.deadline.timeout_s, "while the chain was being mended"))

    def _begin_resending(self) -> None:
        """The lock is held."""
        if self._resender is None and self._next() is not None:
            self._resender = threading.Thread(target=self._resend, name="boardline-resend", daemon=True)
            self._resender.start()

    def _next(self) -> tuple[_Request, Lane | None] | None:
        """The first request that need not wait any more, and the lane that sends it, None: it ends; the lock is held."""
        if self._state is LaneState.CLOSED:
            return None
        lane = self if self._state is LaneState.OPEN else self._elsewhere(self)
        free = [n for n, r in self._waiting.items() if lane is self or (lane is not None and not r.stays)]
        if free:
            return self._waiting[min(free)], lane
        if self._waiting and self._state is LaneState.FAILED:
            return self._waiting[min(self._waiting)], None
        return None

    def _resend(self) -> None:
        delivers_answers()  # errors, to futures whose callbacks may be an application's
        while (found := self._take_next()) is not None:
            request, lane = found
            self._deadlines.cancel(request.number)
            if lane is None:
                request.future.end(own_instance(self._error))
                continue
            reply = lane._place(request)
            if reply is not None and request.attempts == MOST_ATTEMPTS:
                wait([reply], request.deadline.left_s)

    def _take_next(self) -> tuple[_Request, Lane | None] | None:
        with self._lock:
            found = self._next()
            if found is None:
                self._resender = None
            else:
                del self._waiting[found[0].number]
            return found

    def _end_waiting(self, error: DispatcherError) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for number, request in waiting.items():
            self._deadlines.cancel(number)
            request.future.end(own_instance(error))


def _abandoned() -> AbandonedError:
    return AbandonedError("nobody waits for the answer any more.")
