"""Another order of the operators: as good as the best of all where that is promised, never worse, and the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from partitioning import Graph, list_cuts, run_order
from partitioning.ordering import OrderError, crossed_bytes, narrow_order, needed_before, reorder
from tests import zoo
from tests.partitioning import sample_models
from tests.partitioning.composition import compose, differing, model_inputs, run_whole
from tests.partitioning.graph_builder import ModelBuilder
from tests.partitioning.random_graphs import RandomModel, random_models
from tests.partitioning.test_properties import REPEATABLE

CASES = [(name, mode) for name in zoo.NAMES for mode in zoo.supported(name)]


def random_graph(generator: np.random.Generator, n_ops: int, n_inputs: int) -> Graph:
    """Operators that read one to three of the last values, of many sizes; what nobody reads is returned."""
    builder = ModelBuilder()
    main = builder.main
    values = inputs = [main.tensor([1, int(generator.integers(1, 30))]) for _ in range(n_inputs)]
    unread = set(inputs)
    for _ in range(n_ops):
        n_read = int(generator.integers(1, 1 + min(3, len(values))))
        read = [int(t) for t in generator.choice(values[-4:], min(n_read, len(values[-4:])), replace=False)]
        made = [main.tensor([1, int(generator.integers(1, 30))]) for _ in range(int(generator.integers(1, 3)))]
        main.operator("CONCATENATION", read, made, schema.ConcatenationOptionsT(axis=1))
        values = [*values, *made]
        unread = unread.difference(read).union(made)
    main.ends(inputs, sorted(unread))
    return Graph.from_bytes(builder.build())


def every_order(graph: Graph) -> Iterator[tuple[int, ...]]:
    """All orders in which each operator comes after what it needs."""
    needed = needed_before(graph)

    def grow(order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(order) == len(needed):
            yield order
        for op, before in enumerate(needed):
            if op not in order and before <= set(order):
                yield from grow((*order, op))

    return grow(())


@pytest.mark.parametrize("seed", range(8))
def test_order_is_as_narrow_as_the_narrowest_of_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    reordered = 0
    for _ in range(15):
        graph = random_graph(generator, int(generator.integers(1, 8)), int(generator.integers(1, 3)))
        least = min(crossed_bytes(reorder(graph, order)) for order in every_order(graph))
        order = narrow_order(graph)
        assert (order is None) == (least == crossed_bytes(graph))
        if order is not None:
            assert crossed_bytes(reorder(graph, order)) == least
            reordered += 1
    assert reordered > 0


def test_branches_are_run_one_after_the_other_instead_of_in_step() -> None:
    #  x -> a1 -> a2 -> a3 --+     In step, a wide value of each branch is alive at once: 1 a, 2 b wide, 3 narrow.
    #  x -> b1 -> b2 -> b3 --+-> out
    builder = ModelBuilder()
    main = builder.main
    x = main.tensor([1, 1], name="x")
    ends = [x, x]
    for width in (10, 10, 1):
        for branch in (0, 1):
            y = main.tensor([1, width])
            main.operator("RELU", [ends[branch]], [y])
            ends[branch] = y
    out = main.tensor([1, 2])
    main.operator("CONCATENATION", ends, [out], schema.ConcatenationOptionsT(axis=1))
    main.ends([x], [out])
    graph = Graph.from_bytes(builder.build())
    assert narrow_order(graph) in [(0, 2, 4, 1, 3, 5, 6), (1, 3, 5, 0, 2, 4, 6)]
    # x and a1 cross, x and a2, x and a3, a3 and b1, a3 and b2, a3 and b3: 4 bytes an element.
    assert crossed_bytes(reorder(graph, (0, 2, 4, 1, 3, 5, 6))) == 4 * (11 + 11 + 2 + 11 + 11 + 2)


def test_order_stays_when_no_other_is_narrower() -> None:
    assert narrow_order(Graph.from_bytes(sample_models.relu_chain(["x", "a", "b", "c"]).build())) is None
    assert narrow_order(Graph.from_bytes(sample_models.relu_chain(["x", "y"]).build())) is None


@pytest.mark.parametrize("most_sets", [0, 4, 16])
def test_order_is_no_worse_when_runs_are_divided(monkeypatch: pytest.MonkeyPatch, most_sets: int) -> None:
    monkeypatch.setattr(run_order, "_MOST_SETS", most_sets)
    generator = np.random.default_rng(most_sets)
    reordered = 0
    for _ in range(20):
        graph = random_graph(generator, 24, 2)
        order = narrow_order(graph)
        if order is not None:
            assert crossed_bytes(reorder(graph, order)) < crossed_bytes(graph)
            reordered += 1
    assert (reordered > 0) == (most_sets > 0)


@REPEATABLE
@given(model=random_models())
def test_order_names_each_operator_once_after_what_it_needs_and_crosses_less(model: RandomModel) -> None:
    graph = Graph.from_bytes(model.data)
    order = narrow_order(graph)
    if order is None:
        return
    assert sorted(order) == list(range(len(graph.operators)))
    other = reorder(graph, order)
    assert crossed_bytes(other) < crossed_bytes(graph)
    made = set(other.inputs)
    for index, op in enumerate(other.operators):
        assert op.op_index == index
        assert op.source_index == graph.operators[order[index]].source_index
        assert made.issuperset(op.inputs)
        made.update(op.outputs)


@REPEATABLE
@given(model=random_models(), data=st.data())
def test_parts_in_any_order_give_the_whole_models_bytes(model: RandomModel, data: Any) -> None:
    graph = Graph.from_bytes(model.data)
    inputs = dict(zip(graph.inputs, model.samples))
    expected = run_whole(graph, model.data, inputs)
    needed = needed_before(graph)
    order: list[int] = []
    while len(order) < len(needed):
        ready = [op for op in range(len(needed)) if op not in order and needed[op].issubset(order)]
        order.append(data.draw(st.sampled_from(ready)))
    for chosen in (tuple(order), narrow_order(graph) or tuple(order)):
        other = reorder(graph, chosen)
        cuts = [p for p in range(1, len(order)) if data.draw(st.booleans())]
        assert differing(expected, compose(other, cuts, inputs)) == []


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_parts_of_the_narrower_order_give_the_whole_models_bytes_at_every_cut(name: str, mode: str) -> None:
    model = zoo.load(name, mode)
    graph = Graph.from_bytes(model)
    order = narrow_order(graph)
    assert order is not None or name not in ("inception", "residual", "yolo_neck")
    if order is None:
        return
    other = reorder(graph, order)
    inputs = model_inputs(graph, zoo.inputs(name))
    expected = run_whole(graph, model, inputs)
    assert crossed_bytes(other) < crossed_bytes(graph)
    assert [c.cut_index for c in list_cuts(other) if c.obstacle is not None] == []
    # Every mode as a chain of single operators; two of them also cut in two at every place.
    places = range(1, len(other.operators))
    for cuts in (places, *([place] for place in places if mode in ("float32", "int8"))):
        assert differing(expected, compose(other, cuts, inputs)) == []


def test_operators_with_effects_keep_their_order() -> None:
    graph = Graph.from_bytes(sample_models.accumulator().build())
    kinds = [op.kind for op in graph.operators]
    effects = [op for op, kind in enumerate(kinds) if kind not in ("ADD", "RELU")]
    needed = needed_before(graph)
    for earlier, later in zip(effects, effects[1:]):
        assert earlier in needed[later]
    assert needed[effects[0]] == set()
    for order in every_order(graph):
        assert [op for op in order if op in effects] == effects


def test_operators_with_variable_tensors_or_subgraphs_keep_their_order() -> None:
    #  x -> a, x -> b, each with a state of its own.
    builder = ModelBuilder()
    x, a, b = (builder.main.tensor([1, 2]) for _ in range(3))
    states = [builder.main.tensor([1, 2], is_variable=True) for _ in range(2)]
    builder.main.operator("ADD", [x, states[0]], [a], schema.AddOptionsT())
    builder.main.operator("ADD", [x, states[1]], [b], schema.AddOptionsT())
    builder.main.ends([x], [a, b])
    assert needed_before(Graph.from_bytes(builder.build())) == [set(), {0}]
    loop = sample_models.loop()
    assert needed_before(Graph.from_bytes(loop.build())) == [set(), {0}, {1}]


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1), (1, 2, 3), ()])
def test_order_that_does_not_name_every_operator_once_is_refused(order: tuple[int, ...]) -> None:
    graph = Graph.from_bytes(sample_models.relu_chain(["x", "a", "b", "c"]).build())
    with pytest.raises(OrderError, match="must name each of the 3 operators once"):
        reorder(graph, order)


def test_order_in_which_operators_come_too_early_is_refused() -> None:
    graph = Graph.from_bytes(sample_models.relu_chain(["x", "a", "b", "c"]).build())
    with pytest.raises(OrderError, match=r"operators \[1, 2\] come before"):
        reorder(graph, (2, 1, 0))
