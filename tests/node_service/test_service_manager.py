"""What systemd is told, by a real service, on a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_boards import local_fleet
from node_service.errors import StalledError
from node_service.service_manager import ServiceManager

TIMEOUT_S = 60.0


class Listener:
    """The other end."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(TIMEOUT_S)

    def hear(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def hears_nothing(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(TIMEOUT_S)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(str(tmp_path / "notify"))
    yield made
    made.close()


def test_service_says_when_it_serves_lives_and_stops(listener: Listener, tmp_path: Path) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    command = [sys.executable, "-m", "node_service", "--listen", "127.0.0.1:0", "--store", str(tmp_path / "store")]
    more = ["--name", "board1", "--credentials", str(local_fleet().board("board1"))]
    service = subprocess.Popen([*command, *more], env=environment, stderr=subprocess.DEVNULL)
    try:
        told = listener.hear()
        assert told["READY"] == "1"
        assert told["STATUS"].startswith("board1 serves on 127.0.0.1:")
        for _ in range(3):
            assert listener.hear() == {"WATCHDOG": "1"}
        service.terminate()
        while (told := listener.hear()) == {"WATCHDOG": "1"}:
            pass
        assert told["STOPPING"] == "1"
        assert service.wait(TIMEOUT_S) == 0
    finally:
        service.kill()
        service.wait()


def test_beats_stop_while_a_stage_stands_still(listener: Listener, tmp_path: Path) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"})
    stalled: list[StalledError] = []

    async def run() -> None:
        beating = asyncio.ensure_future(manager.beat(lambda: stalled[0] if stalled else None))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(listener.hear) == {"WATCHDOG": "1"}
        stalled.append(StalledError("stage 0 stands still."))
        await asyncio.sleep(0.1)
        while not await asyncio.to_thread(listener.hears_nothing, 0.2):  # what was told before
            pass
        stalled.clear()
        assert await asyncio.to_thread(listener.hear) == {"WATCHDOG": "1"}
        beating.cancel()

    asyncio.run(run())


def test_abstract_names_and_other_processes(listener: Listener) -> None:
    name = f"boardline-test-{os.getpid()}"
    abstract = Listener(f"\0{name}")
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready("well")
    assert abstract.hear() == {"READY": "1", "STATUS": "well"}
    abstract.close()
    of_another = ServiceManager({"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    asyncio.run(asyncio.wait_for(of_another.beat(lambda: None), 1))  # returns at once


def test_nobody_is_told_without_a_manager(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}).ready("well")
    assert caplog.text == ""
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready("well")
    assert "cannot be told READY=1" in caplog.text
