"""What a user wants of a plan, and whether it makes sense for these boards: said before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fleet.inventory import Inventory
from partitioning.planning import Objective, Wishes
from planner.board_profiles import BoardRecord
from planner.errors import WishError
from planner.model import PlannerModel

OBJECTIVES = tuple(objective.value for objective in Objective)


@dataclass(frozen=True)
class GroupWish:
    """A chain of so many stages, each done by a group of so many neighbouring boards; None for what is best."""

    n_stages: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class PlanWishes:
    """What a user wants of a plan, in the user's words.

    Attributes:
        pins: part of the chain, from 0 -> name of the board that computes it.
        cuts: exactly these cut indices; None leaves them to the planner.
        n_chains: how many chains side by side; None for the best number.
        groups: boards may share the stages of a chain; None: only what `planner.sharing.may_share` says.
    """

    objective: str = "throughput"
    max_boards: int | None = None
    pins: Mapping[int, str] = field(default_factory=dict)
    cuts: Sequence[int] | None = None
    n_chains: int | None = None
    groups: GroupWish | None = None


def resolve_wishes(wishes: PlanWishes, inventory: Inventory) -> Wishes:
    """The wishes with boards as indices.

    Raises: WishError: boards named twice, or wishes that no plan for these boards can meet; all of them. PlanningError: wishes
        that exclude one another.
    """
    require_distinct(inventory)
    names = [board.name for board in inventory.boards]
    faults = [*_wrong_pins(wishes, names), *_too_few_boards(wishes, names), *_wrong_groups(wishes)]
    if faults:
        raise WishError("\n".join(faults))
    pins = {part: names.index(name) for part, name in wishes.pins.items()}
    return Wishes(Objective(wishes.objective), wishes.max_boards, pins, wishes.n_chains)


def require_cuts(wishes: PlanWishes, model: PlannerModel) -> None:
    """Raises WishError if a chain of groups is to have more stages than the model has places for."""
    places = model.positions[1:-1]
    n_stages = 1 if wishes.groups is None or wishes.groups.n_stages is None else wishes.groups.n_stages
    if n_stages > len(places) + 1:
        raise WishError(
            f"{n_stages} stages need {n_stages - 1} cuts, and {model.name} has {len(places)} that are worth making: "
            f"{', '.join(map(str, places)) or 'none'}. Ask for {len(places) + 1} stages at most."
        )


def require_distinct(inventory: Inventory) -> None:
    """Raises WishError if a board is named twice, as a list of addresses may do."""
    names = [board.name for board in inventory.boards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WishError(
            f"{', '.join(twice)} {'is' if len(twice) == 1 else 'are'} named twice: a plan gives each board one stage at most. "
            "Name each once."
        )


def require_sensors(wishes: PlanWishes, records: Mapping[str, BoardRecord]) -> None:
    """Raises WishError if energy is to be saved and a board cannot measure any."""
    without = [n for n, r in records.items() if not all(p.HasField("run_j") for p in r.profiles.values())]
    if wishes.objective == Objective.ENERGY.value and without:
        raise WishError(
            f"energy cannot be planned for: {', '.join(sorted(without))} {'has' if len(without) == 1 else 'have'} no energy "
            "sensor that the service can read. Plan for throughput or latency, or leave these boards out of boards.yaml."
        )


def _wrong_pins(wishes: PlanWishes, names: Sequence[str]) -> Iterator[str]:
    unknown = sorted(set(wishes.pins.values()) - set(names))
    if unknown:
        yield f"parts are pinned to {', '.join(unknown)}; the boards are {', '.join(names)}."
    for board in dict.fromkeys(wishes.pins.values()):
        parts = [str(part) for part, pinned in sorted(wishes.pins.items()) if pinned == board]
        if len(parts) > 1:
            yield f"parts {', '.join(parts)} are all pinned to {board}. Pin each part to a board of its own."
    most = _most_parts(wishes, names)
    beyond = [f"{part}={board}" for part, board in sorted(wishes.pins.items()) if part >= most]
    if beyond:
        yield f"{', '.join(beyond)} cannot be met: there are {most} parts at most, which count from 0."


def _most_parts(wishes: PlanWishes, names: Sequence[str]) -> int:
    limits = [len(names), wishes.max_boards, None if wishes.cuts is None else len(wishes.cuts) + 1]
    return min(limit for limit in limits if limit is not None)


def _too_few_boards(wishes: PlanWishes, names: Sequence[str]) -> Iterator[str]:
    groups = wishes.groups or GroupWish()
    parts = groups.n_stages or (1 if wishes.cuts is None else len(wishes.cuts) + 1)
    chains, size = wishes.n_chains or 1, groups.size or 1
    most = min(len(names), wishes.max_boards or len(names))
    if chains * parts * size <= most:
        return
    what = " of ".join(
        [
            *([f"{chains} chains"] if chains > 1 else []),
            *([f"{parts} {'parts' if wishes.groups is None else 'stages'}"] if parts > 1 else []),
            *([f"groups of {size} boards"] if size > 1 else []),
        ]
    )
    limit = f"{len(names)} boards" if most == len(names) else f"{most} of the {len(names)} boards"
    yield f"{what} need {chains * parts * size} boards, and {limit} may be used. Ask for less, or add boards."


def _wrong_groups(wishes: PlanWishes) -> Iterator[str]:
    if wishes.groups is None:
        return
    if wishes.objective == Objective.ENERGY.value:
        yield "groups of boards are planned for throughput or latency, not for energy. Ask for one of these, or for no groups."
    others = {
        "cuts": wishes.cuts is not None,
        "pins": bool(wishes.pins),
        "a number of chains": wishes.n_chains is not None,
    }
    clashing = [name for name, is_given in others.items() if is_given]
    if clashing:
        yield (
            f"{' and '.join(clashing)} cannot be wished together with groups of boards, for which the planner chooses cuts and "
            "boards in one chain. Drop one or the other."
        )
