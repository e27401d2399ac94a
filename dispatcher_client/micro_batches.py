"""Gathers single inputs into frames of a bundle's batch, and gives each input the answer that is its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from dispatcher_client.errors import ChainClosedError, DispatcherError, own_instance
from dispatcher_client.values import Values
from fleet.event_loop import delivers_answers
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array

_T = TypeVar("_T")
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Terms:
    """What was asked for with an input; inputs of other terms go into a frame of their own."""

    timeout_s: float
    chain_index: int | None


@dataclass(frozen=True)
class _Member:
    tensors: Tensors
    finish: Callable[[dict[str, Array]], Any]
    future: Future[Any]


class MicroBatches:
    """Frames in the making, one at a time; a thread of its own sends each when it is full or has waited long enough.

    Thread-safe. While the chain has no room, up to one frame of inputs waits here and `submit` blocks beyond it.
    """

    def __init__(
        self,
        batch: int,
        wait_s: float,
        send: Callable[[dict[str, Array], Terms], Future[dict[str, Array]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: send: sends the tensors of a whole frame, by name; may block until there is room, and may raise."""
        self._batch, self._wait_s, self._send, self._clock = batch, wait_s, send, clock
        self._members: list[_Member] = []
        self._terms = Terms(0.0, None)
        self._due_s = 0.0
        self._is_closed = False
        self._changed = threading.Condition()
        self._sender = threading.Thread(target=self._run, name="boardline-batches", daemon=True)
        self._sender.start()

    def submit(
        self, tensors: Tensors, finish: Callable[[dict[str, Array]], _T], terms: Terms, patience_s: float
    ) -> Future[_T]:
        """Puts one input into the frame in the making; the future gives `finish` of its own rows of the answer.

        Args:
            tensors: the input's rows, by tensor name.
            patience_s: limit for waiting for room.
        Raises: ChainClosedError: closed, or no room came free in time.
        """
        future: Future[_T] = Future()
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_closed or self._has_room(terms), patience_s):
                raise ChainClosedError("the window stayed full: requests neither end nor time out.")
            if self._is_closed:
                raise ChainClosedError("the chain was closed.")
            if not self._members:
                self._terms, self._due_s = terms, self._clock() + self._wait_s
            self._members.append(_Member(tensors, finish, future))
            self._changed.notify_all()
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
        return not self._sender.is_alive()

    def _has_room(self, terms: Terms) -> bool:
        if self._members and terms != self._terms and self._due_s > self._clock():
            self.flush()  # the lock is one that its owner may take again
        return not self._members or (terms == self._terms and len(self._members) < self._batch)

    def _run(self) -> None:
        delivers_answers()  # errors, to futures whose callbacks may be an application's
        while taken := self._take():
            members, terms = taken
            try:
                reply = self._send(_join([m.tensors for m in members], self._batch), terms)
            except BaseException as error:
                _fail(members, error)
                continue
            reply.add_done_callback(partial(_deliver, members, self._batch))

    def _take(self) -> tuple[list[_Member], Terms] | None:
        """The next frame's inputs, once it is full or due; None: closed and nothing left."""
        with self._changed:
            while not (self._is_closed and not self._members):
                left_s = self._due_s - self._clock()
                if self._members and (len(self._members) == self._batch or left_s <= 0 or self._is_closed):
                    members, self._members = self._members, []
                    self._changed.notify_all()
                    wanted = [m for m in members if not m.future.cancelled()]
                    if wanted:
                        return wanted, self._terms
                    continue
                self._changed.wait(left_s if self._members else None)  # without inputs, until one comes or the close
        return None


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


def _join(inputs: Sequence[Tensors], batch: int) -> dict[str, Array]:
    """One frame's tensors; the last input stands for those that are missing, since it is surely one that the model takes."""
    padded = [*inputs, *[inputs[-1]] * (batch - len(inputs))]
    return {name: np.concatenate([tensors[name] for tensors in padded]) for name in inputs[0]}


def _deliver(members: Sequence[_Member], batch: int, reply: Future[dict[str, Array]]) -> None:
    try:
        rows = split_batch(reply.result(), batch)
    except BaseException as error:
        _fail(members, error)
        return
    for member, row in zip(members, rows):
        if not member.future.set_running_or_notify_cancel():
            continue
        try:
            member.future.set_result(member.finish(row))
        except BaseException as error:
            member.future.set_exception(error)


def _fail(members: Sequence[_Member], error: BaseException) -> None:
    for member in members:
        if member.future.set_running_or_notify_cancel():
            member.future.set_exception(own_instance(error) if isinstance(error, DispatcherError) else error)
