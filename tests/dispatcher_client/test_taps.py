"""Tensors inside the model that come with the answers of real node services."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import AsyncDispatcher, Dispatcher, OptionError, VersionMisfitError
from dispatcher_client.micro_batches import split_batch
from dispatcher_client.photographs import SeenPhotograph, classify_photographs
from examples.local_boards import LocalBoards
from fleet.inventory import Inventory
from partitioning import Graph, extract_partition
from partitioning.boundaries import partition_between
from partitioning.taps import with_named_taps
from runtime import Runner, load_runtime
from tests.bundles import load_zoo_model, make_bundle
from tests.dispatcher_client.test_batches import inputs_of
from tests.dispatcher_client.test_groups import group_plan
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole, single
from tests.photographs import photograph, photograph_bundle
from tests.shared_segments import share_all

# Layers of the zoo's models, whose names its .tflite files keep in the tensors' names: of the first, a middle and the last
# partition, the second one a skip connection.
TAPS = ("max_pooling2d_1", "re_lu_1", "re_lu_2_1", "global_average_pooling2d_1")


def prefix_values(bundle: Bundle, inputs: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Each tap, computed by the whole model's operators up to the one that gives it, in one process; by public name."""
    return {name: array.tobytes() for name, array in prefix_arrays(bundle, inputs).items()}


