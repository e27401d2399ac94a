"""A chain's place in service: when its chain breaks, the requests that have no answer wait for another one and go there."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dispatcher_client.chain import Chain
from dispatcher_client.deadlines import Deadline, Deadlines
from dispatcher_client.errors import AbandonedError, ChainClosedError, DispatcherError, late, own_instance
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.reply import Reply
from fleet.errors import BoardError, BoardRefusedError, ComputeFailedError, FrameRejectedError
from transport.frame import EncodedTensor
from transport.tensor_spec import Array

# Chains that break one after the other with a request in flight: it may be what breaks them, and goes to no further boards.
MOST_ATTEMPTS = 3
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
    """Thread-safe. Requests are bounded by the window of those who send them."""

    def __init__(self, chain: Chain, on_break: Callable[[Lane, Chain, DispatcherError], None]) -> None:
        """Args: on_break: hears once of each chain that broke, on the thread that noticed; must return at once, and have
        `resume` or `give_up` called later.
        """
        self.chain = chain
        self.replayed = 0  # requests that went to another chain
        self._on_break = on_break
        self._lock = threading.Lock()
        self._state = LaneState.OPEN
        self._waiting: dict[int, _Request] = {}
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

    def post(self, tensors: Sequence[Array], deadline: Deadline) -> Reply:
        """Sends one request; the future ends with the reply's tensors or a DispatcherError, at once if it is abandoned here.

        The arrays are copied: they may have to be sent again after the application has changed them.
        """
        request = _Request(next(_numbers), [np.array(t) for t in tensors], deadline)
        self._send(request)
        return request.future

    def resume(self, chain: Chain) -> Chain | None:
        """Goes on with an open chain, to which waiting requests go at once; the chain before, if that is still open.

        A lane that was closed meanwhile takes no chain: it is given back, for the caller to close.
        """
        with self._lock:
            if self._state is LaneState.CLOSED:
                return chain
            before = self.chain if self._state is LaneState.OPEN else None
            self._change(LaneEvent.RESUMED)
            self.chain = chain
        chain.when_broken(partial(self._chain_broke, chain))
        self._send_waiting(self)
        return before

    def hand_over(self, other: Lane) -> None:
        """Has another lane answer the requests that wait."""
        self._send_waiting(other)

    def give_up(self, error: DispatcherError) -> None:
        """Ends waiting requests, and those to come until another chain is there, with an error."""
        with self._lock:
            if self._state is not LaneState.MENDING:
                return
            self._change(LaneEvent.GIVEN_UP)
            self._error = error
        self._end_waiting(error)

    async def close(self) -> None:
        """Lets the chain answer what it has; what waits for another one ends with ChainClosedError."""
        with self._lock:
            self._change(LaneEvent.CLOSED)
            self._error = ChainClosedError("the chain was closed.")
        await self.chain.close()
        self._end_waiting(ChainClosedError("the chain was closed before the answer came."))
        self._deadlines.close()

    def _change(self, event: LaneEvent) -> None:
        self._state = TRANSITIONS[self._state, event]

    def _send(self, request: _Request) -> None:
        with self._lock:
            chain, state = self.chain, self._state
            if state is LaneState.MENDING:
                self._wait(request)
        if state is LaneState.MENDING:
            if request.is_abandoned:
                self._drop(request)
            return
        if request.is_abandoned:
            _end(request, AbandonedError("nobody waits for the answer any more."))
            return
        if state is not LaneState.OPEN:
            _end(request, own_instance(self._error))
            return
        request.attempts += 1
        self.replayed += request.attempts > 1
        reply = chain.post(request.tensors, request.deadline)
        request.was_sent(reply)
        reply.add_done_callback(partial(self._replied, chain, request))

    def _replied(self, chain: Chain, request: _Request, reply: Future[list[EncodedTensor]]) -> None:
        error = reply.exception()
        if error is None:
            _end(request, reply.result())
        elif isinstance(error, DispatcherError) and self._is_lost(chain, error, request):
            self._lose(chain, request, error)
        else:
            _end(request, error)

    def _is_lost(self, chain: Chain, error: DispatcherError, request: _Request) -> bool:
        """Whether the request has no answer because of its chain, and another chain may have one."""
        if self._state is LaneState.CLOSED or request.attempts >= MOST_ATTEMPTS:
            return False
        if isinstance(error, BoardRefusedError):
            return True
        is_chains = isinstance(error, (BoardError, ChainClosedError)) and chain.failure is not None
        return is_chains and not isinstance(error, (ComputeFailedError, FrameRejectedError))

    def _lose(self, chain: Chain, request: _Request, error: DispatcherError) -> None:
        self._chain_broke(chain, error)
        self._send(request)  # to the chain that is there already, or it waits

    def _chain_broke(self, chain: Chain, error: DispatcherError) -> None:
        with self._lock:
            is_first = self.chain is chain and self._state is LaneState.OPEN
            if is_first:
                self._change(LaneEvent.BROKE)
        if is_first:
            self._on_break(self, chain, error)

    def _wait(self, request: _Request) -> None:
        """The lock is held."""
        request.waits_in = self
        self._waiting[request.number] = request
        self._deadlines.set(request.number, request.deadline)

    def _drop(self, request: _Request) -> None:
        """Ends a request that waits here and that nobody waits for."""
        with self._lock:
            waited = self._waiting.pop(request.number, None)
        if waited is not None:
            self._deadlines.cancel(request.number)
            _end(request, AbandonedError("nobody waits for the answer any more."))

    def _expire(self, number: int) -> None:
        with self._lock:
            request = self._waiting.pop(number, None)
        if request is not None:
            _end(request, late(request.deadline.timeout_s, "while the chain was being mended"))

    def _send_waiting(self, lane: Lane) -> None:
        with self._lock:
            waiting, self._waiting = sorted(self._waiting.items()), {}
        for number, request in waiting:
            self._deadlines.cancel(number)
            lane._send(request)

    def _end_waiting(self, error: DispatcherError) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for number, request in waiting.items():
            self._deadlines.cancel(number)
            _end(request, own_instance(error))


def _end(request: _Request, outcome: list[EncodedTensor] | BaseException) -> None:
    try:
        if isinstance(outcome, BaseException):
            request.future.set_exception(outcome)
        else:
            request.future.set_result(outcome)
    except InvalidStateError:
        pass  # the caller has cancelled it
