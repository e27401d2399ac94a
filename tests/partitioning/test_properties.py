"""What holds for every graph and every set of cuts, on random ones."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partitioning import Graph, PartitionSpec, extract_partition, list_cuts, plan_partitions
from runtime import Runner
from tests.partitioning.composition import RUNTIME, Frame, compose, differing, run_whole
from tests.partitioning.random_graphs import RandomModel, random_models

# The same examples in every run, so that a failure belongs to the change under test and not to the day.
REPEATABLE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _drawn_cuts(data: Any, graph: Graph) -> list[int]:
    positions = range(1, len(graph.operators))
    return sorted(data.draw(st.sets(st.sampled_from(positions)))) if positions else []


def _inputs(graph: Graph, model: RandomModel) -> Frame:
    return dict(zip(graph.inputs, model.samples))


@REPEATABLE
@given(model=random_models(), data=st.data())
def test_parts_are_disjoint_cover_every_operator_and_pass_on_what_the_next_takes(model: RandomModel, data: Any) -> None:
    graph = Graph.from_bytes(model.data)
    specs = plan_partitions(graph, _drawn_cuts(data, graph))
    assert [i for s in specs for i in range(s.start_op, s.stop_op)] == list(range(len(graph.operators)))
    assert specs[0].arriving == graph.inputs
    assert specs[-1].leaving == tuple(dict.fromkeys(graph.outputs))
    for left, right in zip(specs, specs[1:]):
        assert left.leaving == right.arriving
    for spec in specs:
        assert set(spec.inputs) <= set(spec.arriving)
        assert set(spec.outputs) == set(spec.leaving) - set(spec.arriving)
        made = {t for op in graph.operators[spec.start_op : spec.stop_op] for t in op.outputs}
        read = {t for op in graph.operators[spec.start_op : spec.stop_op] for t in op.inputs}
        assert set(spec.outputs) <= made
        assert read - made == set(spec.inputs)


@REPEATABLE
@given(model=random_models())
def test_a_cut_is_crossed_by_exactly_what_was_made_before_and_is_needed_after(model: RandomModel) -> None:
    graph = Graph.from_bytes(model.data)
    cuts = list_cuts(graph)
    assert [c.cut_index for c in cuts] == list(range(1, len(graph.operators)))
    for cut in cuts:
        before, after = graph.operators[: cut.cut_index], graph.operators[cut.cut_index :]
        made = {*graph.inputs, *(t for op in before for t in op.outputs)}
        needed = {*graph.outputs, *(t for op in after for t in op.inputs)}
        crossing = [t.tensor_index for t in cut.crossing]
        assert set(crossing) == made & needed
        assert len(set(crossing)) == len(crossing)
        assert cut.obstacle is None


@REPEATABLE
@given(model=random_models())
def test_names_are_unique_and_kept_where_they_were(model: RandomModel) -> None:
    graph = Graph.from_bytes(model.data)
    names = [t.name for t in graph.tensors]
    assert len(set(names)) == len(names)
    originals = [t.name.decode() or "tensor" for t in graph.model.subgraphs[0].tensors]
    assert all(name.startswith(original) for name, original in zip(names, originals))
    assert set(originals) <= set(names)


@REPEATABLE
@given(model=random_models(), data=st.data())
def test_the_chain_of_parts_gives_the_whole_models_bytes(model: RandomModel, data: Any) -> None:
    graph = Graph.from_bytes(model.data)
    inputs = _inputs(graph, model)
    expected = run_whole(graph, model.data, inputs)
    assert differing(expected, compose(graph, _drawn_cuts(data, graph), inputs)) == []


@REPEATABLE
@given(model=random_models())
def test_the_chain_of_single_operators_gives_the_whole_models_bytes(model: RandomModel) -> None:
    graph = Graph.from_bytes(model.data)
    inputs = _inputs(graph, model)
    expected = run_whole(graph, model.data, inputs)
    assert differing(expected, compose(graph, range(1, len(graph.operators)), inputs)) == []


@REPEATABLE
@given(model=random_models(), data=st.data())
def test_extraction_repeats_itself_and_reads_back_as_the_same_boundary(model: RandomModel, data: Any) -> None:
    graph = Graph.from_bytes(model.data)
    specs = plan_partitions(graph, _drawn_cuts(data, graph))
    files = [extract_partition(graph, s) for s in specs]
    assert [extract_partition(graph, s) for s in reversed(specs)] == files[::-1]
    assert [extract_partition(Graph.from_bytes(model.data), s) for s in specs] == files
    for spec, file in zip(specs, files):
        _assert_boundary_is_kept(graph, spec, Graph.from_bytes(file))


def _assert_boundary_is_kept(graph: Graph, spec: PartitionSpec, part: Graph) -> None:
    assert [o.kind for o in part.operators] == [o.kind for o in graph.operators[spec.start_op : spec.stop_op]]
    for own, whole in ((part.inputs, spec.inputs), (part.outputs, spec.outputs)):
        assert [_contract(part, t) for t in own] == [_contract(graph, t) for t in whole]


def _contract(graph: Graph, index: int) -> tuple[Any, ...]:
    t = graph.tensors[index]
    return (t.name, t.dtype, t.shape, t.usual_shape, t.scale, t.zero_point)


@REPEATABLE
@given(model=random_models())
def test_a_part_that_is_cut_again_gives_the_whole_models_bytes(model: RandomModel) -> None:
    graph = Graph.from_bytes(model.data)
    inputs = _inputs(graph, model)
    expected = run_whole(graph, model.data, inputs)
    (spec,) = plan_partitions(graph, [])
    part = extract_partition(graph, spec)
    again = Graph.from_bytes(part)
    # Inputs that nothing reads, or that are themselves outputs, stay outside of the part's file.
    values = [inputs[t] for t in spec.inputs]
    direct = dict(zip(spec.outputs, Runner(RUNTIME, part).run(values)))
    assert differing({t: a for t, a in expected.items() if t in spec.outputs}, direct) == []
    recut = compose(again, range(1, len(again.operators)), dict(zip(again.inputs, values)))
    assert differing({t: direct[s] for t, s in zip(again.outputs, spec.outputs)}, recut) == []
