"""Chains side by side: opened and closed together, each request to the one with the fewest outstanding."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from dispatcher_client.chain import Chain
from dispatcher_client.deadlines import Deadline
from dispatcher_client.errors import DispatcherError, late
from dispatcher_client.lane import Lane
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.windows import Windows, least_outstanding
from transport.boundary import check_boundary
from transport.errors import TransportError
from transport.frame import EncodedTensor
from transport.tensor_codec import decode_tensor
from transport.tensor_spec import Array

_T = TypeVar("_T")


class ChainGroup:
    """Open chains over disjoint boards that answer alike. `open` and `close` belong to the event loop."""

    def __init__(self, chains: Sequence[Chain] | Sequence[Lane], windows: Windows) -> None:
        self._chains: tuple[Chain | Lane, ...] = tuple(chains)
        self._windows = windows

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
    ) -> Future[_T]:
        """Sends the model's input tensors; the future gives `finish` of the output tensors by name.

        Blocks while all windows are full. A chain that broke gets no more requests, unless all have broken: then the future
        says why.
        Args:
            deadline: for all of it: waiting for room, sending and the answer.
            chain_index: the chain that must answer; by default the one with the fewest requests outstanding.
        """

        def choose(outstanding: Sequence[int]) -> int | None:
            candidates = [chain_index] if chain_index is not None else self._candidates()
            return least_outstanding(outstanding, self._windows.sizes, candidates)

        answer: Future[_T] = Future()
        slot = self._windows.take(choose, deadline.left_s)
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

        def deliver(done: Future[list[EncodedTensor]]) -> None:
            self._windows.give_back(slot, answered=not done.cancelled() and done.exception() is None)
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(finish(_decode(chain, done.result())))
            except BaseException as error:
                answer.set_exception(error)

        reply.add_done_callback(deliver)
        return answer


def _is_mending(chain: Chain | Lane) -> bool:
    return isinstance(chain, Lane) and chain.is_mending


def _decode(chain: Chain | Lane, encoded: list[EncodedTensor]) -> dict[str, Array]:
    leaving = chain.placement.splitting.partitions[-1].leaving
    try:
        check_boundary(leaving, encoded)
        return {spec.name: decode_tensor(tensor) for spec, tensor in zip(leaving, encoded)}
    except TransportError as error:
        raise DispatcherError(f"the chain's answer is not what the manifest says: {error}") from error
