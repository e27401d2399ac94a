"""docs/architecture.md shows the tables of states as they are."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dispatcher_client import board_health, lane, rollout_states

TABLES = pytest.mark.parametrize(
    "table",
    [lane.TRANSITIONS, board_health.TRANSITIONS, rollout_states.TRANSITIONS],
    ids=["lane", "board", "rollout"],
)
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def diagram(table: Mapping[tuple[Any, Any], enum.Enum]) -> str:
    """A line for each state: where each event leads; what leaves it as it is, last."""
    lines = []
    states = type(next(iter(table.values())))
    width = max(8, *(len(state.value) for state in states))
    for state in states:
        changes = [(event.value, after.value) for (before, event), after in table.items() if before is state]
        leads = [f"-- {event} --> {after}" for event, after in changes if after != state.value]
        stays = [event for event, after in changes if after == state.value]
        line = "   ".join([f"{state.value:{width}}", *leads, *([f"({', '.join(stays)})"] if stays else [])])
        lines.append("    " + line.rstrip())
    return "\n".join(lines) + "\n"


@TABLES
def test_document_shows_the_table(table: Mapping[tuple[Any, Any], enum.Enum]) -> None:
    assert diagram(table) in ARCHITECTURE.read_text(encoding="utf-8"), f"put this there:\n\n{diagram(table)}"


@TABLES
def test_every_state_can_be_reached_and_all_but_the_last_can_be_left(
    table: Mapping[tuple[Any, Any], enum.Enum],
) -> None:
    states = set(type(next(iter(table.values()))))
    assert {after for (before, _), after in table.items() if after is not before} | {next(iter(table))[0]} == states
    dead_ends = states - {before for (before, _), after in table.items() if after is not before}
    assert dead_ends <= {lane.LaneState.CLOSED} | rollout_states.ENDS
