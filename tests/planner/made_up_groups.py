"""Boards whose operators take made-up times, in parts too, as a group planner sees them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from partitioning.strips import SharedAxis
from partitioning.strips.costs import BoardTimes, SpanTimes
from planner.board_profiles import BoardRecord
from planner.costs import FleetCosts, assemble_costs
from planner.group_stages import MeasuredGroups
from planner.model import PlannerModel
from planner.strip_times import StripModel
from tests.bundles import load_zoo_model
from tests.planner.made_up import links, record

# Of an operator's time, what it takes however few its rows are.
FIXED_SHARE = 0.05


def zoo_model(name: str = "residual") -> PlannerModel:
    return PlannerModel.from_graph(f"{name}-int8", load_zoo_model(name, "int8").graph)


def strip_times(model: PlannerModel, piece_s: float) -> BoardTimes:
    """Every piece of the model takes this long, as in `made_up.record`."""
    graph = model.graph
    whole_s = np.zeros(len(graph.operators))
    for start, stop in model.pieces:
        whole_s[start:stop] = piece_s / (stop - start)
    shared = {}
    for op in graph.operators:
        for axis in SharedAxis:
            extent = axis.extent(graph.tensors[op.outputs[0]])
            seconds = whole_s[op.op_index] * np.array([FIXED_SHARE, 1.0])
            shared[axis, op.op_index] = SpanTimes(np.array([0.0, extent]), seconds)
    return BoardTimes(whole_s, shared, 1e-5)


class Fleet:
    """Boards by name and what a piece takes on each, with links between them."""

    def __init__(self, model: PlannerModel, piece_s: Mapping[str, float], mbit_s: float = 1e5, **limits: int) -> None:
        self.model = model
        self.records: dict[str, BoardRecord] = {
            name: record(name, model, seconds, memory_bytes=limits.get(name)) for name, seconds in piece_s.items()
        }
        self.costs: FleetCosts = assemble_costs(model, self.records, links(list(piece_s), mbit_s))
        self.times = [strip_times(model, seconds) for seconds in piece_s.values()]

    @property
    def groups(self) -> MeasuredGroups:
        return MeasuredGroups(self.model, StripModel(self.model.graph), self.costs, self.times)
