"""Chains of real node services against whole models: what is said to differ is what differs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from bundle.partition_message import tensor_spec
from dispatcher_client import Dispatcher, InputError
from dispatcher_client.comparison.compare import ComparedChain, _Tally, compare_chains
from dispatcher_client.comparison.pairs import TensorPair, pair_tensors
from dispatcher_client.comparison.whole_model import WholeModel
from dispatcher_client.errors import ComparisonError
from dispatcher_client.micro_batches import single_specs
from examples.local_boards import LocalBoards
from partitioning import Graph
from partitioning.tflite_schema import read_model, write_model
from planner.sources import model_of_bundle, open_model
from protos.v1.tensor_pb2 import DType, TensorSpec
from runtime import Runner, load_runtime
from tests.bundles import make_bundle, zoo_file
from tests.dispatcher_client.test_taps import prefix_arrays
from transport.tensor_spec import Array, dequantize, quantize


def real_inputs(bundle: Bundle, count: int) -> list[dict[str, Array]]:
    generator = np.random.default_rng(7)
    specs = single_specs(bundle.manifest.inputs, bundle.batch)
    return [{s.name: generator.random(tuple(s.shape), np.float32) for s in specs} for _ in range(count)]


def compare(
    boards: LocalBoards, bundle: Bundle, against: Path, codecs: Sequence[str], inputs: Sequence[Mapping[str, Array]]
) -> dict[str, ComparedChain]:
    graph = open_model(against).graph
    pairs = [p for p in pair_tensors(bundle.manifest, model_of_bundle(bundle).graph, graph) if not p.reason]
    indices = [pair.tensor_index for pair in pairs if pair.tensor_index is not None]
    whole = WholeModel(graph, indices, single_specs(bundle.manifest.inputs, bundle.batch), load_runtime())
    taps = [pair.name for pair in pairs if not pair.is_output]
    chains = {codec: Dispatcher(bundle, boards.named, taps=taps, codec=codec) for codec in codecs}
    try:
        for chain in chains.values():
            chain.open()
        found = compare_chains(chains, whole, pairs, lambda: inputs)
    finally:
        for chain in chains.values():
            chain.close()
    return {chain.codec: chain for chain in found}


def test_int8_chain_differs_from_the_float_model_as_its_whole_int8_model_does(
    boards: LocalBoards, tmp_path: Path
) -> None:
    bundle = make_bundle(
        tmp_path / "parts", "residual", "int8", parts=3, taps=["re_lu_1", "re_lu_2_1"], taps_boundaries=True
    )
    inputs = real_inputs(bundle, 12)
    float_file = zoo_file("residual", "float32")
    (found,) = compare(boards, bundle, float_file, ["auto"], inputs).values()
    assert found.inputs == 12
    assert len(found.tensors) == len(bundle.manifest.taps) + 1
    tensors = {tensor.pair.name: tensor for tensor in found.tensors}
    float_bundle = make_bundle(tmp_path / "float", "residual", "float32", cut_lists=[[]], taps=["re_lu_1"])
    (spec,) = bundle.manifest.inputs
    (tap,) = (tap for tap in bundle.manifest.taps if tap.alias == "re_lu_1")
    exact, ours = [], []
    for values in inputs:
        exact.append(prefix_arrays(float_bundle, values)["re_lu_1"])
        ours.append(dequantize(tap, prefix_arrays(bundle, {spec.name: quantize(spec, values[spec.name])})["re_lu_1"]))
    d = np.stack(ours).astype(np.float64) - np.stack(exact)
    figures = tensors["re_lu_1"].difference
    assert figures.largest == pytest.approx(np.abs(d).max())
    assert figures.mean == pytest.approx(np.abs(d).mean())
    assert figures.rmse == pytest.approx(np.sqrt((d**2).mean()))
    assert 10 < figures.sqnr_db < 60

    (output,) = found.outputs
    scores = [Runner(load_runtime(), float_file).run([values[spec.name]])[0] for values in inputs]
    (out,) = bundle.manifest.outputs
    whole = Runner(load_runtime(), bundle.file_path(bundle.manifest.whole))
    found_scores = [dequantize(out, whole.run([quantize(spec, values[spec.name])])[0]) for values in inputs]
    assert output.largest_by_input == pytest.approx([np.abs(a - b).max() for a, b in zip(scores, found_scores)])
    changed = [i for i, (a, b) in enumerate(zip(scores, found_scores)) if a.argmax() != b.argmax()]
    assert output.agreement is not None
    assert list(output.agreement.changed) == changed


def test_lossless_chain_is_exact_and_a_wider_tolerance_costs_more(boards: LocalBoards, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", parts=3, taps_boundaries=True)
    codecs = ["raw", "zfp:1e-4", "zfp:1e-2", "zfp:1e-1", "q8"]
    found = compare(boards, bundle, bundle.path, codecs, real_inputs(bundle, 6))
    assert list(found) == codecs
    assert all(tensor.difference.is_exact for tensor in found["raw"].tensors)
    zfp = [found[codec] for codec in codecs[1:4]]
    for rows in zip(*(chain.tensors for chain in zfp)):
        sqnr = [tensor.difference.sqnr_db for tensor in rows]
        assert sqnr == sorted(sqnr, reverse=True)
        assert math.inf not in sqnr
    assert all(0.9 < tensor.difference.cosine < 1 for tensor in found["q8"].tensors)


@pytest.mark.parametrize("against", ["float32", "itself"])
def test_batched_chain_is_compared_input_by_input(boards: LocalBoards, tmp_path: Path, against: str) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", parts=3, batch=4, taps_boundaries=True)
    source = bundle.path if against == "itself" else zoo_file("residual", against)
    (found,) = compare(boards, bundle, source, ["raw"], real_inputs(bundle, 6)).values()
    assert found.inputs == 6
    # A model of another batch may add up in another order.
    assert all(tensor.difference.largest < 1e-5 and tensor.difference.cosine > 0.99999 for tensor in found.tensors)


def test_models_of_several_inputs_and_outputs(boards: LocalBoards, tmp_path: Path) -> None:
    for name in ("two_inputs", "yolo_neck"):
        bundle = make_bundle(tmp_path / name, name, "int8", parts=2, taps_boundaries=True)
        (found,) = compare(boards, bundle, zoo_file(name, "float32"), ["auto"], real_inputs(bundle, 3)).values()
        assert [tensor.pair.name for tensor in found.outputs] == [spec.alias for spec in bundle.manifest.outputs]
        assert all(tensor.difference.cosine > 0.9 for tensor in found.tensors)


def test_integers_of_a_quantised_input_are_compared_as_the_real_numbers_that_they_stand_for(
    boards: LocalBoards, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "int8", parts=2, taps_boundaries=True)
    (spec,) = bundle.manifest.inputs
    inputs = [{spec.name: quantize(spec, values[spec.name])} for values in real_inputs(bundle, 3)]
    real = [{spec.name: dequantize(spec, values[spec.name])} for values in inputs]
    against = zoo_file("residual", "float32")
    assert compare(boards, bundle, against, ["raw"], inputs) == compare(boards, bundle, against, ["raw"], real)


def test_model_that_takes_other_inputs_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", cut_lists=[[]])
    graph = open_model(zoo_file("unet", "float32")).graph
    whole = WholeModel(graph, graph.outputs, bundle.manifest.inputs, load_runtime())
    with pytest.raises(InputError, match=r"does not take what the chain takes: image has shape \[1, 24, 24, 3\]"):
        whole.run(real_inputs(bundle, 1)[0])


def test_input_that_the_whole_model_cannot_compute_is_refused(tmp_path: Path) -> None:
    """A model that says it takes images of any size, and has a dense layer for one size."""
    model = read_model(zoo_file("chain", "float32").read_bytes())
    main = model.subgraphs[0]
    main.tensors[main.inputs[0]].shapeSignature = np.array([1, -1, -1, 3], np.int32)
    graph = Graph.from_bytes(write_model(model))
    inputs = [tensor_spec(graph, t) for t in graph.inputs]
    whole = WholeModel(graph, graph.outputs, inputs, load_runtime())
    assert list(whole.run({inputs[0].name: np.zeros((1, 24, 24, 3), np.float32)})) == list(graph.outputs)
    with pytest.raises(ComparisonError, match="cannot compute the input: the runtime refused the frame"):
        whole.run({inputs[0].name: np.zeros((1, 40, 40, 3), np.float32)})


def test_tensors_of_different_shapes_are_not_compared_element_by_element() -> None:
    tally = _Tally(TensorPair(TensorSpec(name="boxes", shape=[-1, 4], dtype=DType.FLOAT32), True, 0))
    tally.note(np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32))
    with pytest.raises(
        InputError, match=r"of input 1, boxes has shape \[3, 4\] in the chain and \[2, 4\] in the whole"
    ):
        tally.note(np.zeros((2, 4), np.float32), np.zeros((3, 4), np.float32))
