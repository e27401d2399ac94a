"""Cuts and bundles as rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from converter.listing import list_model_cuts, list_splittings, short_tensor, summarize
from converter.split_model import LoadedModel
from partitioning import Graph, list_cuts
from tests.bundles import load_zoo_model, make_bundle
from tests.partitioning.graph_builder import ModelBuilder
from tests.partitioning.sample_models import accumulator


@pytest.mark.parametrize(("name", "mode"), [("residual", "int8"), ("two_inputs", "float32"), ("unet", "float16")])
def test_every_position_between_operators_is_listed_with_what_crosses(name: str, mode: str) -> None:
    model = load_zoo_model(name, mode)
    rows = list_model_cuts(model)
    assert [r["index"] for r in rows] == list(range(1, len(model.graph.operators)))
    for row, cut in zip(rows, model.cuts):
        assert (row["operator_before"], row["operator_after"]) == (cut.before.kind, cut.after.kind)
        assert row["crossing"]
        assert row["bytes"] == sum(t["bytes"] for t in row["crossing"])
        assert row["layer"]
        assert row["obstacle"] is None
    assert json.loads(json.dumps(rows)) == rows


def test_cut_is_named_by_the_keras_layer_when_it_is_known() -> None:
    model = replace(load_zoo_model("chain", "int8"), layer_ops={"image": -1, "stem": 0, "block/conv": 3})
    rows = list_model_cuts(model)
    assert (rows[0]["layer"], rows[3]["layer"]) == ("stem", "block/conv")
    assert rows[1]["layer"] == ""


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("model/conv1/Relu;model/bn/Fused", "conv1"),
        ("conv1", "conv1"),
        ("a/b/c/d", "c"),
        ("/", ""),
        (";x", ""),
    ],
)
def test_cut_is_named_by_the_scope_in_the_tensors_name_when_layers_are_unknown(tensor: str, layer: str) -> None:
    """x -> relu -> tensor -> relu -> y"""
    builder = ModelBuilder()
    x, middle, y = (builder.main.tensor((1, 4), name=name) for name in ("x", tensor, "y"))
    builder.main.operator("RELU", [x], [middle])
    builder.main.operator("RELU", [middle], [y])
    builder.main.ends([x], [y])
    (row,) = list_model_cuts(loaded(builder))
    assert (row["layer"], row["tensor"]) == (layer, tensor)


def loaded(builder: ModelBuilder) -> LoadedModel:
    data = builder.build()
    graph = Graph.from_bytes(data)
    return LoadedModel(data, graph, list_cuts(graph), {}, ())


def test_obstacle_is_listed_when_operators_share_state() -> None:
    rows = list_model_cuts(loaded(accumulator()))
    obstacles = [r["obstacle"] for r in rows if r["obstacle"]]
    assert any("cannot be in two partitions" in o for o in obstacles)


def test_cut_after_an_operator_without_outputs_is_listed() -> None:
    model = load_zoo_model("chain", "int8")
    mute = replace(model.cuts[2], before=replace(model.cuts[2].before, outputs=()))
    row = list_model_cuts(replace(model, cuts=[mute]))[0]
    assert (row["tensor"], row["layer"]) == ("", "")


def test_partitions_are_listed_with_boundaries_and_what_is_carried(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "out", "residual", "int8", cut_lists=[("6", "7")])
    (listed,) = list_splittings(bundle)
    assert listed["deployment_id"] == bundle.deployment_id
    rows = listed["partitions"]
    assert [(r["part"], r["start_op"], r["stop_op"], r["operators"]) for r in rows] == [
        (0, 0, 6, 6),
        (1, 6, 7, 1),
        (2, 7, 33, 26),
    ]
    for row, partition in zip(rows, bundle.splittings[0].partitions):
        assert row["sha256"] == partition.file.sha256
        assert row["size_bytes"] == partition.file.size_bytes
        assert row["time_ms"] == round(partition.file.time_s * 1e3, 3)
        assert [t["name"] for t in row["arriving"]] == [t.name for t in partition.arriving]
        assert all(t["dtype"] == "int8" and t["scale"] > 0 and -128 <= t["zero_point"] < 128 for t in row["leaving"])
    assert [len(r["carried"]) for r in rows] == [0, 1, 0]
    assert rows[1]["carried"][0] in {t["name"] for t in rows[0]["leaving"]}
    assert json.loads(json.dumps(rows)) == rows


def test_boundary_has_no_scale_when_it_is_not_quantised(tmp_path: Path) -> None:
    (listed,) = list_splittings(make_bundle(tmp_path / "out", "chain", "float32", cut_lists=[("3",)]))
    rows = listed["partitions"]
    assert set(rows[0]["leaving"][0]) == {"name", "dtype", "shape"}


def test_tensors_are_summarised_with_equal_ones_counted() -> None:
    small = {"dtype": "int8", "shape": [1, 8, 8, 16]}
    scalar = {"dtype": "float32", "shape": []}
    assert short_tensor(small) == "int8 1x8x8x16"
    assert summarize([small, scalar, small]) == "2 x int8 1x8x8x16, float32 "
    assert summarize([]) == ""
