"""From measurements to costs: sums, whole partitions, groups, memory, and what is noted aloud."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning import Graph
from partitioning.planning import build_problem, group_boards
from planner.costs import assemble_costs
from planner.model import PlannerModel
from tests.partitioning import sample_models
from tests.planner.made_up import MIB, links, profile, record


@pytest.fixture
def model() -> PlannerModel:
    """Four operators, a cut between any two."""
    graph = Graph.from_bytes(sample_models.relu_chain(["a", "b", "c", "d", "e"]).build())
    return PlannerModel("chain", graph, (0, 1, 2, 3, 4))


def test_pieces_add_up_and_a_partition_measured_whole_replaces_their_sum(model: PlannerModel) -> None:
    costs = assemble_costs(model, {"pi": record("pi", model, 0.01, whole={(0, 3): 0.024})}, links(["pi"]))
    stage_s = build_problem(costs.model, costs.boards, costs.links).stage_s[0]
    assert stage_s[0, 3] == pytest.approx(0.024)
    # What was not measured whole is brought to the level of what was: 24 ms for pieces that add up to 30.
    assert stage_s[0, 4] == pytest.approx(0.032)
    assert costs.boards[0].measured.keys() == {(0, 3)}


def test_boards_of_a_group_count_as_one_kind_with_the_median(model: PlannerModel) -> None:
    records = {n: record(n, model, s, group="pi4") for n, s in (("a", 0.0100), ("b", 0.0104), ("c", 0.0098))}
    costs = assemble_costs(model, records, links("abc", a_b=780.0))
    assert [float(b.op_s[0]) for b in costs.boards] == [0.0100] * 3
    problem = build_problem(costs.model, costs.boards, costs.links)
    assert group_boards(problem) == [[0, 1, 2]]
    assert costs.notes == ()


def test_boards_that_name_no_group_stay_as_they_are(model: PlannerModel) -> None:
    records = {n: record(n, model, s) for n, s in (("a", 0.0100), ("b", 0.0101))}
    costs = assemble_costs(model, records, links("ab"))
    assert [float(b.op_s[0]) for b in costs.boards] == [0.0100, 0.0101]


def test_board_that_does_not_fit_its_group_is_planned_as_it_is_and_named(model: PlannerModel) -> None:
    records = {n: record(n, model, s, group="pi4") for n, s in (("a", 0.01), ("b", 0.01), ("c", 0.015))}
    costs = assemble_costs(model, records, links("abc"))
    assert [float(b.op_s[0]) for b in costs.boards] == [0.01, 0.01, 0.015]
    assert "board c takes 50% more time than its group pi4" in costs.notes[0]


def test_link_that_differs_from_its_groups_links_stays_as_it_is(model: PlannerModel) -> None:
    records = {n: record(n, model, 0.01, group="pi4") for n in "abc"}
    costs = assemble_costs(model, records, links("abc", a_b=100.0))
    assert costs.links.bytes_per_s[0, 1] == pytest.approx(12.5e6)
    assert costs.links.bytes_per_s[0, 2] == pytest.approx(100e6)


def test_memory_is_the_limit_written_or_most_of_what_is_free(model: PlannerModel) -> None:
    records = {
        "a": record("a", model, 0.01, memory_bytes=64 * MIB),
        "b": record("b", model, 0.01, free_bytes=100 * MIB),
        "c": record("c", model, 0.01, free_bytes=300 * MIB, group="g"),
        "d": record("d", model, 0.01, free_bytes=200 * MIB, group="g"),
    }
    costs = assemble_costs(model, records, links("abcd"))
    assert [b.memory_bytes / MIB for b in costs.boards] == pytest.approx([64, 90, 180, 180])


def test_processor_time_is_what_the_runs_got_where_they_take_all_there_is(model: PlannerModel) -> None:
    records = {"a": record("a", model, 0.01, cores=0.2), "b": record("b", model, 0.01, cores=4.0)}
    for piece in model.pieces:
        records["a"].profiles[piece] = profile(0.01, cpu_s=0.0019)
    costs = assemble_costs(model, records, links("ab"))
    assert [b.cores for b in costs.boards] == pytest.approx([0.19, 4.0])


def test_joules_count_only_where_every_piece_has_them(model: PlannerModel) -> None:
    records = {"a": record("a", model, 0.01, joules=0.5), "b": record("b", model, 0.01)}
    costs = assemble_costs(model, records, links("ab"))
    assert costs.boards[0].op_joules is not None
    np.testing.assert_allclose(costs.boards[0].op_joules, 0.5)
    assert costs.boards[1].op_joules is None


def test_flagged_measurements_are_noted_once_per_board_and_kind(model: PlannerModel) -> None:
    made = record("a", model, 0.01)
    for piece in model.pieces[:3]:
        made.profiles[piece] = profile(0.01, flags=["noisy: 9 % where 2 % were asked for", "busy: 3 frames"])
    notes = assemble_costs(model, {"a": made}, links("a")).notes
    assert len(notes) == 2
    assert "3 of 4 measurements are noisy" in notes[0]
    assert "9 %" in notes[0]
