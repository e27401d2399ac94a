"""Decides which board serves which partition: by a plan, or in the boards' order."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from bundle import Bundle, BundleSplitting, Plan, PlannedChain
from bundle.plan_file import read_plan, render_segment
from bundle.splitting import planned_segments
from dispatcher_client.errors import PlacementError
from fleet.inventory import Board

_log = logging.getLogger(__name__)
_SPLIT_WITH_IT = "python -m converter split MODEL --plan FILE"

# Where a model is cut, and how many boards serve each stage.
_Form = tuple[tuple[int, ...], tuple[int, ...]]
PlanSource = Union[str, "os.PathLike[str]", Plan]


@dataclass(frozen=True)
class StagePlacement:
    """Which board serves which partition of a chain's splitting."""

    chain_index: int
    stage_index: int
    board: Board


@dataclass(frozen=True)
class ChainPlacement:
    """A chain: the splitting that it serves, and a stage for each of its partitions, in order."""

    splitting: BundleSplitting
    stages: tuple[StagePlacement, ...]

    @classmethod
    def on(cls, splitting: BundleSplitting, chain_index: int, boards: Sequence[Board]) -> ChainPlacement:
        """Each partition on its board, in order."""
        stages = tuple(StagePlacement(chain_index, index, board) for index, board in enumerate(boards))
        return cls(splitting, stages)

    @property
    def route(self) -> str:
        """The boards for people: `pi1 -> pi2`, `pi1 + pi2 -> pi3` where two share a stage."""
        return " -> ".join(" + ".join(stage.board.name for stage in group) for group in self.groups)

    @property
    def groups(self) -> list[list[StagePlacement]]:
        """The stages, those of one group together; its leader comes first."""
        found: list[list[StagePlacement]] = []
        for partition, stage in zip(self.splitting.partitions, self.stages):
            if partition.share.member:
                found[-1].append(stage)
            else:
                found.append([stage])
        return found


def place_chains(bundle: Bundle, boards: Sequence[Board], plan: PlanSource | None = None) -> tuple[ChainPlacement, ...]:
    """By `plan`; without one by the bundle's own plan, if all its boards are there; else in order, as one chain.

    Raises: PlanError: the plan cannot be read. PlacementError: it does not fit bundle and boards, or without one there are
        fewer boards than partitions.
    """
    if plan is not None:
        return _place_by_plan(bundle, boards, plan if isinstance(plan, Plan) else read_plan(plan))
    own = bundle.plan()
    if own is None:
        return (place_in_order(bundle, boards),)
    missing = _missing_boards(own, boards)
    if not missing:
        return _place_by_plan(bundle, boards, own)
    in_order = place_in_order(bundle, boards)
    _log.warning(
        "the plan in %s needs %s, not among the boards given (%s); its first splitting is placed in their order: %s",
        bundle.path,
        ", ".join(missing),
        _names(boards),
        in_order.route,
    )
    return (in_order,)


def place_in_order(bundle: Bundle, boards: Sequence[Board]) -> ChainPlacement:
    """Partition k of the first splitting on board k; further boards are not used.

    Raises: PlacementError: fewer boards than partitions.
    """
    splitting = bundle.splittings[0]
    n_partitions = len(splitting.partitions)
    if len(boards) < n_partitions:
        raise PlacementError(
            f"{bundle.path} has {n_partitions} partitions and there are {len(boards)} boards. Add boards, name one twice "
            f"to hold several partitions, or split with --parts {len(boards)}."
        )
    return ChainPlacement.on(splitting, 0, boards[:n_partitions])


def _place_by_plan(bundle: Bundle, boards: Sequence[Board], plan: Plan) -> tuple[ChainPlacement, ...]:
    problems = list(_misfits(bundle, boards, plan))
    if problems:
        raise PlacementError("the plan does not fit:\n  " + "\n  ".join(problems))
    by_name = {board.name: board for board in boards}
    by_form = _by_form(bundle)
    return tuple(
        ChainPlacement.on(by_form[_wanted(chain)], index, [by_name[b] for stage in chain.stages for b in stage.boards])
        for index, chain in enumerate(plan.chains)
    )


def _misfits(bundle: Bundle, boards: Sequence[Board], plan: Plan) -> Iterator[str]:
    """Everything in a plan that this bundle or these boards do not have."""
    if plan.model != bundle.manifest.model_name:
        yield f"it is for the model {plan.model}, {bundle.path} holds {bundle.manifest.model_name}. Give the plan's bundle."
    missing = _missing_boards(plan, boards)
    if missing:
        yield f"{', '.join(missing)} is not among the boards given ({_names(boards)}). Add it to boards.yaml, or plan anew."
    by_form = _by_form(bundle)
    for index, chain in enumerate(plan.chains):
        names = [cut for cut in chain.cuts if isinstance(cut, str)]
        if names:
            yield (
                f"chain {index} is cut at {', '.join(names)}: what that means only the converter knows. Split with the plan, "
                f"which writes cut indices into the bundle's: {_SPLIT_WITH_IT}"
            )
        elif _wanted(chain) not in by_form:
            have = ", or ".join(_words(*form) for form in sorted(by_form))
            yield (
                f"chain {index} is cut {_words(*_wanted(chain))}, but the splittings of {bundle.path} are cut {have}. Split "
                f"with the plan: {_SPLIT_WITH_IT}"
            )
        else:
            yield from _other_shares(by_form[_wanted(chain)], chain, index)


def _other_shares(splitting: BundleSplitting, chain: PlannedChain, chain_index: int) -> Iterator[str]:
    """Stages whose boards would compute other shares than the plan says: these are part of the bundle."""
    for leader, stage in splitting.other_shares(chain):
        planned, have = ("; ".join(map(render_segment, s)) for s in (stage.segments, planned_segments(leader)))
        yield (
            f"chain {chain_index} has {' + '.join(stage.boards)} share operators {leader.start_op} to {leader.stop_op} as "
            f"{planned}, but the bundle's parts are made for {have}. Split with the plan, or take its segments from the "
            f"bundle's: {_SPLIT_WITH_IT}"
        )


def _by_form(bundle: Bundle) -> dict[_Form, BundleSplitting]:
    return {_form(splitting): splitting for splitting in bundle.splittings}


def _form(splitting: BundleSplitting) -> _Form:
    return splitting.cut_indices, splitting.group_sizes


def _wanted(chain: PlannedChain) -> _Form:
    return tuple(cut for cut in chain.cuts if isinstance(cut, int)), chain.group_sizes


def _missing_boards(plan: Plan, boards: Sequence[Board]) -> list[str]:
    return sorted(set(plan.board_names) - {board.name for board in boards})


def _names(boards: Sequence[Board]) -> str:
    return ", ".join(board.name for board in boards)


def _words(cuts: Sequence[int], sizes: Sequence[int]) -> str:
    cut = f"at {', '.join(map(str, cuts))}" if cuts else "nowhere"
    return cut if max(sizes) == 1 else f"{cut} for groups of {', '.join(map(str, sizes))} boards"
