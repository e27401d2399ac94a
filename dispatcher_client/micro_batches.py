"""Gathers single inputs into frames of a bundle's batch, and gives each input the answer that is its own."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from dispatcher_client.deadlines import Deadline, Deadlines
from dispatcher_client.door import Door
from dispatcher_client.errors import ChainClosedError, DispatcherError, late, own_instance
from dispatcher_client.values import Values
from fleet.event_loop import delivers_answers
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array

_T = TypeVar("_T")
Tensors = Mapping[str, Array]


class _Sent:
    """A frame that was sent, and the inputs in it that somebody still waits for."""

    def __init__(self, members: Sequence[_Member], reply: Future[dict[str, Array]]) -> None:
        self._wanted = {member.key for member in members}
        self._reply = reply

    def leave(self, key: int) -> None:
        """Nobody waits for this input any more; with the last one the frame is cancelled."""
        self._wanted.discard(key)
        if not self._wanted:
            self._reply.cancel()


@dataclass
class _Member:
    key: int
    tensors: Tensors
    finish: Callable[[dict[str, Array]], Any]
    future: Future[Any]
    deadline: Deadline
    sent: _Sent | None = None


class MicroBatches:
    """Frames in the making, one at a time; a thread of its own sends each when it is full or has waited long enough.

    Thread-safe. While the chain has no room, up to one frame of inputs waits here and `submit` blocks beyond it. An input
    that is cancelled, or whose time is over, ends alone; its frame goes on for the others, and is cancelled with the last.
    Inputs for another chain go into a frame of their own.
    """

    def __init__(
        self,
        batch: int,
        wait_s: float,
        send: Callable[[dict[str, Array], int | None, Deadline], Future[dict[str, Array]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: send: sends the tensors of a whole frame, by name, to the chain of that index, or to any; until the deadline,
        that of the input which may wait longest, it may block until there is room; it may raise.
        """
        self._batch, self._wait_s, self._send, self._clock = batch, wait_s, send, clock
        self._members: list[_Member] = []
        self._chain_index: int | None = None  # of the frame in the making
        self._due_s = 0.0
        self._keys = itertools.count()
        self._open: dict[int, _Member] = {}  # whoever takes a member out of it ends its future
        self._deadlines = Deadlines(self._expire)
        self._is_closed = False
        self._changed = threading.Condition()
        self._sender = threading.Thread(target=self._run, name="boardline-batches", daemon=True)
        self._sender.start()

    def submit(
        self,
        tensors: Tensors,
        finish: Callable[[dict[str, Array]], _T],
        chain_index: int | None,
        deadline: Deadline,
        door: Door | None = None,
    ) -> Future[_T]:
        """Puts one input into the frame in the making; the future gives `finish` of its own rows of the answer.

        Args:
            tensors: the input's rows, by tensor name.
            chain_index: the chain that must answer; None for any.
            deadline: for all of it: waiting for room, for others that fill the frame, and for the answer.
            door: where those who have to wait for room are counted.
        Raises: ChainClosedError: closed. OverloadedError: too many wait at the door.
        """
        future: Future[_T] = Future()
        with self._changed:
            if not self._wait_for_room(chain_index, deadline, door):
                future.set_exception(late(deadline.timeout_s, "because the window stayed full"))
                return future
            if self._is_closed:
                raise ChainClosedError("the chain was closed.")
            if not self._members:
                self._chain_index, self._due_s = chain_index, self._clock() + self._wait_s
            member = _Member(next(self._keys), tensors, finish, future, deadline)
            self._open[member.key] = member
            self._deadlines.set(member.key, deadline)
            self._members.append(member)
            self._changed.notify_all()
        future.add_done_callback(partial(self._leave, member))
        return future

    def flush(self) -> None:
        """Has what was gathered sent without waiting for more."""
        with self._changed:
            self._due_s = self._clock()
            self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Takes no more inputs and sends what was gathered; whether that was done within the time."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._sender.join(timeout_s)
        self._deadlines.close()  # what is on its way ends with the chains
        return not self._sender.is_alive()

    def _wait_for_room(self, chain_index: int | None, deadline: Deadline, door: Door | None) -> bool:
        def is_over() -> bool:
            return self._is_closed or self._has_room(chain_index)

        if is_over():
            return True
        with contextlib.nullcontext() if door is None else door.waiting():
            return self._changed.wait_for(is_over, deadline.left_s)

    def _has_room(self, chain_index: int | None) -> bool:
        if self._members and chain_index != self._chain_index and self._due_s > self._clock():
            self.flush()  # the lock is one that its owner may take again
        return not self._members or (chain_index == self._chain_index and len(self._members) < self._batch)

    def _run(self) -> None:
        delivers_answers()  # errors, to futures whose callbacks may be an application's
        while taken := self._take():
            members, chain_index = taken
            latest = max((m.deadline for m in members), key=lambda deadline: deadline.at_s)
            try:
                reply = self._send(join_batch([m.tensors for m in members], self._batch), chain_index, latest)
            except BaseException as error:
                self._fail(members, error)
                continue
            sent = _Sent(members, reply)
            for member in members:
                member.sent = sent
                if member.future.done():  # meanwhile; otherwise it finds the frame itself
                    sent.leave(member.key)
            reply.add_done_callback(partial(self._deliver, members))

    def _take(self) -> tuple[list[_Member], int | None] | None:
        """The next frame's inputs, once it is full or due; None: closed and nothing left."""
        with self._changed:
            while not (self._is_closed and not self._members):
                left_s = self._due_s - self._clock()
                if self._members and (len(self._members) == self._batch or left_s <= 0 or self._is_closed):
                    members, self._members = self._members, []
                    self._changed.notify_all()
                    wanted = [m for m in members if not m.future.done()]
                    if wanted:
                        return wanted, self._chain_index
                    continue
                self._changed.wait(left_s if self._members else None)  # without inputs, until one comes or the close
        return None

    def _deliver(self, members: Sequence[_Member], reply: Future[dict[str, Array]]) -> None:
        try:
            rows = split_batch(reply.result(), self._batch)
        except BaseException as error:
            self._fail(members, error)
            return
        for member, row in zip(members, rows):
            if not self._claim(member.key):
                continue
            try:
                member.future.set_result(member.finish(row))
            except BaseException as error:
                member.future.set_exception(error)

    def _fail(self, members: Sequence[_Member], error: BaseException) -> None:
        for member in members:
            if self._claim(member.key):
                member.future.set_exception(own_instance(error) if isinstance(error, DispatcherError) else error)

    def _leave(self, member: _Member, future: Future[Any]) -> None:
        if future.cancelled():
            self._claim(member.key)
            if member.sent is not None:
                member.sent.leave(member.key)

    def _expire(self, key: int) -> None:
        member = self._claim(key)
        if member is not None:
            member.future.set_exception(late(member.deadline.timeout_s, "for an input that shares a frame"))
            if member.sent is not None:
                member.sent.leave(key)

    def _claim(self, key: int) -> _Member | None:
        """The input, for the one caller that ends its future; None: it has ended."""
        member = self._open.pop(key, None)
        self._deadlines.cancel(key)
        return member if member is not None and member.future.set_running_or_notify_cancel() else None