def prefix_arrays(bundle: Bundle, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    graph = Graph.from_bytes(bundle.file_path(bundle.manifest.whole).read_bytes())
    values = {}
    for spec in bundle.manifest.taps:
        tapped = with_named_taps(graph, [spec.name])
        stop = tapped.producer[tapped.taps[0]] + 1
        runner = Runner(load_runtime(), extract_partition(tapped, partition_between(tapped, 0, stop)))
        answer = dict(zip((port.name for port in runner.outputs), runner.run([inputs[p.name] for p in runner.inputs])))
        values[spec.alias] = answer[spec.name]
    return values


def expected(bundle: Bundle, inputs: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Outputs and taps of the whole model."""
    return {**run_whole(bundle, inputs), **prefix_values(bundle, inputs)}


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_taps_of_every_partition_have_the_whole_models_bits_and_change_no_outputs(
    boards: LocalBoards, tmp_path: Path, mode: str
) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", mode, parts=3, taps=TAPS)
    assert [spec.alias for spec in bundle.manifest.taps] == list(TAPS)
    with Dispatcher(bundle, boards.named, taps=TAPS) as chain:
        for seed in range(3):
            inputs = random_inputs(bundle, seed)
            assert named(chain, chain.infer(inputs)) == expected(bundle, inputs)


def test_only_the_taps_that_were_asked_for_come_and_without_any_the_answer_is_as_before(
    boards: LocalBoards, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", parts=3, taps=TAPS)
    inputs = random_inputs(bundle, 0)
    with Dispatcher(bundle, boards.named) as chain:
        (whole,) = run_whole(bundle, inputs).values()
        assert single(chain.infer(inputs)).tobytes() == whole
    with Dispatcher(bundle, boards.named, taps=[TAPS[1]]) as chain:
        answer = chain.infer(inputs)
        assert isinstance(answer, dict)
        assert list(answer) == [bundle.manifest.outputs[0].alias, TAPS[1]]


def test_unknown_tap_is_refused_with_a_near_one_before_anything_is_connected(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", parts=2, taps=TAPS)
    with pytest.raises(OptionError, match=r"no tap 're_lu'; its taps: max_pooling2d_1, .* Did you mean 're_lu_1'"):
        Dispatcher(bundle, ["127.0.0.1:1", "127.0.0.1:2"], taps=["re_lu"], insecure=True)


@pytest.mark.parametrize(("name", "mode"), [("residual", "int8"), ("yolo_neck", "float32")])
def test_boundaries_are_taps_of_models_with_one_output_and_with_several(
    boards: LocalBoards, tmp_path: Path, name: str, mode: str
) -> None:
    bundle = make_bundle(tmp_path / "parts", name, mode, parts=3, taps_boundaries=True)
    (splitting,) = bundle.splittings
    taps = [spec.name for spec in bundle.manifest.taps]
    read = {spec.name for partition in splitting.partitions[1:] for spec in partition.inputs}
    outputs = {spec.name for spec in bundle.manifest.outputs}
    assert set(taps) == read - outputs - {spec.name for spec in bundle.manifest.inputs}
    inputs = random_inputs(bundle, 0)
    with Dispatcher(bundle, boards.named, taps=taps) as chain:
        assert named(chain, chain.infer(inputs)) == expected(bundle, inputs)


def test_taps_of_a_batch_are_the_rows_of_each_input(boards: LocalBoards, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "int8", parts=3, batch=4, taps=TAPS[:2])
    singles = inputs_of(bundle, 4)
    whole = {name: np.concatenate([x[name] for x in singles]) for name in singles[0]}
    rows = split_batch(prefix_arrays(bundle, whole), 4)
    with Dispatcher(bundle, boards.named, taps=TAPS[:2], batch_wait_ms=1e6) as chain:
        one_by_one = list(chain.stream(singles))
        together = chain.infer(whole)
    assert isinstance(together, dict)
    for tap in TAPS[:2]:
        np.testing.assert_array_equal(together[tap], prefix_arrays(bundle, whole)[tap])
        for answer, row in zip(one_by_one, rows):
            assert isinstance(answer, dict)
            np.testing.assert_array_equal(answer[tap], row[tap])


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_taps_inside_a_stage_that_boards_share(boards: LocalBoards, tmp_path: Path, mode: str) -> None:
    segments = share_all(load_zoo_model("residual", mode).tapped(TAPS).graph, (1, 1, 1), 5)
    bundle = make_bundle(
        tmp_path / "parts", "residual", mode, cut_lists=[[], []], groups=[{}, {0: segments}], taps=TAPS
    )
    plan = group_plan(bundle, *(board.name for board in boards.boards))
    inputs = random_inputs(bundle, 0)
    with Dispatcher(bundle, boards.named, plan=plan, taps=TAPS) as chain:
        assert named(chain, chain.infer(inputs)) == expected(bundle, inputs)


def test_event_loops_get_taps_in_the_same_words(boards: LocalBoards, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", parts=3, taps=TAPS)
    inputs = random_inputs(bundle, 0)

    async def work() -> None:
        async with AsyncDispatcher(bundle, boards.named, taps=TAPS) as chain:
            assert named(chain, await chain.infer(inputs)) == expected(bundle, inputs)

    asyncio.run(asyncio.wait_for(work(), 60))


def test_taps_stay_when_a_spare_takes_the_place_of_a_board(store_root: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", parts=3, taps=TAPS)
    inputs = [random_inputs(bundle, seed) for seed in range(40)]
    with LocalBoards(4, store_root) as running:
        fleet = Inventory(tuple(running.named), spares=("board4",))

        def source() -> Iterator[dict[str, np.ndarray]]:
            for index, x in enumerate(inputs):
                if index == 20:
                    running.boards[1].process.kill()
                yield x

        with Dispatcher(bundle, fleet, taps=TAPS) as chain:
            answers = [named(chain, answer) for answer in chain.stream(source())]
            assert "board4" in chain.route
    assert answers == [expected(bundle, x) for x in inputs]


def test_another_version_must_have_the_taps_that_are_asked_for(boards: LocalBoards, tmp_path: Path) -> None:
    cuts = [["9"]]
    serving, without, other = (
        make_bundle(tmp_path / str(number), name, mode, cut_lists=cuts, taps=taps)
        for number, (name, mode, taps) in enumerate(
            [("residual", "float32", TAPS), ("residual", "float32", TAPS[1:]), ("residual", "int8", TAPS[:1])]
        )
    )
    inputs = random_inputs(serving, 0)
    with Dispatcher(serving, boards.named, taps=TAPS[:1]) as chain:
        with pytest.raises(OptionError, match=f"no tap '{TAPS[0]}'"):
            chain.deploy(without)
        with pytest.raises(VersionMisfitError, match="tap"):
            chain.deploy(other)
        assert list(named(chain, chain.infer(inputs))) == [serving.manifest.outputs[0].alias, TAPS[0]]
        again = make_bundle(tmp_path / "again", "residual", "float32", cut_lists=[["12"]], taps=TAPS[:2])
        chain.deploy(again)
        assert named(chain, chain.infer(inputs))[TAPS[0]] == prefix_values(again, inputs)[TAPS[0]]


def test_photographs_are_classified_whatever_taps_come_with_them(boards: LocalBoards, tmp_path: Path) -> None:
    bundle = photograph_bundle(tmp_path / "parts", taps=TAPS[:1])
    photograph(1).save(tmp_path / "1.png")
    seen: list[SeenPhotograph] = []
    for taps in ((), TAPS[:1]):
        with Dispatcher(bundle, boards.named, taps=taps) as chain:
            seen += classify_photographs(chain, [tmp_path / "1.png"], 3)
    assert seen[0].classes == seen[1].classes
    assert len(seen[0].classes) == 3
