from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from converter.layer_names import KerasLayer, locate_layers
from tests.converter.tflite_reading import Converted

MODES = ("none", "float16", "dynamic", "int8", "int16x8")
SMALL_KERAS3 = ("default_names", "several_ends", "folded_output", "mobilenetv2")


def layer(
    name: str,
    class_name: str = "Conv2D",
    after: str = "",
    scopes: tuple[str, ...] | None = None,
    outputs: tuple[str, ...] = (),
) -> KerasLayer:
    inbound = tuple(filter(None, after.split(",")))
    return KerasLayer(name, class_name, inbound, (f"m/{name}",) if scopes is None else scopes, outputs)


INPUT = layer("x", "InputLayer", scopes=())


def test_layer_stands_at_the_last_operator_in_its_scope() -> None:
    names = [["m/a/MatMul"], ["m/a/BiasAdd"], ["m/b/MatMul"]]
    layers = [INPUT, layer("a", after="x"), layer("b", after="a")]
    assert locate_layers(names, layers) == {"x": -1, "a": 1, "b": 2}


def test_fused_parts_all_stand_at_the_operator_that_lists_them() -> None:
    names = [["m/relu/Relu;m/norm/add;m/conv/convolution;;m/pad/Pad1"]]
    chain = ["x", "pad", "conv", "norm", "relu"]
    layers = [INPUT, *(layer(b, after=a) for a, b in zip(chain, chain[1:]))]
    assert locate_layers(names, layers) == {"x": -1, "pad": 0, "conv": 0, "norm": 0, "relu": 0}


def test_layer_without_operator_stands_at_its_latest_inbound_layer() -> None:
    names = [["m/a/MatMul"], ["m/b/MatMul"]]
    layers = [INPUT, layer("a", after="x"), layer("b", after="x"), layer("drop", "Dropout", "b,a")]
    assert locate_layers(names, layers)["drop"] == 1


def test_recorded_scopes_decide_between_names_that_look_alike() -> None:
    names = [["m/conv2d_1/convolution"], ["m/conv2d_1_2/convolution"]]
    layers = [
        INPUT,
        layer("conv2d", after="x", scopes=("m/conv2d_1",)),
        layer("conv2d_1", after="conv2d", scopes=("m/conv2d_1_2",)),
    ]
    assert locate_layers(names, layers) == {"x": -1, "conv2d": 0, "conv2d_1": 1}


def test_scope_matches_below_a_prefix_and_with_digits_appended() -> None:
    names = [["StatefulPartitionedCall/m/a/MatMul"], ["m/add1"]]
    layers = [INPUT, layer("a", after="x"), layer("add", "Add", after="a", scopes=("m/add",))]
    assert locate_layers(names, layers) == {"x": -1, "a": 0, "add": 1}


def test_shared_layer_stands_at_its_last_call() -> None:
    names = [["m/s_1/MatMul"], ["m/s_3/MatMul"]]
    layers = [INPUT, layer("s", after="x", scopes=("m/s_1", "m/s_3"))]
    assert locate_layers(names, layers)["s"] == 1


def test_constant_operators_do_not_count() -> None:
    names = [["m/b/MatMul"], ["m/a/MatMul1"], ["out:0"]]
    layers = [INPUT, layer("a", after="x"), layer("b", after="a", outputs=("out:0",))]
    assert locate_layers(names, layers, constant_ops=[0]) == {"x": -1, "a": 1, "b": 2}


def test_layers_folded_into_an_output_stand_at_its_operator() -> None:
    names = [["m/a/convolution"], ["out:0"]]
    layers = [
        INPUT,
        layer("a", after="x"),
        layer("b", after="a"),
        layer("norm", "BatchNormalization", after="b"),
        layer("relu", "ReLU", after="norm", outputs=("out:0",)),
    ]
    assert locate_layers(names, layers) == {"x": -1, "a": 0, "b": 1, "norm": 1, "relu": 1}


def test_layers_before_an_output_of_its_own_stay_where_they_are() -> None:
    names = [["m/a/convolution"], ["out:0"]]
    layers = [
        INPUT,
        layer("a", after="x"),
        layer("norm", "BatchNormalization", after="a"),
        layer("flat", "Flatten", after="norm", outputs=("out:0",)),
    ]
    assert locate_layers(names, layers) == {"x": -1, "a": 0, "norm": 0, "flat": 1}


def test_output_straight_from_the_input_leaves_the_input_alone() -> None:
    layers = [INPUT, layer("relu", "ReLU", after="x", outputs=("out:0",))]
    assert locate_layers([["out:0"]], layers) == {"x": -1, "relu": 0}


