from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converter.errors import ConversionFailedError, ModelError
from converter.tensorflow_worker.refusal import explain_refusal
from tests.converter.tflite_reading import Converted

INTEGER = {"none": "FLOAT32", "float16": "FLOAT32", "dynamic": "FLOAT32"}
INTEGER.update(int8="INT8", int16x8="INT16")


def refusal(work_dir: Path) -> tuple[str, str]:
    found = json.loads((work_dir / "error.json").read_text())
    assert not (work_dir / "model.tflite").exists()
    return found["error"], found["message"]


@pytest.mark.parametrize("mode", INTEGER)
def test_inputs_and_outputs_keep_names_order_and_get_the_modes_dtype(keras3_conversions: Path, mode: str) -> None:
    converted = Converted(keras3_conversions / f"several_ends-{mode}")
    assert converted.answer.inputs == ("Image", "an_extra")
    assert converted.answer.outputs == ("apple", "zebra")
    assert converted.dtypes() == dict.fromkeys(["Image", "an_extra", "apple", "zebra"], INTEGER[mode])
    assert converted.shapes() == {
        "Image": [1, 8, 8, 3],
        "an_extra": [1, 5],
        "apple": [1, 2],
        "zebra": [1, 3],
    }


def test_listed_outputs_are_named_by_their_layers_in_keras_order(keras3_conversions: Path) -> None:
    converted = Converted(keras3_conversions / "folded_output-none")
    assert converted.answer.outputs == ("end", "drop")
    assert converted.shapes()["end"] == [1, 4, 4, 4]
    assert converted.shapes()["drop"] == [1, 6, 6, 4]


@pytest.mark.parametrize("mode", ["none", "float16", "dynamic", "int8"])
def test_recurrent_layers_convert(keras3_conversions: Path, mode: str) -> None:
    converted = Converted(keras3_conversions / f"recurrent-{mode}")
    assert converted.dtypes() == {"tokens": "INT32", "answer": INTEGER[mode]}
    assert ("WHILE" in converted.op_types()) == (mode != "int8")


def test_graph_has_static_shapes_and_no_shape_operators(keras3_conversions: Path) -> None:
    for name in ("default_names-none", "several_ends-none", "exported", "sized"):
        converted = Converted(keras3_conversions / name)
        assert not {"SHAPE", "PACK", "STRIDED_SLICE"} & set(converted.op_types())
        signatures = [list(t.shapeSignature or []) for t in converted.graph.tensors]
        assert not any(-1 in signature for signature in signatures)


def test_batch_and_given_shapes_are_fixed(keras3_conversions: Path) -> None:
    sized = Converted(keras3_conversions / "sized")
    assert sized.shapes() == {"image": [2, 10, 12, 3], "pool": [2, 4]}
    exported = Converted(keras3_conversions / "exported")
    assert exported.shapes()["Image"] == [3, 8, 8, 3]
    assert Converted(keras3_conversions / "anyrank").shapes() == {"x": [1, 3], "doubled": [1, 3]}


def test_saved_model_uses_its_only_signature_and_has_no_layers(keras3_conversions: Path) -> None:
    converted = Converted(keras3_conversions / "one_signature")
    assert converted.answer.inputs == ("x",)
    assert converted.answer.outputs == ("scaled", "shifted")
    assert converted.answer.layers == ()
    assert converted.located() == {}


def test_first_calibration_sample_is_left_for_the_parent(keras3_conversions: Path, calibration: Path) -> None:
    with np.load(keras3_conversions / "several_ends-none" / "sample.npz") as sample:
        assert sorted(sample.files) == ["Image", "an_extra"]
        with np.load(calibration / "two.npz") as data:
            np.testing.assert_array_equal(sample["Image"], data["Image"][:1])
    assert not (keras3_conversions / "exported" / "sample.npz").exists()


@pytest.mark.parametrize("mode", INTEGER)
def test_keras2_outputs_are_in_keras_order(keras2_conversions: Path, mode: str) -> None:
    converted = Converted(keras2_conversions / f"keras2_image_model.h5-{mode}")
    assert converted.answer.inputs == ("image",)
    assert converted.answer.outputs == ("first", "a")
    assert converted.dtypes() == dict.fromkeys(["image", "first", "a"], INTEGER[mode])


@pytest.mark.parametrize(
    ("case", "error", "message"),
    [
        ("unsized", "OptionError", r"image (1, None, None, 3)"),
        ("wrong-size", "OptionError", "the given (10, 12, 4) does not fit (None, None, 3)"),
        ("wrong-rank", "OptionError", "the given (1, 10, 12, 3) does not fit (None, None, 3)"),
        ("unknown-input", "OptionError", "given for picture, which the model does not have"),
        ("fixed-batch", "OptionError", "batch 2 asked for, but input x has the fixed shape (1, 2)"),
        ("anyrank-open", "OptionError", "x (1, None)"),
        ("two_signatures", "ModelError", "has 2 signatures (go, stay)"),
        ("text", "ModelError", "types that boards cannot take: words string"),
        ("inverse", "ModelError", "operators that TFLite does not have: MatrixInverse"),
        ("wrong-calibration", "CalibrationError", "shape is (4, 8, 8, 3), expected (N, 16, 16, 3)"),
        ("recurrent-int16x8", "ModelError", "cannot quantise arithmetic on integers to int16x8"),
        ("unbuilt", "ModelError", "is a Sequential without declared inputs"),
        ("damaged", "ModelError", "Keras cannot load"),
        ("open-loop", "ModelError", "a loop (a recurrent layer) over tensors whose sizes are open"),
        ("broken-saved-model", "ModelError", "TensorFlow cannot load the SavedModel"),
    ],
)
def test_source_that_cannot_be_converted_is_refused_with_the_reason(
    keras3_conversions: Path, case: str, error: str, message: str
) -> None:
    kind, text = refusal(keras3_conversions / case)
    assert kind == error
    assert message in text


def test_unknown_keras2_layer_is_named(keras2_conversions: Path) -> None:
    kind, text = refusal(keras2_conversions / "custom")
    assert kind == "ModelError"
    assert "uses 'Doubling', which is not part of Keras" in text


def test_refused_operators_are_all_listed() -> None:
    error = explain_refusal(
        "Some ops need ...:\nFlex ops: FlexErf, FlexAcos\nCustom ops: Foo\nDetails:\n\ttf.Foo",
        "none",
    )
    assert isinstance(error, ModelError)
    assert "does not have: FlexAcos, FlexErf, Foo." in str(error)


def test_operator_without_quantised_form_is_named() -> None:
    message = "Quantization to 16x8-bit not yet supported for op: 'UNIDIRECTIONAL_SEQUENCE_LSTM'."
    error = explain_refusal(message, "int16x8")
    assert isinstance(error, ModelError)
    assert "no int16x8 form of these operators: UNIDIRECTIONAL_SEQUENCE_LSTM" in str(error)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("<unknown>:0: error: too odd\n<unknown>:0: note: called from\n", "too odd"),
        ("first\n  the reason\n", "the reason"),
        ("", "no reason given"),
    ],
)
def test_any_other_refusal_is_passed_on(message: str, reason: str) -> None:
    error = explain_refusal(message, "none")
    assert isinstance(error, ConversionFailedError)
    assert str(error).split(": ", 1)[1].strip() == reason
