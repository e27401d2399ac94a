"""What boards take for parts of each operator: the operator's whole result, and a half, a quarter and an eighth of it.

Operators alike in kind, shapes and options take the same time, and are measured once. Boards measure as they do partitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fleet.board_control import BoardControl
from fleet.together import together
from partitioning import Graph, extract_partition, list_cuts
from partitioning.boundaries import partition_between
from partitioning.runtime_floor import read_runtime_floor
from partitioning.strips import SharedAxis, Span, StripSpec, extract_strip, plan_strip, segment_obstacles
from partitioning.strips.costs import BoardTimes, SpanTimes
from partitioning.strips.site import Site
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings, profile_file
from protos.v1.control_plane_pb2 import Profile

# Of an operator's rows or channels; a time between two of them is interpolated.
_SHARES = (0.125, 0.25, 0.5)
# What a strip takes beside the runtime: finding its inputs, keeping its outputs.
_STRIP_CPU_S = 1e-4

_Unit = tuple[int, int]


@dataclass(frozen=True)
class _Wanted:
    """A file to be measured: a unit's whole, or so many rows or channels of it."""

    unit: _Unit
    axis: SharedAxis | None
    count: int
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class StripModel:
    """A graph whose operators are to be measured in parts. `places`: where segments may begin, with both ends."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        legal = [cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None]
        self.places = [0, *legal, len(graph.operators)]
        self._units: list[_Unit] = list(zip(self.places[:-1], self.places[1:]))
        self._likeness = {unit: _likeness(graph, unit) for unit in self._units}
        firsts: dict[Any, _Unit] = {}
        for unit in self._units:
            firsts.setdefault(self._likeness[unit], unit)
        self._firsts = firsts
        obstacles = {axis: set(segment_obstacles(graph, axis)) for axis in SharedAxis}
        self._axes = {
            unit: [axis for axis in SharedAxis if obstacles[axis].isdisjoint(range(*unit))] for unit in self._units
        }

    def wanted(self) -> list[_Wanted]:
        """Every file that is to be measured."""
        found = []
        for unit in self._firsts.values():
            found.append(_Wanted(unit, None, 0, extract_partition(self.graph, partition_between(self.graph, *unit))))
            for axis in self._axes[unit]:
                for count in self._counts(unit, axis)[:-1]:
                    found.append(_Wanted(unit, axis, count, extract_strip(self.graph, self._strip(unit, axis, count))))
        return found

    def times(self, measured: Mapping[str, Profile], wanted: Sequence[_Wanted], cores: float) -> BoardTimes:
        """One board's times. Args: measured: by hash."""
        seconds = {(w.unit, w.axis, w.count): measured[w.sha256].run_s for w in wanted}
        whole_s = np.zeros(len(self.graph.operators))
        shared: dict[tuple[SharedAxis, int], SpanTimes] = {}
        for unit in self._units:
            first, last = self._firsts[self._likeness[unit]], unit[1] - 1
            whole_s[last] = seconds[first, None, 0]
            for axis in self._axes[unit]:
                counts = self._counts(unit, axis)
                parts_s = [seconds[first, axis, n] for n in counts[:-1]]
                # Noise must make no larger part quicker, and no part slower than the whole.
                rising_s = np.minimum(np.maximum.accumulate([*parts_s, 0.0]), whole_s[last])[:-1]
                shared[axis, last] = SpanTimes(np.array(counts, float), np.append(rising_s, whole_s[last]))
                nothing = SpanTimes(np.array([1.0]), np.array([0.0]))
                shared.update({(axis, op): nothing for op in range(unit[0], last)})
        return BoardTimes(whole_s, shared, _STRIP_CPU_S / cores)

    def _extent(self, unit: _Unit, axis: SharedAxis) -> int:
        return axis.extent(self.graph.tensors[self.graph.operators[unit[1] - 1].outputs[0]])

    def _counts(self, unit: _Unit, axis: SharedAxis) -> list[int]:
        extent = self._extent(unit, axis)
        return sorted({*(max(1, round(extent * share)) for share in _SHARES), extent})

    def _strip(self, unit: _Unit, axis: SharedAxis, count: int) -> StripSpec:
        """In the middle, where a strip has two neighbours."""
        extent = self._extent(unit, axis)
        own = {}
        for t in partition_between(self.graph, *unit).outputs:
            n = axis.extent(self.graph.tensors[t])
            part = max(1, round(n * count / extent))
            own[t] = Span((n - part) // 2, (n - part) // 2 + part)
        return plan_strip(self.graph, *unit, axis, own)


async def measure_strips(
    model: StripModel,
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
    on_profile: OnProfile = lambda board, done, total: None,
) -> list[BoardTimes]:
    """Each board's times, in order: all boards at once, those of a group only the first of it.

    Raises: BoardError.
    """
    wanted = model.wanted()
    kinds = {name: record.board.group or name for name, record in records.items()}
    firsts = {kind: name for name, kind in reversed(kinds.items())}
    floor = read_runtime_floor(model.graph)

    async def measure(name: str) -> dict[str, Profile]:
        board = records[name].board
        found: dict[str, Profile] = {}
        async with BoardControl(board, credentials=settings.credentials, timeout_s=settings.timeout_s) as control:
            for done, one in enumerate(wanted):
                on_profile(name, done, len(wanted))
                if one.sha256 not in found:
                    found[one.sha256] = await profile_file(control, one.sha256, one.data, floor, settings)
        return found

    names = list(firsts.values())
    measured = dict(zip(names, await together(map(measure, names))))
    return [
        model.times(measured[firsts[kinds[name]]], wanted, records[name].description.usable_cores) for name in records
    ]


def _likeness(graph: Graph, unit: _Unit) -> tuple[Any, ...]:
    """Equal for units that take the same time: one operator each, of one kind, on tensors of the same shapes."""
    if unit[1] - unit[0] > 1:
        return unit
    site = Site(graph, graph.operators[unit[0]])
    shapes = [None if t < 0 else (graph.tensors[t].type_name, graph.tensors[t].usual_shape) for t in site.operands]
    options = sorted((k, str(v)) for k, v in vars(site.options).items()) if site.options is not None else []
    return (site.op.kind, tuple(shapes), site.result.usual_shape, tuple(options))
