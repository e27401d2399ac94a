"""A share, loaded: what this board receives, computes and sends for each frame of its group, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Union

import numpy as np

from bundle.shares.pieces import Assembly, Pieces, Place, ShareError
from protos.v1.manifest_pb2 import Passing, Piece, Share, Strip
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port, Runner, TfliteRuntime
from transport.tensor_spec import Array

# No model has as many operators, and no group as many boards.
_MOST_ACTIONS = 2**16
MOST_MEMBERS = 64


Watched = Callable[[], AbstractContextManager[None]]


class Exchange(Protocol):
    """How pieces of the frame in work come and go."""

    def receive(self, transfer: int) -> Sequence[Array]:
        """Waits for the pieces of a message."""

    def send(self, peer: int, transfer: int, pieces: Sequence[Array]) -> None:
        """Hands a message over, whose arrays may change afterwards; waits at most while an earlier one is on its way."""


@dataclass(frozen=True)
class _Passed:
    transfer: int
    peer: int
    places: tuple[Place, ...]

    @property
    def n_bytes(self) -> int:
        return sum(place.n_bytes for place in self.places)


class _Receive(_Passed):
    pass


class _Send(_Passed):
    pass


@dataclass
class _Compute:
    runner: Runner
    watched: Watched
    inputs: Sequence[Place]
    outputs: Sequence[Place]
    # The frame that reads what the last run gave, which lies in the runner's memory, and those arrays.
    holder: Pieces | None = None
    held: Sequence[Array] = ()

    def run(self, pieces: Pieces) -> None:
        """Adds to a frame what follows from its pieces."""
        if self.holder is not None and self.holder is not pieces:
            self.holder.own(self.held)

        def fill(targets: Sequence[Array]) -> None:
            for place, target in zip(self.inputs, targets):
                pieces.copy_to(place, target)

        with self.watched():
            self.held = self.runner.run_in_place(fill)
        self.holder = pieces
        for place, values in zip(self.outputs, self.held):
            pieces.add(place, values)

    def release(self, pieces: Pieces) -> None:
        """The frame is over."""
        if self.holder is pieces:
            self.holder, self.held = None, ()


@dataclass
class ShareWork:
    """What one frame took on this board, in nanoseconds and bytes of pieces."""

    wait_ns: int = 0
    compute_ns: int = 0
    invoke_cpu_ns: int = 0
    send_ns: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class ShareProgram:
    """Thread-safe. Frames of several threads take turns at every step, as each waits for other boards in between.

    Attributes:
        expected: what other boards send, by transfer: from whom, and which pieces.
        peers: boards of the group that this one sends to or receives from.
    """

    def __init__(
        self,
        share: Share,
        files: Mapping[str, Path],
        runtime: TfliteRuntime,
        threads: int,
        watch: Callable[[], Watched] = lambda: nullcontext,
    ) -> None:
        """Loads the strips.

        Args: files: by hash. watch: called for each strip; gives what each of its runs goes on in.
        Raises: ModelLoadError: the runtime refuses a file. ShareError: a share that cannot be.
        """
        if not 0 <= share.member < share.members <= MOST_MEMBERS or len(share.actions) > _MOST_ACTIONS:
            raise ShareError(
                f"a share is of board {share.member} of {share.members}, with {len(share.actions)} actions; at most "
                f"{MOST_MEMBERS} boards and {_MOST_ACTIONS} actions are taken."
            )
        self._specs = list(share.tensors)
        self._turn = threading.Lock()
        self.expected: dict[int, tuple[int, tuple[Place, ...]]] = {}
        self._actions: list[Union[_Receive, _Send, _Compute]] = []
        for action in share.actions:
            if action.HasField("receive"):
                received = _Receive(*self._passed(action.receive, share))
                if received.transfer in self.expected:
                    raise ShareError(f"a share receives transfer {received.transfer} twice.")
                self.expected[received.transfer] = received.peer, received.places
                self._actions.append(received)
            elif action.HasField("send"):
                self._actions.append(_Send(*self._passed(action.send, share)))
            elif action.HasField("compute"):
                self._actions.append(self._load(action.compute, files, runtime, threads, watch()))
            else:
                raise ShareError(
                    "a share has an action of a kind that this version does not know. Install a newer one."
                )
        if share.member and not self.expected:
            raise ShareError(
                f"board {share.member} of a group of {share.members} receives nothing and so never begins a frame. Plan without it."
            )
        self._strips = [action for action in self._actions if isinstance(action, _Compute)]
        self.peers = {a.peer for a in self._actions if not isinstance(a, _Compute)}

    def places(self, specs: Sequence[TensorSpec]) -> list[Place]:
        """Where the whole of these tensors is. Raises: ShareError: the share does not have one."""
        by_name = {spec.name: index for index, spec in enumerate(self._specs)}
        missing = [spec.name for spec in specs if spec.name not in by_name]
        if missing:
            raise ShareError(f"a leader's share does not have {', '.join(missing)}.")
        return [Place.of(Piece(tensor=by_name[spec.name]), self._specs) for spec in specs]

    def require_sound(self, arriving: Sequence[Place], leaving: Sequence[Place]) -> None:
        """Raises ShareError if something is read, sent or left that is neither there, computed nor received before."""
        there: dict[int, list[Place]] = {}
        for reads, gives in [((), arriving), *map(_reads_and_gives, self._actions), (leaving, ())]:
            for place in reads:
                Assembly.of(there.get(place.tensor, ()), place)
            for place in gives:
                there.setdefault(place.tensor, []).append(place)

    def follow(
        self, exchange: Exchange, arriving: Sequence[tuple[Place, Array]] = (), leaving: Sequence[Place] = ()
    ) -> tuple[list[Array], ShareWork]:
        """One frame, on the calling thread. Args: arriving: what the group is given. leaving: what is wanted of the board.

        Raises: ComputeError: the runtime refuses the tensors. ShareError: something else arrives than was planned for; and what
            the exchange raises.
        """
        pieces, work = Pieces(), ShareWork()
        for place, values in arriving:
            pieces.add(place, values)
        try:
            for action in self._actions:
                self._do(action, pieces, exchange, work)
            with self._turn:
                return [np.array(pieces.get(place)) for place in leaving], work
        finally:
            with self._turn:
                for strip in self._strips:
                    strip.release(pieces)

    def _do(
        self, action: Union[_Receive, _Send, _Compute], pieces: Pieces, exchange: Exchange, work: ShareWork
    ) -> None:
        begun_ns = time.perf_counter_ns()
        if isinstance(action, _Receive):
            received = exchange.receive(action.transfer)
            work.received_bytes += action.n_bytes
            work.wait_ns += time.perf_counter_ns() - begun_ns
            with self._turn:  # another frame may be having this one's results copied
                for place, values in zip(action.places, received):
                    pieces.add(place, values)
            return
        with self._turn:
            if isinstance(action, _Send):
                exchange.send(action.peer, action.transfer, [pieces.get(place) for place in action.places])
                work.sent_bytes += action.n_bytes
                work.send_ns += time.perf_counter_ns() - begun_ns
            else:
                action.run(pieces)
                work.compute_ns += time.perf_counter_ns() - begun_ns
                work.invoke_cpu_ns += action.runner.invoke_cpu_ns

    def _passed(self, passed: Passing, share: Share) -> tuple[int, int, tuple[Place, ...]]:
        if passed.peer == share.member or passed.peer >= share.members:
            raise ShareError(f"board {share.member} of {share.members} passes pieces to or from {passed.peer}.")
        return passed.transfer, passed.peer, tuple(Place.of(piece, self._specs) for piece in passed.pieces)

    def _load(
        self, strip: Strip, files: Mapping[str, Path], runtime: TfliteRuntime, threads: int, watched: Watched
    ) -> _Compute:
        runner = Runner(runtime, files[strip.file.sha256], threads)
        inputs, outputs = (
            [Place.of(piece, self._specs) for piece in pieces] for pieces in (strip.inputs, strip.outputs)
        )
        for what, places, ports in (("reads", inputs, runner.inputs), ("gives", outputs, runner.outputs)):
            _check(what, places, ports)
        return _Compute(runner, watched, inputs, outputs)


def _check(what: str, places: Sequence[Place], ports: Sequence[Port]) -> None:
    promised, found = [(p.dtype, p.shape) for p in places], [(p.dtype, p.shape) for p in ports]
    if promised != found:
        have, expected = ("; ".join(f"{d.name} {list(shape)}" for d, shape in of) for of in (found, promised))
        raise ShareError(f"a strip {what} {have}; the manifest says {expected}. They are of different bundles.")


def _reads_and_gives(action: Union[_Receive, _Send, _Compute]) -> tuple[Sequence[Place], Sequence[Place]]:
    if isinstance(action, _Compute):
        return action.inputs, action.outputs
    return ((), action.places) if isinstance(action, _Receive) else (action.places, ())
