"""The model as a planner sees it: where it may be cut, and any run of its operators as a file to be measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from partitioning import Cut, Graph, extract_partition, list_cuts
from partitioning.boundaries import partition_between
from partitioning.cuts import crossing_tensors
from partitioning.runtime_floor import read_runtime_floor
from partitioning.useful_cuts import choose_useful_cuts
from planner.errors import WishError

# Cuts closer than this share of the model's work are one choice: in ResNet50 that leaves 53 of 74.
_RESOLUTION = 0.005

Range = tuple[int, int]


@dataclass(frozen=True)
class Segment:
    """Operators [start_op, stop_op) as a TFLite file."""

    ops: Range
    data: bytes = field(repr=False)
    sha256: str

    @classmethod
    def extract(cls, graph: Graph, ops: Range) -> Segment:
        """Those of the graph."""
        data = extract_partition(graph, partition_between(graph, *ops))
        return cls(ops, data, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class PlannerModel:
    """A graph and the positions where a plan may cut it: rising, with 0 and the number of operators."""

    name: str
    graph: Graph = field(repr=False)
    positions: tuple[int, ...]
    _segments: dict[Range, Segment] = field(default_factory=dict, repr=False)

    @classmethod
    def from_graph(cls, name: str, graph: Graph, cuts: Sequence[Cut] | None = None) -> PlannerModel:
        """With all useful cuts as positions."""
        useful = choose_useful_cuts(graph, list_cuts(graph) if cuts is None else cuts, _RESOLUTION)
        return cls(name, graph, (0, *useful, len(graph.operators)))

    @property
    def runtime_floor(self) -> str:
        """The oldest runtime that runs it; empty if the file does not say."""
        return read_runtime_floor(self.graph)

    @property
    def pieces(self) -> list[Range]:
        """The runs of operators between neighbouring positions."""
        return list(zip(self.positions[:-1], self.positions[1:]))

    def with_positions(self, more: Sequence[int]) -> PlannerModel:
        """The same model with these positions too: cuts that a user names need not be useful ones."""
        return PlannerModel(self.name, self.graph, tuple(sorted({*self.positions, *more})), self._segments)

    def segment(self, ops: Range) -> Segment:
        """A run of operators as a file; the same file at every call."""
        if ops not in self._segments:
            self._segments[ops] = Segment.extract(self.graph, ops)
        return self._segments[ops]

    def crossing_bytes(self, position: int) -> int:
        """Bytes of all tensors that live across a position; at the ends, of the model's inputs and outputs."""
        return sum(self.graph.tensors[t].size_bytes for t in crossing_tensors(self.graph, position))

    def position_index(self, position: int) -> int:
        """Where a cut index stands among the positions. Raises: WishError: the model has no such position."""
        try:
            return self.positions.index(position)
        except ValueError:
            raise WishError(f"cut {position} is not among this plan's positions {list(self.positions)}.") from None
