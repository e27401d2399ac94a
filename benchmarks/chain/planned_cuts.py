"""Where the planner cuts a model for so many equal boards: measured on them once, kept under .cache/benchmarks/cuts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.keras_models import DIRECTORY
from bundle import Plan, PlannedChain, PlannedStage
from dispatcher_client import Board
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from planner.board_profiles import ProfileSettings
from planner.boards_plan import FleetMeasurements, Listeners, PlanWishes, measure_fleet, plan_on_boards
from planner.model import PlannerModel
from planner.sources import open_model

_GROUP = "emulated"


@dataclass(frozen=True)
class PlannedCuts:
    """One chain. It may have fewer parts than there were boards, where the planner leaves boards unused.

    `images_per_s` is what the planner predicts; None for the whole model on one board, which it was not asked about.
    """

    cuts: tuple[int, ...]
    images_per_s: float | None

    @property
    def n_boards(self) -> int:
        """How many boards the chain uses."""
        return len(self.cuts) + 1


def kept_cuts(file: Path, n_boards: int, cores: float, link_mbit_s: float) -> PlannedCuts | None:
    """What was planned before for this very file and such boards."""
    path = _place(file, n_boards, cores, link_mbit_s)
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    return PlannedCuts(tuple(kept["cuts"]), kept["images_per_s"])


def keep_cuts(found: PlannedCuts, file: Path, n_boards: int, cores: float, link_mbit_s: float) -> None:
    """Has the next run find it."""
    path = _place(file, n_boards, cores, link_mbit_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(found)))


def plan_cuts(file: Path, boards: Sequence[Board], counts: Sequence[int]) -> dict[int, PlannedCuts]:
    """For each number of boards the chain that the planner chooses on them; minutes. Runs where the dispatcher is.

    The boards are measured once. They are alike, so which of them the planner takes says nothing and is not kept, and what is
    measured on one counts for all.
    """
    alike = tuple(replace(board, group=_GROUP) for board in boards)
    model, inventory = open_model(file), Inventory(alike)
    settings = ProfileSettings()
    measured = run_in_loop(measure_fleet(model, inventory, settings, Listeners()))
    return {n: _plan(model, inventory, settings, measured, n) for n in counts}


def unused_boards(planned: Mapping[int, PlannedCuts]) -> Iterator[str]:
    """For each number of boards of which the planner uses fewer: a sentence."""
    for n_boards, cuts in planned.items():
        if cuts.n_boards < n_boards:
            yield f"the planner leaves {n_boards - cuts.n_boards} of {n_boards} boards unused"


def chain_of(model: str, boards: Sequence[Board], planned: PlannedCuts) -> Plan:
    """The chain on the first boards, in order."""
    return Plan(model, "throughput", (_chain(boards, planned.cuts),))


def replicas_of(model: str, boards: Sequence[Board]) -> Plan:
    """The whole model on every board."""
    return Plan(model, "throughput", tuple(_chain([board], ()) for board in boards))


def _plan(
    model: PlannerModel, inventory: Inventory, settings: ProfileSettings, measured: FleetMeasurements, n_boards: int
) -> PlannedCuts:
    wishes = PlanWishes(max_boards=n_boards, n_chains=1)
    planned = run_in_loop(plan_on_boards(model, inventory, wishes, settings, Listeners(), measured))
    cuts = tuple(cut for cut in planned.plan.chains[0].cuts if isinstance(cut, int))
    return PlannedCuts(cuts, planned.report.rate_per_s)


def _chain(boards: Sequence[Board], cuts: Sequence[int]) -> PlannedChain:
    untils: list[int | None] = [*cuts, None]
    return PlannedChain(tuple(PlannedStage(board.name, until) for board, until in zip(boards, untils)))


def _place(file: Path, n_boards: int, cores: float, link_mbit_s: float) -> Path:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return DIRECTORY / "cuts" / f"{file.stem}-{digest}-{n_boards}x{cores:g}-{link_mbit_s:g}.json"
