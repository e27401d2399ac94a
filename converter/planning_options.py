"""The options that `split --boards` and `plan` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from converter.errors import OptionError
from planner.wishes import OBJECTIVES
from terminal import one_of

_USUAL_OBJECTIVE = "throughput"
OBJECTIVE = typer.Option(
    _USUAL_OBJECTIVE, help=f"What the plan is to be best in: {', '.join(OBJECTIVES)}.", callback=one_of(OBJECTIVES)
)
MAX_BOARDS = typer.Option(None, min=1, metavar="N", help="Most boards to use.")
CHAINS = typer.Option(None, min=1, metavar="R", help="Chains side by side. (default: as many as is best)")
PIN = typer.Option(None, metavar="PART=BOARD", help="Board that must compute a part, from 0. Repeatable.")
FRESH = typer.Option(False, "--fresh", help="Measure again what the boards have measured before.")
CONFIDENCE = typer.Option(
    0.02, min=0.001, max=0.5, help="Measure until the mean is known to this share, 95 % confidence."
)
BUDGET = typer.Option(3.0, "--budget-s", min=0.05, help="Limit for measuring one partition.")
TIMEOUT = typer.Option(30.0, "--timeout-s", min=0.1, help="Limit for each answer of a board.")
PLOT = typer.Option(None, metavar="FILE", help=".svg, .png or .pdf to draw the plan into.")
EXPLAIN = typer.Option(False, "--explain", help="Say why: what limits it, the next best plans, how it was measured.")


def given_wishes(
    objective: str, max_boards: int | None, chains: int | None, pins: Sequence[str] | None
) -> dict[str, Any]:
    """The options that say what is wished of a plan: name -> value, None where nothing was said."""
    return {
        "--objective": None if objective == _USUAL_OBJECTIVE else objective,
        "--max-boards": max_boards,
        "--chains": chains,
        "--pin": pins or None,
    }


def refuse_ignored(because: str, reason: str, options: Mapping[str, Any]) -> None:
    """Raises OptionError naming the options that were given and would be ignored because of another."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise OptionError(f"{' and '.join(given)} cannot be used {because}: {reason}. Drop one or the other.")
