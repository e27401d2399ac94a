"""What an image costs, from real services: two with an energy counter that this test moves, one without."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
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
WATTS = 40.0
UJ_PER_J = 1e6


class Counter:
    """An energy counter that runs as if something took so many watts."""

    def __init__(self, root: Path) -> None:
        self._file = trees.rapl(root, 0, 10**12) / "energy_uj"
        self._begun_s = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            beside = self._file.with_suffix(".new")
            beside.write_text(f"{int((time.monotonic() - self._begun_s) * WATTS * UJ_PER_J)}\n")
            beside.replace(self._file)  # a file of sysfs is never half written

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def running(store_root: Path, tmp_path: Path) -> Iterator[LocalBoards]:
    """Two boards; the first has a sensor."""
    (tmp_path / "sensors").mkdir()
    counter = Counter(tmp_path / "sensors")
    boards = LocalBoards(2, store_root)
    try:
        sees = ["--threads", "1", "--sensors-root", str(tmp_path / "sensors")]
        boards.boards = [
            LocalBoard("board1", store_root / "board1", sees),
            LocalBoard("board2", store_root / "board2", ["--threads", "1"]),
        ]
        yield boards
    finally:
        for board in boards.boards:
            board.stop()
        counter.stop()


def test_joules_where_there_is_a_sensor_and_cpu_everywhere(
    running: LocalBoards, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    meter = CostMeter(running.named, OPERATOR)
    with Dispatcher(bundle, running.named, check_sample=False) as chain, meter:
        begun_s = time.monotonic()
        for _ in range(FRAMES):
            chain.infer(random_inputs(bundle, 0))
            time.sleep(0.05)
        took_s = time.monotonic() - begun_s
    cost = meter.cost(FRAMES)
    first, second = cost.boards
    # Between asking the boards and the loop there is a little more than the loop.
    assert first.joules_per_image is not None
    assert took_s * WATTS <= first.joules_per_image * FRAMES * 1.1
    assert first.joules_per_image * FRAMES < (took_s + 3) * WATTS
    assert second.joules_per_image is None
    assert cost.joules_per_image is None, "of two boards, one is not known"
    assert 0 < cost.cpu_s_per_image == pytest.approx(first.cpu_s_per_image + second.cpu_s_per_image)
    assert json.dumps(cost.as_json())


def test_whole_model_on_one_board_for_comparison(running: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 2)
    one = measure_one_board(bundle, running.named[0], OPERATOR)
    assert one.why_not == ""
    assert one.images_per_s > 0
    assert one.cpu_s_per_image > 0
    assert one.joules_per_image == pytest.approx(WATTS / one.images_per_s, rel=0.5)
    assert measure_one_board(bundle, running.named[1], OPERATOR).joules_per_image is None
    running.boards[1].stop()
    assert "does not answer" in measure_one_board(bundle, running.named[1], OPERATOR).why_not


def test_watts_are_seen_by_top(running: LocalBoards) -> None:
    async def watch() -> float | None:
        watch = FleetWatch(running.named, OPERATOR, 5.0)
        try:
            before = await watch.look()
            time.sleep(1.0)
            (board, _), _ = view(before, await watch.look())
            return board.power_w
        finally:
            await watch.close()

    assert run_in_loop(watch()) == pytest.approx(WATTS, rel=0.4)
