"""From profiles and links to the costs that the planner searches; boards of a group count as one kind."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleet.inventory import DISPATCHER
from partitioning.planning import BoardCosts, LinkCosts, MeasuredStage, ModelCosts
from planner.board_profiles import BoardRecord, flag_notes
from planner.links import LinkSpeed, MeasuredLinks, TransportCost, link_notes
from planner.model import PlannerModel, Range
from planner.service_fit import ServiceFit, fit_service
from protos.v1.control_plane_pb2 import Profile

# Of the memory that a board says is free, what is left to everything else that may want some.
_MEMORY_SHARE = 0.9
# A board that differs from its group's median by more is planned as what it is.
_GROUP_TOLERANCE = 0.10
# A board whose runs take this share of the processor time that it can have has none to spare for moving frames.
_SATURATED = 0.8


@dataclass(frozen=True)
class FleetCosts:
    """Everything that a plan is made from; boards in the inventory's order. `notes` say what should not pass silently."""

    model: ModelCosts
    boards: tuple[BoardCosts, ...]
    links: LinkCosts
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The boards' names, in order."""
        return [board.name for board in self.boards]

    def only(self, kept: Sequence[int]) -> FleetCosts:
        """Of some of the boards, and the dispatcher."""
        ends = np.ix_([*kept, len(self.boards)], [*kept, len(self.boards)])
        delay_s = None if self.links.delay_s is None else self.links.delay_s[ends]
        links = LinkCosts(self.links.bytes_per_s[ends], self.links.frame_s[ends], delay_s)
        return replace(self, boards=tuple(self.boards[b] for b in kept), links=links)


def assemble_costs(model: PlannerModel, records: Mapping[str, BoardRecord], links: MeasuredLinks) -> FleetCosts:
    """The costs of a model on boards whose pieces have all been profiled.

    Profiles of longer ranges replace the sums for exactly those ranges. Members of a group share their measurements: the
    median counts, so that boards alike stay alike for the search and no board is favoured for its noise.
    """
    kinds, notes = _kinds(model, list(records.values()))
    crossing = np.array([float(model.crossing_bytes(p)) for p in range(len(model.graph.operators) + 1)])
    fit = fit_service(model, records, links.transport)
    boards = [_board_costs(model, record, kinds[name], links.transport, fit) for name, record in records.items()]
    costs = ModelCosts(crossing_bytes=crossing, positions=np.array(model.positions))
    return FleetCosts(
        costs,
        tuple(boards),
        _link_costs(list(records), links, kinds),
        tuple(notes + flag_notes(records) + link_notes(links)),
    )


def _kinds(model: PlannerModel, records: Sequence[BoardRecord]) -> tuple[dict[str, list[BoardRecord]], list[str]]:
    """Board name -> the records that count for it, itself among them; and which boards do not fit their group."""
    kinds, notes = {}, []
    for record in records:
        group = [r for r in records if r.board.group is not None and r.board.group == record.board.group] or [record]
        usual_s = statistics.median(_total_s(model, r) for r in group)
        alike = [r for r in group if abs(_total_s(model, r) / usual_s - 1) <= _GROUP_TOLERANCE]
        if record not in alike:
            share = _total_s(model, record) / usual_s - 1
            notes.append(
                f"board {record.board.name} takes {abs(share):.0%} {'more' if share > 0 else 'less'} time than its group "
                f"{record.board.group} and is planned as it is. Look at its cooling, its supply and what else runs there."
            )
            alike = [record]
        kinds[record.board.name] = alike
    return kinds, notes


def _total_s(model: PlannerModel, record: BoardRecord) -> float:
    return sum(record.profiles[piece].run_s for piece in model.pieces)


def _board_costs(
    model: PlannerModel,
    record: BoardRecord,
    kind: Sequence[BoardRecord],
    transport: Mapping[str, TransportCost],
    fit: ServiceFit,
) -> BoardCosts:
    n_ops = len(model.graph.operators)
    columns = {name: np.zeros(n_ops) for name in ("op_s", "op_cpu_s", "resident_bytes", "working_bytes", "op_joules")}
    scale = _sum_to_whole(model, kind)
    stages = {piece: _median_stage(kind, piece) for piece in model.pieces}
    # What every file takes whatever is in it (an interpreter, its tables): once per stage, not once per piece.
    beyond_file = (stage.resident_bytes - len(model.segment(piece).data) for piece, stage in stages.items())
    empty_bytes = max(0.0, min(beyond_file))
    for piece, stage in stages.items():
        first = piece[0]
        columns["op_s"][first] = stage.compute_s * scale
        columns["op_cpu_s"][first] = stage.compute_cpu_s * scale * fit.run
        columns["resident_bytes"][first] = max(0.0, stage.resident_bytes - empty_bytes)
        columns["working_bytes"][first] = stage.working_bytes + empty_bytes
        columns["op_joules"][first] = np.nan if stage.joules is None else stage.joules * scale
    whole = {ops for member in kind for ops in member.profiles} - set(model.pieces)
    whole |= {ops for member in kind for ops in member.in_service}
    costs = [transport[member.board.name] for member in kind]
    has_joules = bool(np.isfinite(columns["op_joules"]).all())
    return BoardCosts(
        name=record.board.name,
        op_s=columns["op_s"],
        op_cpu_s=columns["op_cpu_s"],
        cores=statistics.median(_cores(model, member) for member in kind),
        frame_cpu_s=fit.frame * statistics.median(c.frame_cpu_s for c in costs),
        receive_cpu_s_per_byte=fit.byte * statistics.median(c.receive_cpu_s_per_byte for c in costs),
        send_cpu_s_per_byte=fit.byte * statistics.median(c.send_cpu_s_per_byte for c in costs),
        memory_bytes=_memory_bytes(record, kind),
        resident_bytes=columns["resident_bytes"],
        working_bytes=columns["working_bytes"],
        op_joules=columns["op_joules"] if has_joules else None,
        measured={ops: _median_stage(kind, ops) for ops in whole},
    )


