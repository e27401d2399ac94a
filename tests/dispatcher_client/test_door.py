"""Overload is refused at once, with words that help, while others are served."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.door import Door
from dispatcher_client.errors import OptionError, OverloadedError
from dispatcher_client.windows import Windows
from examples.local_boards import LocalBoards
from tests.freezing import PATIENCE_S, PATIENT, freeze
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]


def test_door_lets_so_many_wait_and_refuses_the_next_with_what_to_do() -> None:
    door = Door(1)
    with door.waiting():
        with pytest.raises(OverloadedError, match=r"max_waiting is 1: .*stream\(\)"), door.waiting():
            pass
        assert door.n_waiting == 1
    with door.waiting():
        pass
    assert door.n_waiting == 0


def test_fewer_than_none_may_not_wait() -> None:
    with pytest.raises(OptionError, match="max_waiting is -1"):
        Door(-1)


def test_who_finds_room_at_once_does_not_wait_at_the_door() -> None:
    windows, door = Windows([1]), Door(0)

    def choose(outstanding: object) -> int | None:
        return 0 if windows._taken[0] == {} else None

    assert windows.take(choose, 1, door)
    with pytest.raises(OverloadedError):
        windows.take(choose, 1, door)
    assert windows.take(choose, 0.01) is None  # whoever is not counted waits


@pytest.mark.parametrize("batch", [1, 4])
def test_submit_beyond_those_that_may_wait_is_refused_at_once_and_the_others_are_answered(
    store_root: Path, zoo_bundle: MakeBundle, batch: int
) -> None:
    bundle = zoo_bundle("residual", "int8", 3, batch)
    x = {spec.name: np.zeros((1, *spec.shape[1:]), np.int8) for spec in bundle.manifest.inputs}
    answers: list[object] = []
    with (
        LocalBoards(3, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, window=1, max_waiting=3, silence_s=PATIENCE_S) as chain,
    ):
        chain.infer(x)
        process = running.boards[0].process
        freeze(process)
        try:
            first = [
                chain.submit(x) for _ in range(1 if batch == 1 else 3 * batch)
            ]  # in flight, about to be, and in the making
            waiting = [threading.Thread(target=lambda: answers.append(chain.infer(x))) for _ in range(3)]
            for thread in waiting:
                thread.start()
            assert comes_true(lambda: chain._door.n_waiting == 3)
            began_s = time.monotonic()
            with pytest.raises(OverloadedError, match="3 requests wait"):
                chain.submit(x)
            assert time.monotonic() - began_s < 1
            streamed = chain.stream([x])
            reader = threading.Thread(target=lambda: answers.extend(streamed))
            reader.start()
        finally:
            process.send_signal(signal.SIGCONT)
        for thread in [*waiting, reader]:
            thread.join(TIMEOUT_S)
        assert len(answers) == 4
        assert all(answer.result(TIMEOUT_S) is not None for answer in first)
