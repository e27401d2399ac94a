"""The shared loop: results and errors come back, and an interrupted caller's work tidies up before the process goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from fleet import event_loop
from fleet.errors import CallbackError
from fleet.event_loop import require_other_thread, run_in_loop

INTERRUPTED = """
import asyncio, os, signal
from fleet import event_loop
from fleet.event_loop import run_in_loop

async def work():
    try:
        asyncio.get_running_loop().call_later({after_s}, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep({tidying_s})
        print("tidied", flush=True)

event_loop._TIDYING_TIMEOUT_S = 0.5
try:
    run_in_loop(work())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def run_script(**values: float) -> str:
    command = [sys.executable, "-c", INTERRUPTED.format(**values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout


def test_result_and_error_come_back() -> None:
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise LookupError("not here")

    assert run_in_loop(answer()) == 42
    with pytest.raises(LookupError, match="not here"):
        run_in_loop(fail())


def test_work_that_is_interrupted_tidies_up_first() -> None:
    assert run_script(after_s=0.1, tidying_s=0.2) == "tidied\ninterrupted\n"


def test_work_that_does_not_end_is_not_waited_for_for_ever() -> None:
    assert run_script(after_s=0.1, tidying_s=60) == "interrupted\n"


def test_loops_own_thread_is_told_that_it_would_wait_for_itself() -> None:
    async def from_within() -> None:
        require_other_thread("infer()")

    require_other_thread("infer()")
    with pytest.raises(CallbackError, match=r"infer\(\) was called from a callback"):
        run_in_loop(from_within())


def test_all_callers_share_one_loop() -> None:
    async def own_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert run_in_loop(own_loop()) is run_in_loop(own_loop()) is event_loop.shared_loop()
