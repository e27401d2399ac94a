"""Chains for when a board of a group is gone: the same cuts, and the group one board smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bundle.plan import PlannedChain, PlannedSegment, PlannedStage


def smaller_groups(chain: PlannedChain) -> Iterator[PlannedChain]:
    """A chain for each group of this one, in which it has a board less, and the others are as they were."""
    for index, stage in enumerate(chain.stages):
        if stage.shared_with:
            stages = (*chain.stages[:index], _with_a_board_less(stage), *chain.stages[index + 1 :])
            yield replace(chain, stages=stages)


def _with_a_board_less(stage: PlannedStage) -> PlannedStage:
    """Without the one that has least to do, but never without the leader: what it did the others share in proportion."""
    if len(stage.shared_with) == 1 or not stage.segments:
        return replace(stage, shared_with=stage.shared_with[:-1], segments=())
    totals = [sum(of_board) for of_board in zip(*(segment.proportions for segment in stage.segments))]
    least = min(range(1, len(totals)), key=totals.__getitem__)
    others = tuple(board for place, board in enumerate(stage.boards) if place not in (0, least))
    return replace(stage, shared_with=others, segments=tuple(_without(segment, least) for segment in stage.segments))


def _without(segment: PlannedSegment, place: int) -> PlannedSegment:
    shares = segment.shares[:place] + segment.shares[place + 1 :]
    if not any(shares):
        shares = (1.0, *shares[1:])
    is_alone = sum(share > 0 for share in shares) == 1
    return replace(segment, by="" if is_alone else segment.by, shares=shares)
