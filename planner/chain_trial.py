"""A planned chain in service for a moment: real frames through all its boards, and the processor time each stage takes in all.

A partition's run and the moving of frames, each measured alone, do not add up to a stage: threads hand over to one another,
frames push weights out of the caches, answers of the boards behind pass through. On a board without a core to spare that
decides its rate. All stages are tried in one run, so what disturbs one disturbs the others, and their balance holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleet.together import together
from partitioning.planning import Chain
from planner.board_profiles import BoardRecord, ProfileSettings, ServiceCost
from planner.model import PlannerModel, Range
from planner.service_trial import ServedStage, serve_for_a_moment

# Beyond one frame in each stage, so that the slowest one always has work.
_MORE_IN_FLIGHT = 2

# Board, and the operators that it gets.
TriedStage = tuple[str, Range]


def stages_of(model: PlannerModel, names: Sequence[str], chain: Chain) -> list[TriedStage]:
    """A planned chain's stages, in order. Args: names: of the boards, by their index in the chain."""
    ranges = zip(chain.positions[:-1], chain.positions[1:])
    return [
        (names[board], (model.positions[start], model.positions[stop]))
        for board, (start, stop) in zip(chain.boards, ranges)
    ]


async def try_chains(
    model: PlannerModel,
    chains: Sequence[Sequence[TriedStage]],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
) -> None:
    """Adds to the boards' records what each stage costs in service; all chains run at once.

    Raises: BoardError, ProbeError; nothing stays loaded then.
    """
    found = await together(try_chain(model, stages, records, settings) for stages in chains)
    for stages, costs in zip(chains, found):
        for (name, ops), cost in zip(stages, costs):
            records[name].in_service.setdefault(ops, []).append(cost)


async def try_chain(
    model: PlannerModel, stages: Sequence[TriedStage], records: Mapping[str, BoardRecord], settings: ProfileSettings
) -> list[ServiceCost]:
    """What each stage costs a frame with the chain in service, in order.

    Raises: as of `serve_for_a_moment`.
    """
    served = [ServedStage.of_segment(model.graph, model.segment(ops), records[name].board) for name, ops in stages]
    found = await serve_for_a_moment(served, model.runtime_floor, len(served) + _MORE_IN_FLIGHT, settings)
    return [ServiceCost(cpu_s, invoke_s) for cpu_s, invoke_s in zip(found.cpu_s, found.invoke_cpu_s)]
