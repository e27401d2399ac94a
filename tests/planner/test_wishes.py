"""Wishes that no plan for these boards can meet are refused before anything is measured, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fleet.inventory import Board, Inventory
from partitioning import Graph
from partitioning.planning import Objective, PlanningError, Wishes
from planner.errors import WishError
from planner.model import PlannerModel
from planner.wishes import OBJECTIVES, GroupWish, PlanWishes, require_cuts, require_sensors, resolve_wishes
from tests.partitioning import sample_models
from tests.planner.made_up import record
from transport.address import Address

BOARDS = Inventory(tuple(Board(f"pi{i}", Address("h", i)) for i in (1, 2, 3)))


def test_boards_become_indices() -> None:
    wishes = PlanWishes("throughput", 2, {1: "pi3", 0: "pi1"}, None, 1)
    assert resolve_wishes(wishes, BOARDS) == Wishes(Objective.THROUGHPUT, 2, {1: 2, 0: 0}, 1)
    assert OBJECTIVES == ("throughput", "latency", "energy")


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        (PlanWishes(pins={0: "pi4", 1: "pi9"}), "parts are pinned to pi4, pi9; the boards are pi1, pi2, pi3."),
        (
            PlanWishes(pins={0: "pi2", 2: "pi2"}),
            "parts 0, 2 are all pinned to pi2. Pin each part to a board of its own.",
        ),
        (PlanWishes(pins={3: "pi2"}), "3=pi2 cannot be met: there are 3 parts at most, which count from 0."),
        (PlanWishes(pins={2: "pi2"}, max_boards=2), "2=pi2 cannot be met: there are 2 parts at most"),
        (PlanWishes(pins={1: "pi2"}, cuts=[]), "1=pi2 cannot be met: there are 1 parts at most"),
        (PlanWishes(cuts=[3, 5, 9]), "4 parts need 4 boards, and 3 boards may be used. Ask for less, or add boards."),
        (PlanWishes(cuts=[3, 5], max_boards=2), "3 parts need 3 boards, and 2 of the 3 boards may be used."),
        (PlanWishes(n_chains=4), "4 chains need 4 boards, and 3 boards may be used."),
        (PlanWishes(n_chains=2, cuts=[3]), "2 chains of 2 parts need 4 boards, and 3 boards may be used."),
        (
            PlanWishes(groups=GroupWish(2, 2)),
            "2 stages of groups of 2 boards need 4 boards, and 3 boards may be used. Ask for less, or add boards.",
        ),
        (PlanWishes(groups=GroupWish(4)), "4 stages need 4 boards, and 3 boards may be used."),
        (
            PlanWishes("latency", 2, groups=GroupWish(None, 3)),
            "groups of 3 boards need 3 boards, and 2 of the 3 boards may be used.",
        ),
        (PlanWishes("energy", groups=GroupWish()), "planned for throughput or latency, not for energy. Ask for one of"),
        (
            PlanWishes(pins={0: "pi1"}, cuts=[3], groups=GroupWish(2)),
            "cuts and pins cannot be wished together with groups of boards",
        ),
        (PlanWishes(n_chains=1, groups=GroupWish()), "a number of chains cannot be wished together with groups"),
    ],
)
def test_wish_that_cannot_be_met_is_refused(wishes: PlanWishes, says: str) -> None:
    with pytest.raises(WishError) as caught:
        resolve_wishes(wishes, BOARDS)
    assert says in str(caught.value)


def test_all_faults_are_named() -> None:
    with pytest.raises(WishError, match=r"pinned to pi7.*\n.*4 chains need 4 boards"):
        resolve_wishes(PlanWishes(pins={0: "pi7"}, n_chains=4), BOARDS)


@pytest.mark.parametrize(
    "wishes",
    [
        PlanWishes(cuts=[3, 5]),
        PlanWishes(n_chains=3, cuts=[]),
        PlanWishes(max_boards=1),
        PlanWishes(pins={2: "pi1"}),
        PlanWishes(max_boards=7),
        PlanWishes(groups=GroupWish(3, 1)),
        PlanWishes("latency", groups=GroupWish(1, 3)),
    ],
)
def test_wish_that_just_can_be_met_is_left_to_the_search(wishes: PlanWishes) -> None:
    resolve_wishes(wishes, BOARDS)


def test_several_chains_are_for_throughput_without_pins() -> None:
    wrong: list[PlanWishes] = [PlanWishes("latency", n_chains=2), PlanWishes(pins={0: "pi1"}, n_chains=2)]
    for wishes in wrong:
        with pytest.raises(PlanningError, match="for throughput only"):
            resolve_wishes(wishes, BOARDS)


@pytest.mark.parametrize(
    ("names", "says"),
    [("aab", "a is named twice"), ("abab", "a, b are named twice: a plan gives each board one stage")],
)
def test_board_named_twice_is_refused(names: str, says: str) -> None:
    inventory = Inventory(tuple(Board(name, Address("h", 1)) for name in names))
    with pytest.raises(WishError, match=says):
        resolve_wishes(PlanWishes(), inventory)


@pytest.mark.parametrize(
    ("joules", "says"),
    [
        ({"a": None, "b": 0.5}, "energy cannot be planned for: a has no energy sensor"),
        ({"b": None, "a": None}, "energy cannot be planned for: a, b have no energy sensor"),
    ],
)
def test_energy_without_sensors_is_refused_naming_the_boards(joules: Mapping[str, float | None], says: str) -> None:
    model = PlannerModel("m", Graph.from_bytes(sample_models.relu_chain(["x", "y", "z"]).build()), (0, 1, 2))
    records = {name: record(name, model, 0.01, joules=j) for name, j in joules.items()}
    with pytest.raises(WishError, match=says):
        require_sensors(PlanWishes("energy"), records)
    require_sensors(PlanWishes("latency"), records)


def test_energy_is_planned_where_every_board_has_a_sensor() -> None:
    model = PlannerModel("m", Graph.from_bytes(sample_models.relu_chain(["x", "y", "z"]).build()), (0, 1, 2))
    require_sensors(PlanWishes("energy"), {n: record(n, model, 0.01, joules=0.5) for n in "ab"})


def test_more_stages_than_places_to_cut_are_refused_with_the_places() -> None:
    model = PlannerModel("m", Graph.from_bytes(sample_models.relu_chain(["w", "x", "y", "z"]).build()), (0, 1, 2, 3))
    require_cuts(PlanWishes(groups=GroupWish(3)), model)
    require_cuts(PlanWishes(groups=GroupWish()), model)
    require_cuts(PlanWishes(), model)
    with pytest.raises(WishError, match=r"4 stages need 3 cuts, and m has 2 .*: 1, 2. Ask for 3 stages at most"):
        require_cuts(PlanWishes(groups=GroupWish(4)), model)
