"""What an image costs, from real services: two with an energy counter that this test moves, one without."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.bench_cost import CostMeter, measure_one_board
from dispatcher_client.fleet_view import FleetWatch, view
from examples.local_boards import LocalBoard, LocalBoards
from fleet.event_loop import run_in_loop
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import random_inputs
from tests.node_service.power import trees

FRAMES = 10
WATTS, JOULES = 40.0, 2.5
UJ_PER_J = 1e6
WATCHED_S = 20.0


class Counter:
    """A counter of energy, as a board's file shows it."""

    def __init__(self, root: Path) -> None:
        self._file = trees.rapl(root, 0, 10**12) / "energy_uj"
        self._joules = 0.0

    def take(self, joules: float) -> None:
        """Something takes so much."""
        self._joules += joules
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{int(self._joules * UJ_PER_J)}\n")
        beside.replace(self._file)  # a file of sysfs is never half written


class RunningCounter(Counter):
    """As if something took so many watts."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        last_s = time.monotonic()
        while not self._over.wait(0.02):
            now_s = time.monotonic()
            self.take((now_s - last_s) * WATTS)
            last_s = now_s

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    (tmp_path / "sensors").mkdir()
    return tmp_path / "sensors"


@pytest.fixture
def counter(sensors: Path) -> Counter:
    return Counter(sensors)


@pytest.fixture
def running_counter(sensors: Path) -> Iterator[RunningCounter]:
    made = RunningCounter(sensors)
    yield made
    made.stop()


@pytest.fixture
def running(store_root: Path, sensors: Path) -> Iterator[LocalBoards]:
    """Two boards; the first has the sensors, which must be there before."""
    boards = LocalBoards(2, store_root)
    try:
        for name, more in (("board1", ["--sensors-root", str(sensors)]), ("board2", [])):
            boards.boards.append(LocalBoard(name, store_root / name, ["--threads", "1", *more]))
        yield boards
    finally:
        for board in boards.boards:
            board.stop()


def test_joules_where_there_is_a_sensor_and_cpu_everywhere(
    counter: Counter, running: LocalBoards, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    meter = CostMeter(running.named, OPERATOR)
    with Dispatcher(bundle, running.named, check_sample=False) as chain:
        counter.take(1000.0)  # before the images that count
        with meter:
            for _ in range(FRAMES):
                chain.infer(random_inputs(bundle, 0))
                counter.take(JOULES)
        counter.take(1000.0)
    cost = meter.cost(FRAMES)
    first, second = cost.boards
    assert first.joules_per_image == pytest.approx(JOULES)
    assert second.joules_per_image is None
    assert cost.joules_per_image is None, "of two boards, one is not known"
    assert 0 < cost.cpu_s_per_image == pytest.approx(first.cpu_s_per_image + second.cpu_s_per_image)
    assert json.dumps(cost.as_json())


def test_whole_model_on_one_board_for_comparison(
    running_counter: RunningCounter, running: LocalBoards, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    one = measure_one_board(bundle, running.named[0], OPERATOR)
    assert one.why_not == ""
    assert one.images_per_s > 0
    assert one.cpu_s_per_image > 0
    assert one.joules_per_image == pytest.approx(WATTS / one.images_per_s, rel=0.5)
    assert measure_one_board(bundle, running.named[1], OPERATOR).joules_per_image is None
    as_listed = replace(running.named[0], delegate="npu")
    assert "no delegate 'npu'" in measure_one_board(bundle, as_listed, OPERATOR).why_not
    running.boards[1].stop()
    assert "does not answer" in measure_one_board(bundle, running.named[1], OPERATOR).why_not


def test_watts_are_seen_by_top(running_counter: RunningCounter, running: LocalBoards) -> None:
    async def watched_watts() -> float | None:
        """Over so long that it matters little when the service, and the thread that counts, had a core."""
        watch = FleetWatch(running.named, OPERATOR, 5.0)
        watts = None
        try:
            before, began_s = await watch.look(), time.monotonic()
            while watts != pytest.approx(WATTS, rel=0.2) and time.monotonic() < began_s + WATCHED_S:
                await asyncio.sleep(0.1)
                (board, _), _ = view(before, await watch.look())
                watts = board.power_w
            return watts
        finally:
            await watch.close()

    assert run_in_loop(watched_watts()) == pytest.approx(WATTS, rel=0.2)
