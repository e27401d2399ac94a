"""A child process that answers JSON lines, started when needed, ended when idle, killed when it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node_service.errors import MeasurementError, NodeServiceError

PROFILING_WORKER = (sys.executable, "-m", "node_service.profiling_worker")
TRIAL_WORKER = (sys.executable, "-m", "node_service.trial_worker")
# Long enough for the next partition of a model to arrive, short enough that its memory is soon free again.
_IDLE_S = 30.0
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent
_CRASH_ADVICE = "The model is malformed or hits a defect of the runtime; the board's log has what the runtime said."


class WorkerProcess:
    """At most one child at a time. For one caller at a time."""

    def __init__(
        self,
        command: Sequence[str] = PROFILING_WORKER,
        *,
        idle_s: float = _IDLE_S,
        work: str = "measurement",
        error: type[NodeServiceError] = MeasurementError,
    ) -> None:
        """Args: work: what the child does, for messages. error: what is raised when it does not."""
        self._work = work
        self._error = error
        self._command = command
        self._idle_s = idle_s
        self._process: Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a child."""
        return self._process is not None and self._process.returncode is None

    async def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The child's answer. The child is killed when this is left by an error or by cancellation.

        Raises: MeasurementError, or what else was chosen: it crashed, ended, or took longer than `timeout_s`.
        """
        self._stay()
        try:
            line = await asyncio.wait_for(self._exchange(json.dumps(request)), timeout_s)
            answer: dict[str, Any] = json.loads(line)
        except asyncio.TimeoutError:
            raise self._error(
                f"the {self._work} took longer than {timeout_s:g} s and was ended. Ask for less time or a smaller partition."
            ) from None
        else:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)
            return answer
        finally:
            if self._idle is None:
                await self.close()

    async def close(self) -> None:
        """Kills the child, if there is one."""
        self._stay()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _exchange(self, line: str) -> bytes:
        if not self.is_running:
            self._process = await self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it has ended; its status says how
            process.stdin.write(f"{line}\n".encode())
            await process.stdin.drain()
        answer = await process.stdout.readline()
        if not answer.endswith(b"\n"):
            raise self._error(self._ending(await process.wait()))
        return answer

    async def _start(self) -> Process:
        paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,  # its end tells the child that we are gone
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C reaches us only, and we end the child
        )

    def _ending(self, status: int) -> str:
        if status == -signal.SIGKILL:
            return f"the {self._work} was killed (SIGKILL), most likely for lack of memory. Free some, or cut smaller."
        if status == -signal.SIGXCPU:
            return f"the {self._work} took more processor time than it may and was ended (SIGXCPU). {_CRASH_ADVICE}"
        if status < 0:
            return f"the runtime crashed with {_signal_name(-status)} on this partition. {_CRASH_ADVICE}"
        return f"the {self._work} ended unexpectedly (exit status {status}); the board's log has the traceback."

    def _stay(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _let_go(self) -> None:
        self._idle = None
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
