"""Models that seven boards share, evenly and unevenly, and each has nothing to do in some segments: the whole model's bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.plan import Plan, PlannedChain, PlannedStage
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from tests.bundles import load_zoo_model, make_bundle
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.shared_segments import share_all

_SHARES = (4.0, 2.0, 1.0, 0.0, 3.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBoards]:
    with LocalBoards(7, tmp_path_factory.mktemp("seven")) as boards:
        yield boards


@pytest.mark.parametrize("mode", ["float32", "int8"])
@pytest.mark.parametrize("name", ["inverted_residual", "squeeze_excite", "unet", "yolo_neck"])
def test_seven_boards_give_the_whole_models_bytes(boards: LocalBoards, tmp_path: Path, name: str, mode: str) -> None:
    even = share_all(load_zoo_model(name, mode).graph, (1.0,) * 7, 4)
    uneven = [
        segment if segment.axis is None else replace(segment, shares=(*_SHARES[index % 7 :], *_SHARES[: index % 7]))
        for index, segment in enumerate(even)
    ]
    names = [board.name for board in boards.boards]
    for index, segments in enumerate([even, uneven]):
        bundle = make_bundle(tmp_path / str(index), name, mode, groups=[{0: segments}])
        plan = Plan(
            bundle.manifest.model_name, "latency", (PlannedChain((PlannedStage(names[0], None, tuple(names[1:])),)),)
        )
        inputs = [random_inputs(bundle, seed) for seed in range(2)]
        with Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as chain:
            assert [named(chain, answer) for answer in chain.stream(inputs)] == [run_whole(bundle, x) for x in inputs]
