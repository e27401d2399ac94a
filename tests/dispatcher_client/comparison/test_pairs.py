"""Which tensors are compared: the same ones, or none and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client.comparison.differences import DifferenceTally
from dispatcher_client.comparison.pairs import TensorPair, pair_tensors
from dispatcher_client.comparison.whole_model import WholeModel
from partitioning import Graph
from planner.sources import model_of_bundle, open_model
from runtime import load_runtime
from tests.bundles import load_zoo_model, make_bundle, zoo_file
from tests.zoo import catalogue

# Loops are named anew when they are quantised.
_RENAMED = ("gru", "gru_unrolled")
# Its int8 file is far from its float file from the first LSTM on, as `compare` shows.
_FAR = ("lstm",)


def all_taps(name: str, mode: str) -> list[str]:
    graph = load_zoo_model(name, mode).graph
    return [
        graph.tensors[t].name for t in graph.producer if t not in graph.outputs and graph.tensors[t].dtype is not None
    ]


def tap_everything(out: Path, name: str, mode: str) -> Bundle:
    return make_bundle(out, name, mode, cut_lists=[[]], taps=all_taps(name, mode))


def pairs_of(bundle: Bundle, whole: Graph) -> list[TensorPair]:
    return pair_tensors(bundle.manifest, model_of_bundle(bundle).graph, whole)


def values_of(bundle: Bundle, graph: Graph, indices: list[int], x: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
    return WholeModel(graph, indices, bundle.manifest.inputs, load_runtime()).run(x)


@pytest.mark.parametrize("name", [name for name in catalogue.NAMES if name not in _RENAMED + _FAR])
def test_tensors_of_an_int8_model_are_paired_with_those_of_the_float_model_that_hold_the_same(
    tmp_path: Path, name: str
) -> None:
    bundle = tap_everything(tmp_path / "parts", name, "int8")
    own, whole = model_of_bundle(bundle).graph, open_model(zoo_file(name, "float32")).graph
    pairs = pairs_of(bundle, whole)
    compared = [pair for pair in pairs if pair.tensor_index is not None]
    assert len(compared) >= 0.9 * len(pairs)
    assert all(pair.reason for pair in pairs if pair.tensor_index is None)
    assert [pair.is_output for pair in pairs[-len(bundle.manifest.outputs) :]] == [True] * len(bundle.manifest.outputs)
    x = bundle.load_sample()[0]
    here = {own.tensors[t].name: t for t in (*own.producer, *own.inputs)}
    found = values_of(bundle, own, [here[pair.spec.name] for pair in compared], x)
    exact = values_of(bundle, whole, [pair.tensor_index for pair in compared if pair.tensor_index is not None], x)
    for pair in compared:
        assert pair.tensor_index is not None
        tally = DifferenceTally()
        tally.note(exact[pair.tensor_index], found[here[pair.spec.name]])
        assert tally.result().cosine > 0.9, pair.name


@pytest.mark.parametrize("name", _RENAMED)
def test_loops_that_were_named_anew_are_not_compared_and_what_is_around_them_is(tmp_path: Path, name: str) -> None:
    bundle = tap_everything(tmp_path / "parts", name, "int8")
    graph = model_of_bundle(bundle).graph
    kinds = {graph.tensors[t].name: graph.operators[op].kind for t, op in graph.producer.items()}
    skipped = [pair for pair in pairs_of(bundle, open_model(zoo_file(name, "float32")).graph) if pair.reason]
    assert {kinds[pair.spec.name] for pair in skipped} <= {"WHILE", "SPLIT", "UNPACK", "QUANTIZE", "DEQUANTIZE"}
    assert all("no tensor" in pair.reason for pair in skipped)


def test_rescaled_tensors_stand_for_what_was_rescaled(tmp_path: Path) -> None:
    bundle = tap_everything(tmp_path / "parts", "yolo_neck", "int8")
    whole = open_model(zoo_file("yolo_neck", "float32")).graph
    rescaled, origin = (f"functional_1/activation_5_1/LeakyRelu{suffix}" for suffix in ("1", ""))
    found = {pair.name: pair.tensor_index for pair in pairs_of(bundle, whole)}
    assert found[rescaled] == found[origin] is not None


def test_what_has_another_name_is_not_compared_unless_a_layers_name_says_what_it_is(tmp_path: Path) -> None:
    tensor = "functional_1/conv2d_transpose_1/conv_transpose11"
    whole = open_model(zoo_file("unet", "float32")).graph
    (tap, _) = pairs_of(make_bundle(tmp_path / "tensor", "unet", "int8", cut_lists=[[]], taps=[tensor]), whole)
    assert tap.tensor_index is None
    assert "the whole model has no tensor 'functional_1/conv2d_transpose_1/conv_transpose11'" in tap.reason
    layer = "conv2d_transpose_1"
    (tap, _) = pairs_of(make_bundle(tmp_path / "layer", "unet", "int8", cut_lists=[[]], taps=[layer]), whole)
    assert tap.tensor_index is not None
    assert whole.tensors[tap.tensor_index].name == "functional_1/conv2d_transpose_1/conv_transpose1"


def test_another_model_has_nothing_that_is_the_same(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", cut_lists=[[]], taps=["re_lu_1", "activation_1"])
    chain, neck = (open_model(zoo_file(name, "float32")).graph for name in ("chain", "yolo_neck"))
    reasons = [pair.reason for pair in pairs_of(bundle, neck)]
    assert all(reasons)
    assert "outputs are" in reasons[-1]
    for pair in pairs_of(bundle, chain)[:-1]:
        assert pair.tensor_index is None or chain.tensors[pair.tensor_index].name == pair.spec.name


def test_outputs_are_paired_by_their_signatures_names(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "yolo_neck", "int8", cut_lists=[[]])
    whole = open_model(zoo_file("yolo_neck", "float32")).graph
    pairs = pairs_of(bundle, whole)
    assert {pair.name: whole.aliases[pair.tensor_index] for pair in pairs if pair.tensor_index is not None} == {
        name: name for name in ("coarse", "middle", "fine")
    }