def is_whole_batch(values: Values, batch: int) -> bool:
    """Whether an application passes `batch` inputs at once, in arrays whose first dimension counts them."""
    arrays: Sequence[Any] = list(values.values()) if isinstance(values, Mapping) else [values]
    return all(isinstance(array, np.ndarray) and array.shape[:1] == (batch,) for array in arrays)


def single_specs(specs: Sequence[TensorSpec], batch: int) -> list[TensorSpec]:
    """The specs of one input, of those of a whole batch."""
    singles = []
    for spec in specs:
        single = TensorSpec()
        single.CopyFrom(spec)
        if batch > 1:  # without a batch there may be inputs without a dimension
            single.shape[0] //= batch
        singles.append(single)
    return singles


def split_batch(tensors: Tensors, batch: int) -> list[dict[str, Array]]:
    """Each input's rows, in order, of tensors that hold `batch` of them."""
    if batch == 1:  # there may be tensors without a dimension
        return [dict(tensors)]
    parts = {name: np.split(array, batch) for name, array in tensors.items()}
    return [{name: rows[index] for name, rows in parts.items()} for index in range(batch)]


def split_values(values: Values, batch: int) -> list[Values]:
    """An application's single inputs, of a whole batch of them; of a single input, itself."""
    if batch == 1 or not is_whole_batch(values, batch):
        return [values]
    return list(split_batch(values, batch)) if isinstance(values, Mapping) else list(np.split(values, batch))


def join_values(inputs: Sequence[Values]) -> Values:
    """A whole batch of an application's single inputs."""
    if len(inputs) == 1:
        return inputs[0]
    arrays = [values for values in inputs if not isinstance(values, Mapping)]
    by_name = [values for values in inputs if isinstance(values, Mapping)]
    return {n: np.concatenate([v[n] for v in by_name]) for n in by_name[0]} if by_name else np.concatenate(arrays)


def join_batch(inputs: Sequence[Tensors], batch: int) -> dict[str, Array]:
    """One frame's tensors; the last input stands for those that are missing, since it is surely one that the model takes."""
    if batch == 1:
        return dict(inputs[0])
    padded = [*inputs, *[inputs[-1]] * (batch - len(inputs))]
    return {name: np.concatenate([tensors[name] for tensors in padded]) for name in inputs[0]}