def test_nameless_lstm_operators_go_to_the_lstm_layers_in_order() -> None:
    names = [["tfl.unidirectional_sequence_lstm"], ["tfl.unidirectional_sequence_lstm1"]]
    layers = [INPUT, layer("first", "LSTM", "x"), layer("second", "LSTM", "first")]
    assert locate_layers(names, layers) == {"x": -1, "first": 0, "second": 1}


@pytest.mark.parametrize(("model", "mode"), [*itertools.product(SMALL_KERAS3, MODES), ("resnet50", "int8")])
def test_every_mode_locates_layers_at_the_same_computing_operator(
    keras3_conversions: Path, model: str, mode: str
) -> None:
    float_model = Converted(keras3_conversions / f"{model}-none")
    converted = Converted(keras3_conversions / f"{model}-{mode}")
    # float16 puts one operator per constant in front; the others keep the float model's order.
    constants = len(converted.op_types()) - len(float_model.op_types())
    assert constants == 0 or mode == "float16"
    expected = {
        name: op_index if op_index < 0 else op_index + constants for name, op_index in float_model.located().items()
    }
    assert converted.located() == expected
    assert converted.op_types()[constants:] == float_model.op_types()


@pytest.mark.parametrize("model", ["default_names", "folded_output", "resnet50", "mobilenetv2"])
def test_located_operators_compute_what_keras_computes(
    keras3_conversions: Path, keras3_models: Path, model: str
) -> None:
    converted = Converted(keras3_conversions / f"{model}-none")
    with np.load(keras3_models / f"{model}.values.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    actual = converted.values(expected.pop("input"))
    # Of the layers fused into one operator, the last in order is the one whose value exists.
    layer_at = {op_index: name for name, op_index in converted.located().items() if op_index >= 0}
    assert len(layer_at) >= len(actual) * 0.8
    for op_index, name in layer_at.items():
        reference = expected[name]
        scale = np.abs(reference).max()
        assert scale > 1e-6, f"{name} is dead, so it proves nothing"
        # 1e-3 of the range: 50 layers of float32 sums in another order, with batch normalisation
        # by small variances in between; a neighbouring layer is off by the whole range.
        np.testing.assert_allclose(actual[op_index], reference, rtol=0, atol=1e-3 * scale)


def test_layers_that_look_alike_are_told_apart(keras3_conversions: Path) -> None:
    located = Converted(keras3_conversions / "default_names-none").located()
    names = ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "flatten", "dense"]
    assert [located[name] for name in names] == [0, 1, 2, 3, 4, 5]
    assert located["dropout_1"] == located["batch_normalization_1"] == located["conv2d_1"]


def test_nested_model_is_listed_with_its_layers(keras3_conversions: Path) -> None:
    converted = Converted(keras3_conversions / "several_ends-none")
    layers = {layer.name: layer for layer in converted.answer.layers}
    assert layers["inner/dense"].inbound == ("shared", "an extra")
    assert layers["inner/dense_1"].inbound == ("inner/dense",)
    assert layers["inner"].inbound == ("inner/dense_1",)
    assert layers["total"].inbound == ("inner",)
    assert layers["inner"].class_name == "Sequential"
    located = converted.located()
    assert located["inner"] == located["inner/dense_1"] == located["inner/dense"] + 1


@pytest.mark.parametrize("mode", MODES)
def test_keras2_layers_are_located(keras2_conversions: Path, mode: str) -> None:
    converted = Converted(keras2_conversions / f"keras2_image_model.h5-{mode}")
    located, types = converted.located(), converted.op_types()
    ops = {name: types[op_index] for name, op_index in located.items() if op_index >= 0}
    assert ops["conv2d"] == ops["re_lu"] == ops["conv2d_1"] == "CONV_2D"
    assert located["conv2d"] < located["conv2d_1"] < located["inner/depthwise_conv2d"]
    assert ops["inner/depthwise_conv2d"] == "DEPTHWISE_CONV_2D"
    assert ops["first"] == ops["a"] == "FULLY_CONNECTED"
    assert located["tf.math.multiply"] >= located["inner"]


@pytest.mark.parametrize("mode", MODES)
def test_keras2_recurrent_layers_are_located(keras2_conversions: Path, mode: str) -> None:
    converted = Converted(keras2_conversions / f"keras2_recurrent.h5-{mode}")
    located = converted.located()
    assert -1 == located["steps"] < located["lstm"] < located["gru"] < located["answer"]
    assert located["answer"] == len(converted.op_types()) - 1
    fused = converted.op_types()[located["lstm"]] == "UNIDIRECTIONAL_SEQUENCE_LSTM"
    assert fused == (mode != "int16x8")
