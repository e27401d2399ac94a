"""Work on several boards at once: results in order, and none runs on once one has failed or the caller is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from fleet.together import together


class Worker:
    """Waits until it is told to go on, and notes how it ended."""

    def __init__(self, result: int) -> None:
        self.go = asyncio.Event()
        self.result = result
        self.ended = "not yet"

    async def work(self) -> int:
        try:
            await self.go.wait()
            if self.result < 0:
                raise LookupError(str(self.result))
            self.ended = "done"
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # tidying up takes a while
            self.ended = "cancelled"
            raise
        return self.result


def test_results_come_in_order_whoever_is_first() -> None:
    async def run() -> list[int]:
        workers = [Worker(n) for n in (1, 2, 3)]
        for worker in reversed(workers):
            asyncio.get_running_loop().call_soon(worker.go.set)
        return await together(w.work() for w in workers)

    assert asyncio.run(run()) == [1, 2, 3]


def test_nothing_to_do_gives_nothing() -> None:
    assert asyncio.run(together([])) == []


def test_others_have_tidied_up_when_one_fails() -> None:
    async def run() -> list[str]:
        workers = [Worker(1), Worker(-2), Worker(3)]
        workers[0].go.set()
        workers[1].go.set()
        with pytest.raises(LookupError, match="-2"):
            await together(w.work() for w in workers)
        return [w.ended for w in workers]

    assert asyncio.run(run()) == ["done", "not yet", "cancelled"]


def test_all_have_tidied_up_when_the_caller_is_cancelled() -> None:
    async def run() -> list[str]:
        workers = [Worker(1), Worker(2)]
        task = asyncio.ensure_future(together(w.work() for w in workers))
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        return [w.ended for w in workers]

    # A worker that had not begun has nothing to tidy up.
    assert set(asyncio.run(run())) <= {"cancelled", "not yet"}


def test_slow_tidying_up_is_not_cut_short_by_those_that_are_done() -> None:
    ended = []

    async def work(tidying_s: float) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(tidying_s)
            ended.append(tidying_s)
            raise

    async def run() -> None:
        task = asyncio.ensure_future(together(work(s) for s in (0.0, 0.02, 0.05)))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(run())
    assert ended == [0.0, 0.02, 0.05]
