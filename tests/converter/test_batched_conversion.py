"""From a model of any kind to a file for several samples: scales as without a batch, and equal answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converter.batched_conversion import Conversion, convert_batched
from converter.convert import ConvertedModel
from converter.errors import BatchError
from partitioning import Graph
from runtime import load_runtime
from tests import zoo
from tests.bundles import ignore_progress, zoo_file
from tests.partitioning.graph_builder import ModelBuilder

RUNTIME = load_runtime()
Convert = Callable[..., ConvertedModel]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    def run(model: Path, batch: int, **options: Any) -> ConvertedModel:
        work_dir = tmp_path / f"batch{batch}"
        work_dir.mkdir()
        return convert_batched(
            Conversion(model, **options), batch, work_dir=work_dir, runtime=RUNTIME, on_progress=ignore_progress
        )

    return run


def scales(converted: ConvertedModel) -> dict[str, tuple[float | None, int]]:
    graph = Graph.from_bytes(converted.tflite.read_bytes())
    return {t.name: (t.scale, t.zero_point) for t in graph.tensors if t.scale is not None}


def first_dimensions(converted: ConvertedModel) -> set[int]:
    graph = Graph.from_bytes(converted.tflite.read_bytes())
    return {graph.tensors[t].shape[0] for t in (*graph.inputs, *graph.outputs)}


@pytest.mark.parametrize(("model", "data"), [("default_names.keras", "image16"), ("mobilenetv2.keras", "image32")])
def test_batch_has_the_scales_of_a_single_sample(
    convert: Convert, keras3_models: Path, calibration: Path, model: str, data: str
) -> None:
    options = {"quantize": "int8", "calibration": calibration / f"{data}.npy"}
    single = convert(keras3_models / model, 1, **options)
    batched = convert(keras3_models / model, 3, **options)
    assert scales(single)
    assert scales(single).items() <= scales(batched).items()
    assert (single.batch, batched.batch, batched.batch_difference) == (1, 3, 0)
    assert first_dimensions(batched) == {3}
    assert batched.layers == single.layers


def test_sample_holds_the_first_rows_again_and_again(convert: Convert, keras3_models: Path, calibration: Path) -> None:
    rows = np.load(calibration / "image16.npy")
    converted = convert(keras3_models / "default_names.keras", 6, calibration=calibration / "image16.npy")
    assert converted.calibration_sample is not None
    (sample,) = converted.calibration_sample.values()
    assert np.array_equal(sample, rows[[0, 1, 2, 3, 0, 1]])


def test_mixed_samples_are_found_out_though_all_that_were_given_are_alike(convert: Convert, tmp_path: Path) -> None:
    model = ModelBuilder()
    x, turned = model.main.tensor((1, 3), name="x"), model.main.tensor((1, 3), name="turned")
    axis = model.main.constant(np.array([0], np.int32))
    model.main.operator("REVERSE_V2", [x, axis], [turned], schema.ReverseV2OptionsT())
    model.main.ends([x], [turned])
    (tmp_path / "turn.tflite").write_bytes(model.build())
    np.save(tmp_path / "one.npy", np.ones((1, 3), np.float32))
    with pytest.raises(BatchError, match="REVERSE_V2"):
        convert(tmp_path / "turn.tflite", 3, calibration=tmp_path / "one.npy")


def test_recurrent_keras_model_is_converted_once_more(convert: Convert, keras3_models: Path) -> None:
    converted = convert(keras3_models / "recurrent.keras", 3)
    assert first_dimensions(converted) == {3}
    assert converted.batch == 3
    assert converted.batch_difference < 1e-4


def test_saved_model_of_fixed_shapes_is_batched_all_the_same(convert: Convert, keras3_models: Path) -> None:
    assert first_dimensions(convert(keras3_models / "one_signature", 2)) == {2}


def test_file_that_has_the_batch_already_stays_as_it_is(convert: Convert, tmp_path: Path) -> None:
    first = convert(zoo_file("residual", "int8"), 2)
    file = tmp_path / "two.tflite"
    file.write_bytes(first.tflite.read_bytes())
    again = convert_batched(Conversion(file), 2, work_dir=tmp_path, runtime=RUNTIME, on_progress=ignore_progress)
    assert (again.tflite, again.batch) == (file, 2)


def test_file_of_another_batch_is_refused(convert: Convert, tmp_path: Path) -> None:
    file = tmp_path / "two.tflite"
    file.write_bytes(convert(zoo_file("residual", "int8"), 2).tflite.read_bytes())
    with pytest.raises(BatchError, match=r"two.tflite: these inputs are not of one sample: .* \[2, 24, 24, 3\]"):
        convert(file, 3)


def test_file_whose_output_has_no_row_for_each_sample_is_refused(convert: Convert, tmp_path: Path) -> None:
    model = ModelBuilder()
    pair, total = model.main.tensor((2, 3)), model.main.tensor((1, 3), name="total")
    axis = model.main.constant(np.array([0], np.int32))
    model.main.operator("SUM", [pair, axis], [total], schema.ReducerOptionsT(keepDims=True))
    model.main.ends([pair], [total])
    (tmp_path / "sum.tflite").write_bytes(model.build())
    with pytest.raises(BatchError, match=r"these outputs have no row for each: total \[1, 3\]"):
        convert(tmp_path / "sum.tflite", 2)


def test_batch_of_one_is_the_file_itself(convert: Convert) -> None:
    file = zoo_file("gru", "float32")
    assert zoo.load("gru", "float32") == file.read_bytes()
    assert convert(file, 1).tflite == file
    with pytest.raises(BatchError, match=r"WHILE.*Split it without --batch, or give the original model"):
        convert(file, 2)