def _sum_to_whole(model: PlannerModel, kind: Sequence[BoardRecord]) -> float:
    """Time of partitions measured whole per sum of their pieces: each piece pays for a call of its own.

    1 as long as nothing was measured whole. It brings what was not measured whole to the same level, or every new partition
    would look slower than those that were.
    """
    ratios = []
    for member in kind:
        for first, last in member.profiles.keys() - set(model.pieces):
            inside = [p for p in model.pieces if first <= p[0] and p[1] <= last]
            if inside and inside[0][0] == first and inside[-1][1] == last:
                ratios.append(member.profiles[first, last].run_s / sum(member.profiles[p].run_s for p in inside))
    return statistics.median(ratios) if ratios else 1.0


def _median_stage(kind: Sequence[BoardRecord], ops: Range) -> MeasuredStage:
    profiles = [member.profiles[ops] for member in kind if ops in member.profiles]
    joules = [p.run_j for p in profiles if p.HasField("run_j")]
    in_service = [trial.cpu_s for member in kind for trial in member.in_service.get(ops, ())]
    return MeasuredStage(
        compute_s=_median(profiles, "run_s"),
        compute_cpu_s=_median(profiles, "run_cpu_s"),
        resident_bytes=_median(profiles, "resident_bytes"),
        working_bytes=_median(profiles, "working_bytes"),
        joules=statistics.median(joules) if joules else None,
        service_cpu_s=statistics.median(in_service) if in_service else None,
    )


def _median(profiles: Sequence[Profile], name: str) -> float:
    return float(statistics.median(getattr(profile, name) for profile in profiles))


def _cores(model: PlannerModel, record: BoardRecord) -> float:
    """Processor seconds per second that the board gives; as seen in the runs where these take all it has."""
    nominal = float(record.description.usable_cores)
    profiles = [record.profiles[piece] for piece in model.pieces]
    seen = sum(p.run_cpu_s for p in profiles) / sum(p.run_s for p in profiles)
    return seen if seen >= _SATURATED * nominal else nominal


def memory_bytes(record: BoardRecord) -> float:
    """The limit in boards.yaml, else most of what is free."""
    return _memory_bytes(record, [record])


def _memory_bytes(record: BoardRecord, kind: Sequence[BoardRecord]) -> float:
    """The limit in boards.yaml, else most of what is free; boards of a group count as the smallest of those without one."""
    if record.board.memory_bytes is not None:
        return float(record.board.memory_bytes)
    free = [r.description.memory_available_bytes for r in kind if r.board.memory_bytes is None]
    return _MEMORY_SHARE * min(free)


def _link_costs(names: Sequence[str], links: MeasuredLinks, kinds: Mapping[str, Sequence[BoardRecord]]) -> LinkCosts:
    ends = [*names, DISPATCHER]
    bytes_per_s = np.full((len(ends), len(ends)), np.inf)
    frame_s = np.zeros((len(ends), len(ends)))
    delay_s = np.zeros((len(ends), len(ends)))
    for i, sender in enumerate(ends):
        for j, receiver in enumerate(ends):
            if i != j:
                alike = _alike_links(sender, receiver, links, kinds)
                bytes_per_s[i, j] = statistics.median(link.bytes_per_s for link in alike)
                frame_s[i, j] = statistics.median(link.frame_s for link in alike)
                delay_s[i, j] = statistics.median(link.round_trip_s for link in alike) / 2
    return LinkCosts(bytes_per_s, frame_s, delay_s)


def _alike_links(
    sender: str, receiver: str, links: MeasuredLinks, kinds: Mapping[str, Sequence[BoardRecord]]
) -> list[LinkSpeed]:
    """The links between members of the two ends' groups; one that boards.yaml gives stands for itself."""
    own = links.speeds[sender, receiver]
    if not own.is_measured:
        return [own]
    senders = [r.board.name for r in kinds.get(sender, [])] or [sender]
    receivers = [r.board.name for r in kinds.get(receiver, [])] or [receiver]
    found = [links.speeds[a, b] for a in senders for b in receivers if a != b]
    measured = [link for link in found if link.is_measured]
    usual = statistics.median(link.bytes_per_s for link in measured)
    return measured if abs(own.bytes_per_s / usual - 1) <= _GROUP_TOLERANCE else [own]
