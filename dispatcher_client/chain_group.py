"""Chains side by side: opened and closed together, each request to the one with the fewest outstanding."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from dispatcher_client.chain import Chain
from dispatcher_client.deadlines import Deadline, Deadlines
from dispatcher_client.door import Door
from dispatcher_client.errors import DispatcherError, ReplyTimeoutError, late
from dispatcher_client.lane import Lane
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.reply import Reply
from dispatcher_client.windows import Windows, least_outstanding
from fleet.errors import FrameDroppedError
from transport.boundary import check_boundary
from transport.errors import TransportError
from transport.frame import EncodedTensor
from transport.tensor_codec import decode_tensor
from transport.tensor_spec import Array

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Request:
    answer: Future[Any]
    reply: Reply
    deadline: Deadline
    chain: Chain | Lane


class ChainGroup:
    """Open chains over disjoint boards that answer alike. `open` and `close` belong to the event loop."""

    def __init__(self, chains: Sequence[Chain] | Sequence[Lane], windows: Windows) -> None:
        self._chains: tuple[Chain | Lane, ...] = tuple(chains)
        self._windows = windows
        self._open: dict[int, _Request] = {}  # whoever takes a request out of it ends its answer
        self._deadlines = Deadlines(self._expire)

    @property
    def placements(self) -> list[ChainPlacement]:
        """Where each chain runs at present."""
        return [chain.placement for chain in self._chains]

    @property
    def open_chains(self) -> list[int]:
        """Indices of the chains that send requests at once."""
        return [index for index, chain in enumerate(self._chains) if chain.failure is None and not _is_mending(chain)]

    async def open(self, timeout_s: float) -> None:
        """Opens all chains at once; if one cannot be opened, none stays open. Raises: BoardError: the first that failed."""
        tasks = [asyncio.ensure_future(chain.open(timeout_s)) for chain in self._chains]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # before the close: none may open after it
            await self.close()
            raise

    async def close(self) -> None:
        """Lets the boards answer what they have, then ends every stream."""
        await asyncio.gather(*(chain.close() for chain in self._chains))
        self._deadlines.close()

    @property
    def coding_reasons(self) -> list[str]:
        """How each chain's requests are coded on their way to its first board, and why."""
        return [chain.coding_reason for chain in self._chains]

    def _candidates(self) -> Sequence[int]:
        """Open chains; without one those that are being mended, where requests wait; else all, which say why not."""
        mending = [index for index, chain in enumerate(self._chains) if _is_mending(chain)]
        return self.open_chains or mending or range(len(self._chains))

    def submit(
        self,
        tensors: Sequence[Array],
        finish: Callable[[dict[str, Array]], _T],
        deadline: Deadline,
        chain_index: int | None = None,
        door: Door | None = None,
        *,
        wanted: Collection[str] | None = None,
    ) -> Future[_T]:
        """Sends the model's input tensors; the future gives `finish` of the tensors of the answer by name.

        Blocks while all windows are full. A chain that broke gets no more requests, unless all have broken: then the future
        says why. A future that is cancelled, or whose time is over, ends at once; its request's place in the window is free when
        the boards have dropped it or are done with it.
        Args:
            deadline: for all of it: waiting for room, sending and the answer.
            chain_index: the chain that must answer; by default the one with the fewest requests outstanding.
            door: where those who have to wait for room are counted.
            wanted: names of the tensors to decode; all of the answer by default.
        Raises: OverloadedError: too many wait at the door.
        """

        def choose(outstanding: Sequence[int]) -> int | None:
            candidates = [chain_index] if chain_index is not None else self._candidates()
            return least_outstanding(outstanding, self._windows.sizes, candidates)

        answer: Future[_T] = Future()
        slot = self._windows.take(choose, deadline.left_s, door)
        if slot is None:
            answer.set_exception(late(deadline.timeout_s, "because the window stayed full"))
            return answer
        chain = self._chains[slot.chain_index]
        try:
            if isinstance(chain, Lane):
                reply = chain.post(tensors, deadline, stays=chain_index is not None)
            else:
                reply = chain.post(tensors, deadline)
        except BaseException:
            self._windows.give_back(slot, answered=False)
            raise
        key = slot.number
        self._open[key] = _Request(answer, reply, deadline, chain)
        self._deadlines.set(key, deadline)

        def deliver(done: Future[list[EncodedTensor]]) -> None:
            is_wanted = self._claim(key) is not None
            self._windows.give_back(slot, answered=is_wanted and done.exception() is None)
            if not is_wanted or not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(finish(_decode(chain, done.result(), wanted)))
            except FrameDroppedError:  # a board counts no time that the dispatcher does not; it was faster to say so
                answer.set_exception(_late(chain, deadline))
            except BaseException as error:
                answer.set_exception(error)

        answer.add_done_callback(partial(self._leave, key))
        reply.add_done_callback(deliver)
        return answer

    def _claim(self, key: int) -> _Request | None:
        """The request, for the one caller that ends its answer; None: it has ended."""
        request = self._open.pop(key, None)
        if request is not None:
            self._deadlines.cancel(key)
        return request

    def _leave(self, key: int, answer: Future[Any]) -> None:
        if answer.cancelled():
            request = self._claim(key)
            if request is not None:
                request.reply.abandon()

    def _expire(self, key: int) -> None:
        request = self._claim(key)
        if request is None:
            return
        request.reply.abandon()
        if request.answer.set_running_or_notify_cancel():
            request.answer.set_exception(_late(request.chain, request.deadline))


def _late(chain: Chain | Lane, deadline: Deadline) -> ReplyTimeoutError:
    if _is_mending(chain):
        return late(deadline.timeout_s, "while the chain was being mended")
    boards = ", ".join(stage.board.name for stage in chain.placement.stages)
    return late(deadline.timeout_s, f"from the chain {boards}")


def _is_mending(chain: Chain | Lane) -> bool:
    return isinstance(chain, Lane) and chain.is_mending


def _decode(chain: Chain | Lane, encoded: list[EncodedTensor], wanted: Collection[str] | None) -> dict[str, Array]:
    leaving = chain.placement.splitting.leaving
    try:
        check_boundary(leaving, encoded)
        return {
            spec.name: decode_tensor(tensor)
            for spec, tensor in zip(leaving, encoded)
            if wanted is None or spec.name in wanted
        }
    except TransportError as error:
        raise DispatcherError(f"the chain's answer is not what the manifest says: {error}") from error
