"""The child process: what is told when it crashes, hangs or ends, and that it never stays."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from node_service.errors import MeasurementError
from node_service.worker_process import WorkerProcess

# Answers with its own id; a request may ask it to do something first.
CHILD = """
import json, os, sys, time
for line in sys.stdin:
    exec(json.loads(line).get("do", ""))
    print(json.dumps({"pid": os.getpid()}), flush=True)
"""
TIMEOUT_S = 20.0


def with_worker(test: Callable[[WorkerProcess], Awaitable[None]], idle_s: float = 1000) -> None:
    async def run() -> None:
        worker = WorkerProcess([sys.executable, "-c", CHILD], idle_s=idle_s)
        try:
            await test(worker)
        finally:
            await worker.close()

    asyncio.run(run())


def ask(worker: WorkerProcess, do: str = "", timeout_s: float = TIMEOUT_S) -> Awaitable[dict[str, Any]]:
    return worker.ask({"do": do}, timeout_s)


async def ended(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():
        await asyncio.sleep(0.01)


def test_child_is_started_once_and_ended() -> None:
    async def test(worker: WorkerProcess) -> None:
        first, second = await ask(worker), await ask(worker)
        assert first == second
        was_running = worker.is_running
        await worker.close()
        assert (was_running, worker.is_running) == (True, False)
        await asyncio.wait_for(ended(first["pid"]), TIMEOUT_S)
        assert (await ask(worker))["pid"] != first["pid"]

    with_worker(test)


def test_child_is_ended_when_idle() -> None:
    async def test(worker: WorkerProcess) -> None:
        first = await ask(worker)
        await asyncio.wait_for(ended(first["pid"]), TIMEOUT_S)
        assert not worker.is_running
        assert (await ask(worker))["pid"] != first["pid"]

    with_worker(test, idle_s=0.05)


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (f"os.kill(os.getpid(), {int(signal.SIGSEGV)})", "crashed with SIGSEGV on this partition"),
        (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", "most likely for lack of memory"),
        (f"os.kill(os.getpid(), {int(signal.SIGRTMIN) + 3})", f"crashed with signal {int(signal.SIGRTMIN) + 3}"),
        ("sys.exit(3)", "exit status 3"),
    ],
)
def test_end_of_the_child_is_told_and_the_next_request_served(do: str, words: str) -> None:
    async def test(worker: WorkerProcess) -> None:
        with pytest.raises(MeasurementError, match=words):
            await ask(worker, do)
        assert "pid" in await ask(worker)

    with_worker(test)


def test_child_that_has_ended_meanwhile_is_started_again() -> None:
    async def test(worker: WorkerProcess) -> None:
        first = await ask(worker)
        os.kill(first["pid"], signal.SIGKILL)
        while worker.is_running:
            await asyncio.sleep(0.01)
        assert (await ask(worker))["pid"] != first["pid"]

    with_worker(test)


def test_child_is_killed_when_it_takes_too_long() -> None:
    async def test(worker: WorkerProcess) -> None:
        first = await ask(worker)
        with pytest.raises(MeasurementError, match=r"longer than 0\.2 s"):
            await ask(worker, "time.sleep(1000)", 0.2)
        assert not worker.is_running
        await asyncio.wait_for(ended(first["pid"]), TIMEOUT_S)

    with_worker(test)


def test_child_is_killed_when_the_caller_gives_up() -> None:
    async def test(worker: WorkerProcess) -> None:
        first = await ask(worker)
        asking = asyncio.ensure_future(ask(worker, "time.sleep(1000)"))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(ended(first["pid"]), TIMEOUT_S)

    with_worker(test)
