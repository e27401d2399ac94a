"""Taps of a splitting: what a name means, and that parts give the whole model's values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle import open_bundle
from converter.errors import BatchError
from converter.layer_names import KerasLayer, find_outputs
from converter.verification import verify_bundle
from partitioning import TapError
from partitioning.taps import LayerOutputs
from runtime import load_runtime
from tests.bundles import load_zoo_model, make_bundle


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_verify_compares_taps_too(tmp_path: Path, mode: str) -> None:
    plain = make_bundle(tmp_path / "plain", "residual", mode, cut_lists=[["9"]])
    bundle = make_bundle(tmp_path / "tapped", "residual", mode, cut_lists=[["9"]], taps=["re_lu_1", "re_lu_2_1"])
    tap_bytes = sum(bundle.load_sample()[1][spec.name].nbytes for spec in bundle.manifest.taps)
    results = [verify_bundle(open_bundle(b.path), load_runtime()) for b in (plain, bundle)]
    assert all(result.is_identical for result in results)
    assert results[1].compared_bytes - results[0].compared_bytes == tap_bytes > 0
    (output,) = plain.manifest.outputs
    np.testing.assert_array_equal(bundle.load_sample()[1][output.name], plain.load_sample()[1][output.name])


def test_taps_cross_every_cut_behind_them_and_no_cut_moves() -> None:
    model = load_zoo_model("residual", "float32")
    tapped = model.tapped(["max_pooling2d_1"])
    before = [cut.crossing_bytes for cut in model.cuts]
    extra = [cut.crossing_bytes - bytes_ for cut, bytes_ in zip(tapped.cuts, before)]
    # Operator 2 gives the tensor, operators 3 and 5 read it.
    assert extra == [0] * 5 + [12 * 12 * 16 * 4] * (len(extra) - 5)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["re_lu_9"], "neither a layer nor a tensor .* Near matches: re_lu_"),
        (["conv2d_1"], "fused away: .* one operator of it and 'activation_1'"),
        (["functional_1/zero_padding2d_1/Pad", "zero_padding2d_1"], "name the same tensor"),
        (["StatefulPartitionedCall_1:0"], "is an output of the model"),
    ],
)
def test_tap_that_cannot_be_is_refused_with_what_to_do(names: list[str], said: str) -> None:
    with pytest.raises(TapError, match=said):
        load_zoo_model("residual", "float32").tapped(names)


def test_of_layers_in_one_operator_the_last_one_is_held() -> None:
    """conv -> norm -> relu in one operator, and a dropout behind it that does nothing."""
    layers = [
        KerasLayer("x", "InputLayer", ()),
        KerasLayer("conv", "Conv2D", ("x",), ("m/conv",)),
        KerasLayer("norm", "BatchNormalization", ("conv",), ("m/norm",)),
        KerasLayer("relu", "ReLU", ("norm",), ("m/relu",)),
        KerasLayer("drop", "Dropout", ("relu",)),
        KerasLayer("gone", "Reshape", ("drop",), ("m/gone",)),
    ]
    found = find_outputs([["m/relu/Relu;m/norm/add;m/conv/convolution"]], layers)
    assert found.held == {"x": -1, "relu": 0, "drop": 0}
    assert found.fused == {"conv": "relu", "norm": "relu", "gone": ""}


def test_boundaries_that_several_splittings_share_are_tapped_once_and_asked_for_taps_keep_their_names(
    tmp_path: Path,
) -> None:
    bundle = make_bundle(
        tmp_path / "parts", "residual", "int8", cut_lists=[["9"], ["9", "20"]], taps=["re_lu_1"], taps_boundaries=True
    )
    names = [spec.alias for spec in bundle.manifest.taps]
    assert names[0] == "re_lu_1"
    assert len(names) == len(set(names)) > 2
    assert verify_bundle(bundle, load_runtime()).is_identical


def test_tap_without_a_row_for_each_input_of_a_batch_is_refused() -> None:
    model = load_zoo_model("residual", "float32")
    with pytest.raises(BatchError, match=r"no row for each of 3 inputs: re_lu_1 .* split without --batch"):
        replace(model, batch=3).tapped(["re_lu_1"])


def test_boundaries_are_named_by_the_first_layer_that_they_are_the_output_of() -> None:
    model = load_zoo_model("residual", "float32")
    (tensor,) = model.graph.operators[8].outputs
    layers = LayerOutputs({"relu": 8, "dropout": 8, "elsewhere": 3})
    assert replace(model, layer_outputs=layers).tapped_at([9]).tap_names[-1] == "relu"
    assert model.tapped_at([9]).tap_names[-1] == model.graph.tensors[tensor].name
