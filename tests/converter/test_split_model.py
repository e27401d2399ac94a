"""Splitting a converted model: what the manifest says, and that nothing is named finished unless the bits agree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle import Bundle, BundleWriter, Plan, PlannedChain, PlannedStage
from bundle.plan_file import render_plan
from converter.convert import ConvertedModel
from converter.layer_names import KerasLayer
from converter.split_model import LoadedModel, SplitRequest, split_model
from converter.splitting_writer import VerificationError
from partitioning import CutError, Graph, InfeasibleSplitError, ModelFormatError
from protos.v1.manifest_pb2 import RuntimeIdentity
from protos.v1.tensor_pb2 import DType
from runtime import TfliteRuntime, load_runtime
from tests import zoo
from tests.bundles import ignore_progress, load_zoo_model, make_bundle, zoo_file
from tests.converter.changed_weights import with_one_byte_changed
from tests.partitioning.graph_builder import ModelBuilder

RUNTIME = load_runtime()


def split(
    out: Path,
    name: str,
    mode: str,
    *,
    parts: int | None = None,
    cut_names: Sequence[str] = (),
    runtime: TfliteRuntime = RUNTIME,
    **changes: Any,
) -> Bundle:
    request = SplitRequest(zoo_file(name, mode), "tflite", "as-is", parts, [cut_names])
    with BundleWriter(out) as writer:
        return split_model(
            load_zoo_model(name, mode), replace(request, **changes), writer, runtime, None, ignore_progress
        )


def op_ranges(bundle: Bundle) -> list[tuple[int, int]]:
    return [(p.start_op, p.stop_op) for p in bundle.splittings[0].partitions]


@pytest.mark.parametrize("parts", [1, 2, 5, 15])
def test_model_is_split_into_as_many_parts_as_asked_for(tmp_path: Path, parts: int) -> None:
    ranges = op_ranges(make_bundle(tmp_path / "out", "chain", "int8", parts=parts))
    assert len(ranges) == parts
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 15
    assert all(start < stop for start, stop in ranges)
    assert all(left[1] == right[0] for left, right in zip(ranges, ranges[1:]))


def test_every_list_of_cuts_is_a_splitting_and_equal_partitions_share_a_file(tmp_path: Path) -> None:
    heard: list[tuple[str, float | None]] = []
    request = SplitRequest(zoo_file("chain", "int8"), "tflite", "as-is", None, [("3", "9"), ("9",), ()])
    model = load_zoo_model("chain", "int8")
    with BundleWriter(tmp_path / "out") as writer:
        bundle = split_model(model, request, writer, RUNTIME, None, lambda what, share: heard.append((what, share)))
    assert [s.cut_indices for s in bundle.splittings] == [(3, 9), (9,), ()]
    first, second, whole = (splitting.partitions for splitting in bundle.splittings)
    assert first[-1].file.sha256 == second[-1].file.sha256
    assert [(p.start_op, p.stop_op) for p in whole] == [(0, 15)]
    assert len(list((tmp_path / "out" / "partitions").iterdir())) == 5
    assert heard[-1] == ("writing and checking partition 6 of 6", 5 / 6)
    assert bundle.plan() is None


def test_plan_that_the_splittings_are_for_is_kept(tmp_path: Path) -> None:
    stages = (PlannedStage("pi1", 6), PlannedStage("pi2"))
    plan = Plan("residual-int8", "throughput", (PlannedChain(stages),))
    bundle = split(tmp_path / "out", "residual", "int8", cut_names=("6",), plan_text=render_plan(plan))
    assert bundle.plan() == plan


def test_split_is_refused_naming_the_most_parts_when_there_are_fewer_operators(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleSplitError, match=r"16 parts were asked for.*15 operators and 14 legal cuts.*1 to 15"):
        split(tmp_path / "out", "chain", "int8", parts=16)
    assert list(tmp_path.iterdir()) == []


def test_model_is_cut_where_names_say(tmp_path: Path) -> None:
    graph = load_zoo_model("residual", "int8").graph
    name = graph.tensors[graph.operators[8].outputs[0]].name
    by_name = split(tmp_path / "names", "residual", "int8", cut_names=("3", name))
    assert op_ranges(by_name) == [(0, 3), (3, 9), (9, 33)]


def test_model_stays_whole_when_no_cut_is_named(tmp_path: Path) -> None:
    assert op_ranges(split(tmp_path / "out", "chain", "int8")) == [(0, 15)]


def test_wrong_name_is_refused_before_anything_runs(tmp_path: Path) -> None:
    def refuse(**_: Any) -> None:
        pytest.fail("a model was loaded")

    runtime = replace(RUNTIME, interpreter_class=refuse)
    with pytest.raises(CutError, match="'nonsense' is neither"):
        split(tmp_path / "out", "chain", "int8", cut_names=("nonsense",), runtime=runtime)
    assert list(tmp_path.iterdir()) == []


def test_manifest_describes_source_whole_and_partitions(tmp_path: Path) -> None:
    bundle = split(tmp_path / "out", "residual", "int8", cut_names=("6", "7"))
    manifest = bundle.manifest
    data = zoo.load("residual", "int8")
    assert manifest.source.file_name == "residual-int8.tflite"
    assert (manifest.source.kind, manifest.source.quantize) == ("tflite", "as-is")
    assert manifest.source.sha256 == manifest.whole.sha256 == hashlib.sha256(data).hexdigest()
    assert bundle.file_path(manifest.whole).read_bytes() == data
    assert manifest.whole.time_s > 0
    assert manifest.model_name == "residual-int8"
    assert manifest.measured_on == RUNTIME.identity
    assert [int(n) for n in manifest.runtime_floor.split(".")] > [1, 0]
    for partition in manifest.splittings[0].partitions:
        content = bundle.file_path(partition.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == partition.file.sha256
        assert len(content) == partition.file.size_bytes
        assert partition.file.time_s > 0


def test_boundaries_have_the_models_names_scales_and_order(tmp_path: Path) -> None:
    """At operator 6 one tensor leaves the first part and is carried through the second.

    -> [0, 6) -> a, b -> [6, 7) -> a, c -> [7, 33) ->
    """
    manifest = split(tmp_path / "out", "residual", "int8", cut_names=("6", "7")).manifest
    tensors = {t.name: t for t in load_zoo_model("residual", "int8").graph.tensors}
    first, second, third = manifest.splittings[0].partitions
    assert list(first.arriving) == list(manifest.inputs)
    assert list(first.leaving) == list(second.arriving)
    assert list(second.leaving) == list(third.arriving)
    assert list(third.leaving) == list(manifest.outputs)
    carried = {t.name for t in second.arriving} & {t.name for t in second.leaving}
    assert len(carried) == 1
    assert carried.isdisjoint({t.name for t in (*second.inputs, *second.outputs)})
    for spec in (*first.arriving, *second.arriving, *third.arriving, *third.leaving):
        tensor = tensors[spec.name]
        assert spec.dtype == DType.INT8
        assert tuple(spec.shape) == tensor.shape
        assert tensor.scale is not None
        assert spec.quantization.scale == np.float32(tensor.scale)
        assert spec.quantization.zero_point == tensor.zero_point
    assert manifest.inputs[0].alias in zoo.inputs("residual")
    assert manifest.outputs[0].alias == "probabilities"
    assert not first.leaving[0].alias


def test_float_boundaries_have_no_scale(tmp_path: Path) -> None:
    manifest = split(tmp_path / "out", "chain", "float32", parts=2).manifest
    specs = [*manifest.inputs, *manifest.splittings[0].partitions[0].leaving, *manifest.outputs]
    assert all(s.dtype == DType.FLOAT32 and not s.HasField("quantization") for s in specs)


@pytest.mark.parametrize(("name", "inputs", "outputs"), [("two_inputs", 2, 1), ("yolo_neck", 1, 3)])
@pytest.mark.parametrize("mode", ["int8", "float32"])
def test_several_inputs_and_outputs_arrive_and_leave(
    tmp_path: Path, name: str, mode: str, inputs: int, outputs: int
) -> None:
    bundle = make_bundle(tmp_path / "out", name, mode, parts=4)
    assert len(bundle.manifest.inputs) == len(bundle.splittings[0].partitions[0].arriving) == inputs
    assert len(bundle.manifest.outputs) == len(bundle.splittings[0].partitions[-1].leaving) == outputs
    sample, answer = bundle.load_sample()
    assert sample.keys() == {t.name for t in bundle.manifest.inputs}
    assert answer.keys() == {t.name for t in bundle.manifest.outputs}
    assert {t.alias for t in bundle.manifest.inputs} == set(zoo.inputs(name))


def test_outputs_keep_the_authors_order_when_it_is_known(tmp_path: Path) -> None:
    loaded = load_zoo_model("yolo_neck", "int8")
    aliases = [loaded.graph.aliases[t] for t in loaded.graph.outputs]
    request = SplitRequest(zoo_file("yolo_neck", "int8"), "keras3", "int8", 2, ())
    reordered = replace(loaded, output_names=aliases[::-1])
    with BundleWriter(tmp_path / "out") as writer:
        bundle = split_model(reordered, request, writer, RUNTIME, None, ignore_progress)
    assert [t.alias for t in bundle.manifest.outputs] == aliases[::-1]


def test_sample_is_the_given_one_quantised(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "out", "chain", "int8", parts=2)
    (array,) = bundle.load_sample()[0].values()
    spec = bundle.manifest.inputs[0]
    (given,) = zoo.inputs("chain").values()
    real = (array.astype(np.float32) - spec.quantization.zero_point) * np.float32(spec.quantization.scale)
    assert np.abs(real - given).max() < spec.quantization.scale


def test_no_bundle_is_named_finished_when_one_byte_of_a_partition_differs(tmp_path: Path) -> None:
    """Partitions are run from their files; here one changes between being written and being run."""

    def damaging(**options: Any) -> Any:
        if "model_path" in options:
            path = Path(options["model_path"])
            path.write_bytes(with_one_byte_changed(path.read_bytes()))
        return RUNTIME.interpreter_class(**options)

    with pytest.raises(VerificationError, match=r"other bytes than the whole model in .*no bundle was written"):
        split(tmp_path / "out", "chain", "int8", cut_names=("5",), runtime=replace(RUNTIME, interpreter_class=damaging))
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_step_by_step(tmp_path: Path) -> None:
    heard: list[tuple[str, float | None]] = []
    request = SplitRequest(zoo_file("chain", "int8"), "tflite", "as-is", 3, ())
    with BundleWriter(tmp_path / "out") as writer:
        split_model(
            load_zoo_model("chain", "int8"),
            request,
            writer,
            RUNTIME,
            None,
            lambda what, share: heard.append((what, share)),
        )
    assert heard.index(("running the whole model", None)) < heard.index(("writing and checking partition 1 of 3", 0.0))
    assert heard[-1] == ("writing and checking partition 3 of 3", 2 / 3)
    assert all(share is None or 0 <= share <= 1 for _, share in heard)


@pytest.mark.parametrize(
    ("stem", "name"),
    [("model v1.2 (final)", "model-v1.2--final"), ("--x--", "x"), ("модель", "model"), ("a" * 100, "a" * 64)],
)
def test_models_name_is_fit_for_a_deployments_id(tmp_path: Path, stem: str, name: str) -> None:
    source = tmp_path / f"{stem}.tflite"
    source.write_bytes(zoo.load("chain", "int8"))
    bundle = split(tmp_path / "out", "chain", "int8", source_path=source)
    assert bundle.manifest.model_name == name
    assert bundle.manifest.source.file_name == source.name


def test_directorys_hash_depends_on_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for index, files in enumerate(({"a": b"12", "b": b""}, {"a": b"1", "b": b"2"}, {"a": b"12", "c/b": b""})):
        source = tmp_path / str(index) / "model"
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        hashes.add(split(tmp_path / f"out{index}", "chain", "int8", source_path=source).manifest.source.sha256)
    assert len(hashes) == 3


def test_layers_are_located_among_the_operators(tmp_path: Path) -> None:
    path = zoo_file("residual", "float32")
    graph = Graph.from_bytes(path.read_bytes())
    scope = graph.tensors[graph.operators[2].outputs[0]].name.split(";")[0].rsplit("/", 1)[0]
    layers = (KerasLayer("block", "Conv2D", (), (scope,)),)
    loaded = LoadedModel.from_converted(ConvertedModel(path, layers, (), (), None))
    assert loaded.layer_ops["block"] >= 2


def test_damaged_file_is_refused_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(zoo.load("chain", "int8")[:500])
    with pytest.raises(ModelFormatError, match="corrupt or truncated"):
        LoadedModel.from_converted(ConvertedModel(path, (), (), (), None))


def test_output_that_the_model_gives_twice_is_named_once(tmp_path: Path) -> None:
    """x -> relu -> a -> relu -> b, with outputs a, a, b."""
    builder = ModelBuilder()
    x, a, b = (builder.main.tensor((1, 4), name=name) for name in "xab")
    builder.main.operator("RELU", [x], [a])
    builder.main.operator("RELU", [a], [b])
    builder.main.ends([x], [a, a, b])
    path = tmp_path / "twice.tflite"
    path.write_bytes(builder.build())
    loaded = LoadedModel.from_converted(ConvertedModel(path, (), (), (), None))
    with BundleWriter(tmp_path / "out") as writer:
        request = SplitRequest(path, "tflite", "as-is", 2, ())
        bundle = split_model(loaded, request, writer, RUNTIME, None, ignore_progress)
    assert [t.name for t in bundle.manifest.outputs] == ["a", "b"]


def test_identity_is_that_of_the_runtime_which_ran(tmp_path: Path) -> None:
    other = replace(RUNTIME, name="tflite-runtime", version="2.14.0")
    measured_on = split(tmp_path / "out", "chain", "int8", runtime=other).manifest.measured_on
    assert isinstance(measured_on, RuntimeIdentity)
    assert (measured_on.runtime, measured_on.version) == ("tflite-runtime", "2.14.0")
