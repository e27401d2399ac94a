"""Measurements that several modules' tests start from."""

from __future__ import annotations

import pytest

from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from planner import revision
from planner.boards_plan import FleetMeasurements, Listeners, measure_fleet
from planner.model import PlannerModel
from tests.planner.on_boards import BRIEF, SETTINGS, dense_model


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that tests run on is noisy, and whether it agrees with itself is not what they ask."""
    monkeypatch.setattr(revision, "_MAX_ROUNDS", 3)


@pytest.fixture(scope="session")
def dense() -> PlannerModel:
    return dense_model()


@pytest.fixture(scope="session")
def measured(dense: PlannerModel, boards: LocalBoards) -> FleetMeasurements:
    """The dense model on the three boards; not to be changed, see `known_for`."""
    return run_in_loop(measure_fleet(dense, Inventory(tuple(boards.named)), SETTINGS, Listeners(), BRIEF))
