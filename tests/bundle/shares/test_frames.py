"""Frames of two streams that share a board's strips, and so the memory of these: each has its own answer."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bundle.partition_files import partition_files
from bundle.shares import ShareError, ShareProgram
from protos.v1.manifest_pb2 import Partition
from runtime import load_runtime
from tests.bundles import load_zoo_model, make_bundle
from tests.dispatcher_client.whole_model import random_inputs, run_whole
from tests.shared_segments import share_all
from transport.tensor_spec import Array

_TIMEOUT_S = 60.0


class Passing:
    """Pieces of one frame between two boards. What is sent may change at once, as on the boards."""

    def __init__(self, before: Callable[[int], None] = lambda transfer: None) -> None:
        self._queues: defaultdict[int, queue.SimpleQueue[list[Array]]] = defaultdict(queue.SimpleQueue)
        self._before = before
        self.received: list[int] = []

    def receive(self, transfer: int) -> list[Array]:
        self._before(transfer)
        self.received.append(transfer)
        return self._queues[transfer].get(timeout=_TIMEOUT_S)

    def send(self, _peer: int, transfer: int, pieces: Sequence[Array]) -> None:
        self._queues[transfer].put([piece.copy() for piece in pieces])


class Group:
    """Two boards that share a model."""

    def __init__(self, directory: Path) -> None:
        graph = load_zoo_model("residual", "int8").graph
        self.bundle = make_bundle(directory / "bundle", "residual", "int8", groups=[{0: share_all(graph, (1, 1), 3)}])
        (splitting,) = self.bundle.splittings
        (leader,) = splitting.leaders
        self.parts: list[Partition] = list(splitting.group_of(leader))
        files = {f.sha256: self.bundle.file_path(f) for part in self.parts for f in partition_files(part)}
        self.programs = [ShareProgram(part.share, files, load_runtime(), 1) for part in self.parts]

    def answer(self, value: Array, leaders: Passing, others: Passing | None = None) -> Array:
        """Of one frame; each board on a thread."""
        arriving = list(zip(self.programs[0].places(self.parts[0].inputs), [value]))
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(self.programs[1].follow, others or leaders)
            leaving = self.programs[0].places(self.parts[0].outputs)
            ((answer,), _) = self.programs[0].follow(leaders, arriving, leaving)
            other.result(_TIMEOUT_S)
        return answer


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    return Group(tmp_path_factory.mktemp("group"))


def frames(group: Group) -> tuple[list[Array], list[bytes]]:
    """Two inputs, and what the whole model gives."""
    inputs = [random_inputs(group.bundle, seed) for seed in (1, 2)]
    (first,), (second,) = (run_whole(group.bundle, values).values() for values in inputs)
    assert first != second
    return [single_value for values in inputs for single_value in values.values()], [first, second]


def test_frame_after_frame_has_the_whole_models_answer(group: Group) -> None:
    (first, second), expected = frames(group)
    answers = [group.answer(value, Passing()).tobytes() for value in (first, second, first)]
    assert answers == [*expected, expected[0]]


def test_frame_that_waits_keeps_what_it_has_while_another_is_computed(group: Group) -> None:
    (first, second), expected = frames(group)
    seen = Passing()
    group.answer(first, seen)
    assert len(set(seen.received)) > 5
    for stop in sorted(set(seen.received)):  # wherever the one frame waits, all of the other is computed
        waits, goes_on = threading.Event(), threading.Event()

        def wait(
            transfer: int, stop: int = stop, waits: threading.Event = waits, on: threading.Event = goes_on
        ) -> None:
            if transfer == stop:
                waits.set()
                assert on.wait(_TIMEOUT_S)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(group.answer, first, Passing(wait))
            assert waits.wait(_TIMEOUT_S)
            assert group.answer(second, Passing()).tobytes() == expected[1]
            goes_on.set()
            assert waiting.result(_TIMEOUT_S).tobytes() == expected[0], f"waited for transfer {stop}"


def test_frame_that_fails_leaves_nothing_to_the_next(group: Group) -> None:
    (first, second), expected = frames(group)

    def fail(transfer: int) -> None:
        raise ConnectionError(f"transfer {transfer} does not come")

    arriving = list(zip(group.programs[0].places(group.parts[0].inputs), [first]))
    with pytest.raises(ConnectionError):
        group.programs[0].follow(Passing(fail), arriving)
    assert group.answer(second, Passing()).tobytes() == expected[1]


def test_input_of_another_size_is_refused(group: Group) -> None:
    (place,) = group.programs[0].places(group.parts[0].inputs)
    with pytest.raises(ShareError, match="a piece has shape"):
        group.programs[0].follow(Passing(), [(place, np.zeros((1, 2, 2, 3), place.dtype))])
