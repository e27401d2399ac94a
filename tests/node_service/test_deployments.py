"""A load goes on when its client hangs up, and its silence with it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node_service import deployments as deployments_module
from node_service.deployments import Deployments
from node_service.errors import LimitError
from node_service.partition_stage import PartitionStage
from protos.v1.control_plane_pb2 import LoadStageRequest
from runtime import TfliteRuntime


class Loads:
    """Loads that take until `may_go`, and what happened meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.begun, self.may_go = threading.Event(), threading.Event()
        self.is_silent = False
        self.at_once = self.most_at_once = 0
        self._error = error
        monkeypatch.setattr(deployments_module, "require_runtime", lambda runtime, floor: None)
        monkeypatch.setattr(PartitionStage, "load", self._load)
        store: Any = SimpleNamespace(
            intact_partition=lambda sha256: Path("there"),
            save_stage=lambda request: None,
            forget_stage=lambda *key: None,
        )
        self.deployments = Deployments(store, TfliteRuntime("tflite-runtime", "2.14.0", None), 1, self._silent)

    def _load(self, *what: object) -> Any:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.begun.set()
        assert self.may_go.wait(10)
        self.at_once -= 1
        if self._error is not None:
            raise self._error
        return SimpleNamespace(request=None, partition_bytes=0, frames=0, failed_frames=0, close=lambda: None)

    @contextlib.contextmanager
    def _silent(self, seconds: float) -> Iterator[None]:
        self.is_silent = True
        try:
            yield
        finally:
            self.is_silent = False


async def interrupted(loads: Loads) -> asyncio.Task[Any]:
    """A load whose client has hung up in its midst; a second one that waits."""
    first = asyncio.ensure_future(loads.deployments.load(LoadStageRequest(deployment_id="d", stage_index=0)))
    await asyncio.to_thread(loads.begun.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    return asyncio.ensure_future(loads.deployments.load(LoadStageRequest(deployment_id="d", stage_index=1)))


def test_load_goes_on_alone_and_stays_announced_when_its_client_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = Loads(monkeypatch)

    async def check() -> None:
        second = await interrupted(loads)
        await asyncio.sleep(0.05)
        assert loads.is_silent
        assert loads.at_once == 1
        loads.may_go.set()
        await second

    asyncio.run(check())
    assert loads.most_at_once == 1
    assert not loads.is_silent
    assert loads.deployments.get("d", 0)


def test_error_of_a_load_that_nobody_waits_for_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = Loads(monkeypatch, MemoryError())

    async def check() -> None:
        second = await interrupted(loads)
        loads.may_go.set()
        with pytest.raises(MemoryError):
            await second

    asyncio.run(check())


def test_stage_too_many_is_refused_and_those_that_are_loaded_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = Loads(monkeypatch)
    loads.may_go.set()
    loads.deployments._max_stages = 2

    async def check() -> None:
        for index in range(2):
            await loads.deployments.load(LoadStageRequest(deployment_id="d", stage_index=index))
        with pytest.raises(LimitError, match=r"2 stages are loaded here.*--max-stages"):
            await loads.deployments.load(LoadStageRequest(deployment_id="e", stage_index=0))
        await loads.deployments.load(LoadStageRequest(deployment_id="d", stage_index=0, threads=1))
        await loads.deployments.unload("d")
        await loads.deployments.load(LoadStageRequest(deployment_id="e", stage_index=0))

    asyncio.run(check())
