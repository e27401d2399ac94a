"""Chosen stages are measured whole on real boards until plan and measurement agree; memory is a limit that holds."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.plan import Plan
from examples.local_boards import LocalBoards
from fleet.errors import BoardError
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.planning import InfeasiblePlanError, Wishes
from planner import revision
from planner.boards_plan import FleetMeasurements, Listeners, PlanWishes, measure_fleet
from planner.chain_trial import try_chains
from planner.model import PlannerModel
from planner.revision import plan_and_revise
from protos.v1.control_plane_pb2 import Profile
from tests.planner.on_boards import BRIEF, LAYERS, MIB, SETTINGS, known_for, limited, plan, trials_on

# Of the dense model: what a layer keeps, and what a partition keeps whatever is in it (some 2 MiB) with room to spare.
_LAYER = 4 * MIB
_ROOM = 3.2 * MIB


def n_stages(found: Plan) -> list[int]:
    return [len(chain.stages) for chain in found.chains]


def test_stages_of_a_plan_are_measured_whole_and_in_service(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    inventory = Inventory(tuple(boards.named))
    known = known_for(inventory, measured)
    found = run_in_loop(plan_and_revise(dense, known.records, known.links, Wishes(n_chains=1), SETTINGS))
    (chain,) = found.planned.chains
    for board, start, stop in zip(chain.boards, chain.positions[:-1], chain.positions[1:]):
        whole = found.costs.boards[board].measured[start, stop]
        assert whole.service_cpu_s is not None
    assert 1 <= found.rounds <= 3
    assert found.repeat_error <= 0.05 if found.agrees else found.rounds == 3
    assert all(trials_on(board) == [] for board in boards.named)


@pytest.mark.parametrize(("layers", "parts"), [(LAYERS, 1), (LAYERS - 1, 2), (2, 2)])
def test_memory_limit_decides_on_the_least_number_of_parts(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements, layers: int, parts: int
) -> None:
    limit = layers * _LAYER + _ROOM
    found = plan(dense, limited(boards.named, limit), measured, PlanWishes(n_chains=1, max_boards=parts))
    assert n_stages(found.plan) == [parts]
    for stage in found.report.chains[0].stages:
        assert stage.memory_bytes <= stage.memory_limit_bytes == int(limit)


def test_unequal_limits_force_three_parts(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    one, two, three = limited(boards.named, _LAYER + _ROOM).boards
    roomy = replace(two, memory_bytes=int(2 * _LAYER + _ROOM))
    found = plan(dense, Inventory((one, roomy, three)), measured)
    assert n_stages(found.plan) == [3]
    (middle,) = [s for s in found.report.chains[0].stages if s.board == two.name]
    assert middle.memory_bytes > _LAYER + _ROOM
    assert "no plan fits" in str(found.report.alternatives) or found.report.alternatives[0].rate_per_s is None


def test_infeasible_plan_names_changes_that_are_enough(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    """Two boards for two layers; the model has four."""
    inventory = limited(boards.named[:2], _LAYER + _ROOM)
    with pytest.raises(InfeasiblePlanError) as caught:
        plan(dense, inventory, measured)
    advice = re.search(
        r"It would fit with (\d+) MiB more on (\w+) \((\d+) MiB in all\) or with (\d) more boards like (\w+)\.",
        str(caught.value),
    )
    assert advice, caught.value
    added, name, in_all, count, like = advice.groups()
    assert 0 <= int(added) * MIB - (int(in_all) * MIB - (_LAYER + _ROOM)) < MIB
    assert (count, like) == ("2", "board1")
    assert "--quantize int8" in str(caught.value)

    roomier = [replace(b, memory_bytes=int(in_all) * MIB) if b.name == name else b for b in inventory.boards]
    assert n_stages(plan(dense, Inventory(tuple(roomier)), measured).plan) == [2]


def test_infeasible_plan_is_feasible_with_the_boards_that_it_asks_for(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    """Two boards of two layers each are enough; one is not."""
    limit = 2 * _LAYER + _ROOM
    with pytest.raises(InfeasiblePlanError, match=r"or with 1 more board like board2\."):
        plan(dense, limited(boards.named[1:2], limit), measured)
    assert n_stages(plan(dense, limited(boards.named[1:], limit), measured).plan) == [2]


def test_piece_that_fits_no_board_is_named(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    with pytest.raises(InfeasiblePlanError) as caught:
        plan(dense, limited(boards.named, 3 * MIB), measured)
    assert re.search(
        r"Operators 1 to 1 cannot be divided and fit no board: they need [456]\.\d MiB, \w+ has 3\.0\.",
        str(caught.value),
    )
    assert "more board" not in str(caught.value)


def test_stage_that_proves_too_big_is_left_out_and_another_is_found(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    """The pieces seem to keep next to nothing, so that the whole model seems to fit one board."""
    limit = 2 * _LAYER + _ROOM
    known = known_for(limited(boards.named[:2], limit), measured)
    for record in known.records.values():
        for ops, profile in record.profiles.items():
            record.profiles[ops] = Profile()
            record.profiles[ops].CopyFrom(profile)
            record.profiles[ops].resident_bytes = 2 * MIB
    found = run_in_loop(plan_and_revise(dense, known.records, known.links, Wishes(), SETTINGS))
    (chain,) = found.planned.chains
    assert chain.positions == (0, 3, 5)
    tried = {ops for record in known.records.values() for ops in record.in_service}
    assert (0, 5) not in tried, "what does not fit was put into service"
    assert found.estimate_error < float("inf")


@pytest.mark.parametrize(
    "wishes", [PlanWishes(max_boards=1), PlanWishes(cuts=[1]), PlanWishes(n_chains=2), PlanWishes(pins={2: "board1"})]
)
def test_wish_that_stands_in_the_way_is_not_taken_for_lack_of_memory(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements, wishes: PlanWishes
) -> None:
    """Two boards of two layers each hold the model, cut in the middle."""
    limit = 2 * _LAYER + _ROOM
    inventory = limited(boards.named, limit)
    if wishes.pins:  # three parts, the last on a board that holds next to nothing
        small = replace(inventory.boards[0], memory_bytes=4 * MIB)
        inventory = Inventory((small, *inventory.boards[1:]))
    with pytest.raises(InfeasiblePlanError) as caught:
        plan(dense, inventory, measured, wishes)
    assert "Without the wished cuts, pins and numbers of boards and chains it fits." in str(caught.value)


def test_advice_says_that_it_was_not_tried_with_the_wishes(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    with pytest.raises(InfeasiblePlanError, match="if cuts, pins and the numbers of boards and chains are left open"):
        plan(dense, limited(boards.named, 5 * MIB), measured, PlanWishes(max_boards=1))


def test_plan_is_of_measured_stages_alone_when_measurements_do_not_agree(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise cannot be made to order: here one round must do, in which nothing is measured twice."""
    monkeypatch.setattr(revision, "_MAX_ROUNDS", 1)
    inventory = Inventory(tuple(boards.named))
    known = known_for(inventory, measured)
    # What was measured for other cuts is left alone.
    known.records["board1"].profiles[0, 2] = known.records["board1"].profiles[0, 1]
    coarse = PlannerModel(dense.name, dense.graph, (0, 1, 3, 4, 5))
    known.records["board1"].profiles[1, 3] = known.records["board1"].profiles[1, 2]
    for name in ("board2", "board3"):
        known.records[name].profiles[1, 3] = known.records[name].profiles[1, 2]
    found = run_in_loop(plan_and_revise(coarse, known.records, known.links, Wishes(n_chains=1), SETTINGS))
    assert (found.agrees, found.rounds) == (False, 1)
    (chain,) = found.planned.chains
    for board, start, stop in zip(chain.boards, chain.positions[:-1], chain.positions[1:]):
        assert (coarse.positions[start], coarse.positions[stop]) in found.costs.boards[board].measured
    # What it is compared with need not be measured.
    assert found.planned.other_number is not None
    assert len(found.planned.other_number.chains) > 1


def test_board_that_dies_during_the_trials_is_named_and_the_others_are_unloaded(
    dense: PlannerModel, store_root: Path
) -> None:
    with LocalBoards(2, store_root) as running:
        inventory = Inventory(tuple(running.named))
        known = run_in_loop(measure_fleet(dense, inventory, SETTINGS, Listeners(), BRIEF))
        killer = threading.Thread(target=_kill_once_both_serve, args=(running,))
        killer.start()
        chains = [[(board.name, (0, 3))] for board in running.named] * 50  # a trial ends after some frames
        begin_s = time.monotonic()
        with pytest.raises(BoardError) as caught:
            run_in_loop(try_chains(dense, chains, known.records, replace(SETTINGS, budget_s=60)))
        killer.join()
        assert caught.value.board == "board1"
        assert time.monotonic() - begin_s < 30
        assert trials_on(running.named[1]) == []


def _kill_once_both_serve(running: LocalBoards) -> None:
    deadline_s = time.monotonic() + 30
    while not all(map(trials_on, running.named)) and time.monotonic() < deadline_s:
        pass
    running.boards[0].process.kill()
