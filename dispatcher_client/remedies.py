"""Which boards serve a chain when some of its own are gone: spares first, else the boards that are left take more stages, or share
a stage among fewer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bundle import BundleSplitting
from bundle.partition_files import partition_bytes, partition_s
from dispatcher_client.placement import ChainPlacement, StagePlacement
from fleet.inventory import Board
from protos.v1.manifest_pb2 import Partition
from transport.boundary import boundary_bytes


@dataclass(frozen=True)
class Room:
    """What boards can take.

    Attributes:
        spares: boards without a stage, the preferred first.
        memory_bytes: by board name, for partitions beside those that it holds; a board that is not in it takes anything.
        held: (board name, stage index) of what is loaded already and needs no room.
    """

    spares: Sequence[Board]
    memory_bytes: Mapping[str, float]
    held: Collection[tuple[str, int]] = ()


def best_remedy(ways: Sequence[tuple[ChainPlacement, Room]], gone: Collection[str]) -> ChainPlacement | None:
    """The planned chain, if as many boards as planned can serve it; else the way on which the busiest board has the least to do.

    Args: ways: the planned chain, and others that give the same answers, each with the room for it.
    Returns: None if there is room for none.
    """
    (planned, room), *others = ways
    found = [find_remedy(planned, gone, room)]
    if found[0] is not None and _n_boards(found[0]) == _n_boards(planned):
        return found[0]
    for way, room in others:
        remedy = find_remedy(way, gone, room)
        found.append(remedy if remedy is not None and _is_room_for_all(remedy, room) else None)
    return min((remedy for remedy in found if remedy is not None), key=_busiest, default=None)


def in_smaller_groups(
    planned: ChainPlacement, splittings: Sequence[BundleSplitting], gone: Collection[str]
) -> Iterator[ChainPlacement]:
    """The chain where fewer boards share stages, if it was split like that as well; boards that are left come first."""
    own = planned.splitting
    for splitting in splittings:
        pairs = list(zip(splitting.group_sizes, own.group_sizes))
        is_smaller = splitting.group_sizes != own.group_sizes and all(size <= of_plan for size, of_plan in pairs)
        if splitting.cut_indices == own.cut_indices and is_smaller:
            kept = [
                stage.board
                for size, group in zip(splitting.group_sizes, planned.groups)
                for stage in sorted(group, key=lambda stage: stage.board.name in gone)[:size]
            ]
            yield ChainPlacement.on(splitting, planned.stages[0].chain_index, kept)


def find_remedy(placement: ChainPlacement, gone: Collection[str], room: Room) -> ChainPlacement | None:
    """The chain with each stage of boards that are gone on another board; None if there is no room for one.

    The heaviest stage chooses first: a spare that holds it, another spare, else the board of this chain that is busy for the
    shortest time with it. Stages that stay where they are need nothing; what serves twice is a hop to itself.
    """
    stages = list(placement.stages)
    partitions = placement.splitting.partitions
    lost = [s for s in stages if s.board.name in gone]
    spares = [board for board in room.spares if board.name not in gone]
    left_bytes = dict(room.memory_bytes)
    busy_s: dict[str, float] = {}
    survivors = {s.board.name: s.board for s in stages if s.board.name not in gone}
    for stage in stages:
        if stage.board.name in survivors:
            busy_s[stage.board.name] = busy_s.get(stage.board.name, 0.0) + weight(partitions[stage.stage_index])
    for stage in sorted(lost, key=lambda s: -weight(partitions[s.stage_index])):
        needed = needed_bytes(partitions[stage.stage_index])

        def has_room(board: Board, stage: StagePlacement = stage, needed: float = needed) -> bool:
            is_held = (board.name, stage.stage_index) in room.held
            return is_held or left_bytes.get(board.name, float("inf")) >= needed

        holders = [b for b in spares if (b.name, stage.stage_index) in room.held]
        chosen = next((b for b in [*holders, *spares] if has_room(b)), None)
        if chosen is not None:
            spares.remove(chosen)
            survivors[chosen.name] = chosen
        else:
            able = [b for b in survivors.values() if has_room(b)]
            if not able:
                return None
            chosen = min(able, key=lambda b: busy_s.get(b.name, 0.0))
        if (chosen.name, stage.stage_index) not in room.held and chosen.name in left_bytes:
            left_bytes[chosen.name] -= needed
        busy_s[chosen.name] = busy_s.get(chosen.name, 0.0) + weight(partitions[stage.stage_index])
        stages[stage.stage_index] = replace(stage, board=chosen)
    return replace(placement, stages=tuple(stages))


def _is_room_for_all(placement: ChainPlacement, room: Room) -> bool:
    """Nothing of another splitting is loaded yet, even where boards stay."""
    left_bytes = dict(room.memory_bytes)
    for stage in placement.stages:
        if (stage.board.name, stage.stage_index) not in room.held and stage.board.name in left_bytes:
            left_bytes[stage.board.name] -= needed_bytes(placement.splitting.partitions[stage.stage_index])
    return min(left_bytes.values(), default=0.0) >= 0.0


def _n_boards(placement: ChainPlacement) -> int:
    return len({stage.board.name for stage in placement.stages})


def _busiest(placement: ChainPlacement) -> tuple[float, int]:
    """What the busiest board has to do; of ways that are alike, the one of fewer places comes first."""
    busy: dict[str, float] = {}
    for stage in placement.stages:
        busy[stage.board.name] = busy.get(stage.board.name, 0.0) + weight(
            placement.splitting.partitions[stage.stage_index]
        )
    return max(busy.values()), len(placement.stages)


def weight(partition: Partition) -> float:
    """What it takes to compute, for comparison: seconds if they were measured, else its size."""
    return partition_s(partition) or float(partition_bytes(partition))


def needed_bytes(partition: Partition) -> float:
    """As the planner counts frames: twice, since the next has come while one is computed."""
    frames_bytes = boundary_bytes(partition.arriving) + boundary_bytes(partition.leaving)
    return float(partition_bytes(partition) + 2 * frames_bytes)


def merit(placement: ChainPlacement, planned: ChainPlacement) -> tuple[int, int]:
    """Chains to compare: how many stages are where the plan wants them, and how many boards share the work."""
    boards = [stage.board.name for stage in placement.stages]
    return sum(name == stage.board.name for name, stage in zip(boards, planned.stages)), _n_boards(placement)
