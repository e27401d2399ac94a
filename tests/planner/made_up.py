"""Records of boards as they would be measured, from figures that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence

from fleet.inventory import DISPATCHER, Board
from planner.board_profiles import BoardRecord
from planner.links import LinkSpeed, MeasuredLinks, TransportCost
from planner.model import PlannerModel, Range
from protos.v1.control_plane_pb2 import Description, Profile, ProfileKey
from transport.address import Address

MIB = 2**20


def profile(
    run_s: float, *, cpu_s: float | None = None, joules: float | None = None, flags: Sequence[str] = ()
) -> Profile:
    """A profile of one partition; it keeps a mebibyte and works in a tenth."""
    made = Profile(
        key=ProfileKey(sha256="0" * 64, threads=1),
        runs=10,
        run_s=run_s,
        median_run_s=run_s,
        run_cpu_s=run_s if cpu_s is None else cpu_s,
        resident_bytes=MIB,
        working_bytes=MIB // 10,
        flags=flags,
    )
    if joules is not None:
        made.run_j = joules
    return made


def record(
    name: str,
    model: PlannerModel,
    piece_s: float,
    *,
    group: str | None = None,
    memory_bytes: int | None = None,
    free_bytes: int = 1000 * MIB,
    cores: float = 2.0,
    joules: float | None = None,
    whole: dict[Range, float] | None = None,
) -> BoardRecord:
    """A board on which every piece of the model takes the same time, and some longer ranges the times in `whole`."""
    board = Board(name, Address("127.0.0.1", 1), memory_bytes=memory_bytes, group=group)
    made = BoardRecord(board, Description(name=name, usable_cores=cores, threads=1, memory_available_bytes=free_bytes))
    made.profiles.update({piece: profile(piece_s, joules=joules) for piece in model.pieces})
    made.profiles.update({ops: profile(seconds) for ops, seconds in (whole or {}).items()})
    return made


def links(names: Sequence[str], mbit_s: float = 800.0, **others: float) -> MeasuredLinks:
    """Equal measured links between all machines; `others` gives "a_b" its own figure, both ways."""
    ends = [*names, DISPATCHER]
    speeds = {}
    for a in ends:
        for b in ends:
            own = others.get(f"{a}_{b}", others.get(f"{b}_{a}", mbit_s))
            if a != b:
                speeds[a, b] = LinkSpeed(own * 1e6 / 8, 1e-4, 1e-3, True)
    return MeasuredLinks(speeds, {name: TransportCost(1e-3, 1e-9, 2e-9) for name in ends})
