"""A model whose memory is easily seen, measurements of it on real node services, and what these hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fleet.board_control import BoardControl
from fleet.event_loop import run_in_loop
from fleet.inventory import Board, Inventory
from partitioning import Graph
from planner.board_profiles import ProfileSettings
from planner.boards_plan import BoardsPlan, FleetMeasurements, Listeners, PlanWishes, plan_on_boards
from planner.exchange import ExchangeBudget
from planner.model import PlannerModel
from tests.credentials import OPERATOR
from tests.partitioning.graph_builder import ModelBuilder

MIB = 2**20
# Measuring is not what is tested: figures may be as bad as they like.
SETTINGS = ProfileSettings(confidence=0.5, budget_s=0.05, credentials=OPERATOR, timeout_s=20)
BRIEF = ExchangeBudget(seconds=0.03, frames=40)
_SIDE = 1024
LAYERS = 4


def dense_file() -> bytes:
    """x -RELU-> . -FULLY_CONNECTED-> y0 ... y3: four operators of 4 MiB each behind one that weighs nothing."""
    builder = ModelBuilder()
    main = builder.main
    rng = np.random.default_rng(1)
    first, last = main.tensor([1, _SIDE], name="x"), main.tensor([1, _SIDE], name="relu")
    main.operator("RELU", [first], [last])
    for layer in range(LAYERS):
        weights = main.constant(rng.normal(size=(_SIDE, _SIDE)).astype(np.float32) / _SIDE, name=f"w{layer}")
        bias = main.constant(np.zeros(_SIDE, np.float32), name=f"b{layer}")
        following = main.tensor([1, _SIDE], name=f"y{layer}")
        main.operator("FULLY_CONNECTED", [last, weights, bias], [following], schema.FullyConnectedOptionsT())
        last = following
    main.ends([first], [last])
    return builder.build()


def dense_model() -> PlannerModel:
    """With a position between any two operators."""
    return PlannerModel("dense", Graph.from_bytes(dense_file()), tuple(range(LAYERS + 2)))


def limited(boards: Sequence[Board], memory_bytes: float | None) -> Inventory:
    """The boards with this memory limit."""
    limit = None if memory_bytes is None else int(memory_bytes)
    return Inventory(tuple(replace(board, memory_bytes=limit) for board in boards))


def known_for(inventory: Inventory, measured: FleetMeasurements) -> FleetMeasurements:
    """What was measured, for the same boards as the inventory describes them; measuring more leaves the original alone."""
    records = {}
    for board in inventory.boards:
        record = measured.records[board.name]
        records[board.name] = replace(
            record,
            board=board,
            profiles=dict(record.profiles),
            in_service={ops: list(trials) for ops, trials in record.in_service.items()},
        )
    return FleetMeasurements(records, measured.links, measured.dispatcher)


def plan(
    model: PlannerModel, inventory: Inventory, measured: FleetMeasurements, wishes: PlanWishes | None = None
) -> BoardsPlan:
    """The plan for the boards as the inventory describes them."""
    known = known_for(inventory, measured)
    return run_in_loop(plan_on_boards(model, inventory, wishes or PlanWishes(), SETTINGS, Listeners(), known))


def trials_on(board: Board) -> list[str]:
    """The stages that are being tried on a board; what other tests have deployed there does not count."""

    async def ask() -> list[str]:
        async with BoardControl(board, credentials=OPERATOR, timeout_s=10) as control:
            stages = (await control.describe()).stages
            return [s.deployment_id for s in stages if s.deployment_id.startswith("trial-")]

    return run_in_loop(ask())
