"""The dispatcher for event loops, against real node services: nothing blocks the loop, and who waits no longer is heard of."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import AsyncDispatcher, ChainClosedError, InputError, OverloadedError, ReplyTimeoutError
from examples.local_boards import LocalBoards
from tests.dispatcher_client.test_cancelling import frames, frozen
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.freezing import PATIENCE_S, PATIENT

MakeBundle = Callable[..., Bundle]
_TIMEOUT_S = 60
_PULSE_S = 0.01
# A loop that waits for a window, or for a board that stands still, would miss seconds.
_LONGEST_PAUSE_S = 0.5


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, _TIMEOUT_S))


@asynccontextmanager
async def _unblocked() -> AsyncIterator[None]:
    """Fails if the loop stood still meanwhile, for longer than a thread beside it, which a crowded machine holds up as well."""
    longest_s = crowded_s = 0.0
    has_ended = threading.Event()

    async def beat() -> None:
        nonlocal longest_s
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(_PULSE_S)
            longest_s = max(longest_s, time.monotonic() - before_s)

    def beat_beside() -> None:
        nonlocal crowded_s
        before_s = time.monotonic()
        while not has_ended.wait(_PULSE_S):
            crowded_s = max(crowded_s, time.monotonic() - before_s)
            before_s = time.monotonic()

    beating, beside = asyncio.ensure_future(beat()), threading.Thread(target=beat_beside)
    beside.start()
    try:
        yield
    finally:
        beating.cancel()
        has_ended.set()
        beside.join()
    assert longest_s < _LONGEST_PAUSE_S + crowded_s


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(_PULSE_S)


def _outstanding(chain: AsyncDispatcher) -> int:
    return sum(chain._release.windows.outstanding)


@pytest.mark.parametrize(("name", "mode"), [("residual", "float32"), ("two_inputs", "float16"), ("yolo_neck", "int8")])
def test_calls_and_streams_at_the_same_time_give_the_whole_models_bytes(
    boards: LocalBoards, zoo_bundle: MakeBundle, name: str, mode: str
) -> None:
    bundle = zoo_bundle(name, mode)
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    expected = [run_whole(bundle, x) for x in inputs]

    async def run() -> None:
        async with AsyncDispatcher(bundle, boards.named) as chain, _unblocked():

            async def call(n: int) -> list[dict[str, bytes]]:
                return [named(chain, await chain.infer(inputs[i % 4])) for i in range(n)]

            async def stream(n: int) -> list[dict[str, bytes]]:
                source = itertools.islice(itertools.cycle(inputs), n)
                return [named(chain, answer) async for answer in chain.stream(source)]

            for answers in await asyncio.gather(*[call(8) for _ in range(24)], *[stream(40) for _ in range(4)]):
                assert answers == [expected[i % 4] for i in range(len(answers))]
            assert chain._door.n_waiting == 0

    _run(run())


def test_batches_are_filled_from_calls_and_streams(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8", 3, 4)
    whole = random_inputs(bundle, 1)
    singles = [{name: array[i : i + 1] for name, array in whole.items()} for i in range(4)]

    async def run() -> None:
        # Longer than the test may take: the stream's last frame is sent because the source has ended.
        async with AsyncDispatcher(bundle, boards.named, batch_wait_ms=200_000, reply_timeout_s=300) as chain:
            expected = np.asarray(await chain.infer(whole))
            rows = await asyncio.gather(*map(chain.infer, singles))
            assert np.concatenate([np.asarray(row) for row in rows]).tobytes() == expected.tobytes()
            streamed = [np.asarray(answer) async for answer in chain.stream(singles[:3])]
            assert np.concatenate(streamed).tobytes() == expected[:3].tobytes()

    _run(run())


@pytest.mark.parametrize("how", ["cancelled", "timed out", "left early"])
def test_who_waits_no_longer_is_heard_of_by_boards_and_the_loop_goes_on(
    store_root: Path, zoo_bundle: MakeBundle, how: str
) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)
    window, asked = 32, 48  # the others are in the line

    async def give_up(chain: AsyncDispatcher) -> None:
        if how == "left early":
            async with aclosing(chain.stream(itertools.repeat(x))) as answers:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(answers.__anext__(), 1)
            return
        calls = [asyncio.ensure_future(asyncio.wait_for(chain.infer(x), 1)) for _ in range(asked)]
        if how == "cancelled":
            await _until(lambda: _outstanding(chain) == window)
            for call in calls:
                call.cancel()
        kind = asyncio.CancelledError if how == "cancelled" else asyncio.TimeoutError
        assert {type(e) for e in await asyncio.gather(*calls, return_exceptions=True)} == {kind}

    async def run() -> None:
        with LocalBoards(3, store_root, PATIENT) as running:
            async with AsyncDispatcher(bundle, running.named, window=window, silence_s=PATIENCE_S) as chain:
                await chain.infer(x)
                before = frames(running.boards[2])
                with frozen(running.boards[0]):
                    async with _unblocked():
                        await give_up(chain)
                    assert _outstanding(chain) == window
                    assert chain._door.n_waiting == 0
                await _until(lambda: _outstanding(chain) == 0)
                # What the first board has read before the cancellations it computes.
                assert frames(running.boards[2]) - before < window
                await chain.infer(x)

    _run(run())


def test_time_out_is_one_for_the_line_and_the_boards(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)

    async def run() -> None:
        with LocalBoards(3, store_root, PATIENT) as running:
            async with AsyncDispatcher(bundle, running.named, window=1, max_waiting=2, silence_s=PATIENCE_S) as chain:
                await chain.infer(x)
                with frozen(running.boards[0]):
                    calls: list[Awaitable[object]] = [asyncio.ensure_future(chain.infer(x, 0.5)) for _ in range(3)]
                    await asyncio.sleep(0.1)  # one in flight, one that a thread is at, one in the line
                    calls.append(asyncio.ensure_future(chain.infer(x, 0.5)))
                    await asyncio.sleep(0)
                    with pytest.raises(OverloadedError, match="2 requests wait"):
                        await chain.infer(x)
                    begun_s = asyncio.get_running_loop().time()
                    errors = await asyncio.gather(*calls, return_exceptions=True)
                    assert asyncio.get_running_loop().time() - begun_s < 2
                    assert [type(error) for error in errors] == [ReplyTimeoutError] * 4
                await chain.infer(x)

    _run(run())


def test_wrong_input_and_a_chain_that_is_not_open_say_so(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)

    async def run() -> None:
        chain = AsyncDispatcher(bundle, boards.named)
        was_ready = [chain.is_ready]
        with pytest.raises(ChainClosedError, match="not open"):
            await chain.infer(x)
        async with chain:
            was_ready.append(chain.is_ready)
            with pytest.raises(InputError, match="no input 'nothing'"):
                await chain.infer({"nothing": np.zeros(1)})
        was_ready.append(chain.is_ready)
        assert was_ready == [False, True, False]
        with pytest.raises(ChainClosedError, match="not open"):
            await chain.infer(x)
        async with chain:  # again
            await chain.infer(x)

    _run(run())


def test_opening_that_is_cancelled_leaves_nothing_open(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    async def run() -> None:
        chain = AsyncDispatcher(zoo_bundle("residual", "int8"), boards.named)
        opening = asyncio.ensure_future(chain.open())
        await asyncio.sleep(0.01)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert not chain.is_ready and chain._line is None

    _run(run())


def test_another_version_is_deployed_while_a_stream_runs(boards: LocalBoards, zoo_bundle: MakeBundle) -> None:
    first, second = zoo_bundle("residual", "int8"), zoo_bundle("residual", "int8", 2)
    x = random_inputs(first, 0)

    async def run() -> None:
        async with AsyncDispatcher(first, boards.named) as chain:
            expected = named(chain, await chain.infer(x))
            async with aclosing(chain.stream(itertools.repeat(x))) as answers:
                await answers.__anext__()
                deploying = asyncio.ensure_future(chain.deploy(second))
                while not deploying.done():
                    assert named(chain, await answers.__anext__()) == expected
                await deploying
                assert named(chain, await answers.__anext__()) == expected
            assert chain.deployment_ids == (second.deployment_id,)

    _run(run())
