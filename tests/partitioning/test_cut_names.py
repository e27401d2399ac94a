"""Cut names: what each kind of name means, and what is said to a name that means nothing."""

from __future__ import annotations

import re

import pytest

from partitioning import CutError, Graph, list_cuts, resolve_cuts
from partitioning.cut_names import name_components
from tests.partitioning import sample_models
from tests.partitioning.graph_builder import ModelBuilder


def _resolve(builder: ModelBuilder, *names: str, layers: dict[str, int] | None = None) -> list[int]:
    graph = Graph.from_bytes(builder.build())
    return resolve_cuts(graph, list_cuts(graph), names, layers)


def _chain() -> ModelBuilder:
    names = ["image", "model/conv1/Relu;model/bn1/add", "model/block_2/Relu", "model/block_2/add", "head", "answer"]
    return sample_models.relu_chain(names)


def _refusal(*names: str, layers: dict[str, int] | None = None) -> str:
    with pytest.raises(CutError) as raised:
        _resolve(_chain(), *names, layers=layers)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "cut_index"),
    [
        ("1", 1),
        (" 4 ", 4),
        ("head", 4),
        ("model/block_2/Relu", 2),
        ("conv1", 1),
        ("bn1", 1),
        ("block_2", 3),  # the last operator that the layer became
        ("add", 3),
    ],
)
def test_name_means_an_index_a_tensor_or_a_component(name: str, cut_index: int) -> None:
    assert _resolve(_chain(), name) == [cut_index]


def test_no_names_are_no_cuts() -> None:
    assert _resolve(_chain()) == []


def test_layer_wins_over_a_tensor_of_the_same_name() -> None:
    assert _resolve(_chain(), "head", "conv1", layers={"head": 0, "conv1": 2}) == [1, 3]


def test_names_are_taken_in_order_of_execution() -> None:
    assert _resolve(_chain(), "conv1", "2", "head") == [1, 2, 4]


def test_exact_tensor_name_wins_over_an_earlier_component() -> None:
    assert _resolve(sample_models.relu_chain(["x", "a/b", "b", "y"]), "b") == [2]


@pytest.mark.parametrize("name", ["0", "5", "99", "9" * 30])
def test_index_is_refused_when_no_such_cut_exists(name: str) -> None:
    assert _refusal(name) == f"cut index {name} does not exist: this model has cuts 1 to 4."


@pytest.mark.parametrize("name", ["\N{SUPERSCRIPT TWO}", "1.0", "-1", ""])
def test_name_is_no_index_when_it_is_no_decimal_number(name: str) -> None:
    assert "neither a layer, a tensor nor a cut index" in _refusal(name)


def test_name_is_refused_with_near_matches_when_it_is_unknown() -> None:
    assert "Near matches: conv1" in _refusal("conv_1")
    assert "Near matches: backbone" in _refusal("backbon", layers={"backbone": 1})
    assert "Nothing has a similar name." in _refusal("zzzzzzzz")
    assert "`cuts` command lists all" in _refusal("zzzzzzzz")


@pytest.mark.parametrize("name", ["image", "input_image", "given"])
def test_name_of_an_input_is_refused(name: str) -> None:
    builder = _chain()
    sample_models.sign(builder, {"input_image": 0}, {})
    with pytest.raises(CutError, match="is an input of the model"):
        _resolve(builder, name, layers={"given": -1})


@pytest.mark.parametrize("name", ["answer", "softmax"])
def test_name_of_the_end_is_refused(name: str) -> None:
    assert (
        _refusal(name, layers={"softmax": 4})
        == f"{name!r} is the end of the model: there is nothing after it to cut off."
    )


def test_name_is_refused_when_it_is_given_twice() -> None:
    assert _refusal("head", "head") == "cut name 'head' was given twice. Drop one."


@pytest.mark.parametrize("names", [("conv1", "1"), ("conv1", "bn1")])
def test_names_of_one_cut_are_refused(names: tuple[str, str]) -> None:
    message = _refusal(*names)
    assert f"{names[0]!r} and {names[1]!r} mean the same cut" in message
    assert "Drop one." in message


def test_names_out_of_order_are_refused_with_the_right_order() -> None:
    message = _refusal("head", "conv1", "2")
    assert "'head' (cut 4) was given before 'conv1' (cut 1)" in message
    assert message.endswith("Write them as conv1,2,head.")


def test_illegal_cut_is_refused_with_the_obstacle_and_the_nearest_legal_ones() -> None:
    builder = sample_models.accumulator()
    message = "nothing can be cut at '3' (cut 3): operators 0 and 4 share the variable total"
    with pytest.raises(CutError, match=re.escape(message) + ".* The nearest legal cuts are 6, 7."):
        _resolve(builder, "3")


def test_illegal_cut_is_refused_when_no_cut_is_legal() -> None:
    builder = sample_models.accumulator()
    del builder.main.raw.operators[6:]
    builder.main.raw.outputs = builder.main.raw.operators[3].outputs
    with pytest.raises(CutError, match=r"This model has no legal cut\."):
        _resolve(builder, "3")


def test_components_are_parts_of_fused_and_scoped_names() -> None:
    assert name_components("model/conv1/Relu;model/bn1//add;") == ["model", "conv1", "Relu", "model", "bn1", "add"]
