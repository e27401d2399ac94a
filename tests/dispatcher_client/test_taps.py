"""Tensors inside the model that come with the answers of real node services."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher, OptionError
from examples.local_boards import LocalBoards
from partitioning import Graph, extract_partition
from partitioning.boundaries import partition_between
from partitioning.taps import with_named_taps
from runtime import Runner, load_runtime
from tests.bundles import make_bundle
from tests.dispatcher_client.whole_model import random_inputs, run_whole, single

# Layers of the zoo's models, whose names its .tflite files keep in the tensors' names: of the first, a middle and the last
# partition, the second one a skip connection.
TAPS = ("max_pooling2d_1", "re_lu_1", "re_lu_2_1", "global_average_pooling2d_1")


def prefix_values(bundle: Bundle, inputs: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Each tap, computed by the whole model's operators up to the one that gives it, in one process; by public name."""
    graph = Graph.from_bytes(bundle.file_path(bundle.manifest.whole).read_bytes())
    values = {}
    for spec in bundle.manifest.taps:
        tapped = with_named_taps(graph, [spec.name])
        stop = tapped.producer[tapped.taps[0]] + 1
        runner = Runner(load_runtime(), extract_partition(tapped, partition_between(tapped, 0, stop)))
        answer = dict(zip((port.name for port in runner.outputs), runner.run([inputs[p.name] for p in runner.inputs])))
        values[spec.alias] = answer[spec.name].tobytes()
    return values


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_taps_of_every_partition_have_the_whole_models_bits_and_change_no_outputs(
    boards: LocalBoards, tmp_path: Path, mode: str
) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", mode, parts=3, taps=TAPS)
    assert [spec.alias for spec in bundle.manifest.taps] == list(TAPS)
    with Dispatcher(bundle, boards.named, taps=TAPS) as chain:
        for seed in range(3):
            inputs = random_inputs(bundle, seed)
            answer = chain.infer(inputs)
            assert isinstance(answer, dict)
            found = {name: array.tobytes() for name, array in answer.items()}
            assert found == {**run_whole(bundle, inputs), **prefix_values(bundle, inputs)}


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
