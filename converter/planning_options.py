"""The options that `split --boards` and `plan` share."""

from __future__ import annotations

import typer

from planner.boards_plan import OBJECTIVES
from terminal import one_of

OBJECTIVE = typer.Option(
    "throughput", help=f"What the plan is to be best in: {', '.join(OBJECTIVES)}.", callback=one_of(OBJECTIVES)
)
MAX_BOARDS = typer.Option(None, min=1, metavar="N", help="Most boards to use.")
CHAINS = typer.Option(None, min=1, metavar="R", help="Chains side by side. (default: as many as is best)")
PIN = typer.Option(None, metavar="PART=BOARD", help="Board that must compute a part, from 0. Repeatable.")
INSECURE = typer.Option(False, "--insecure", help="Allow plaintext off loopback.")
FRESH = typer.Option(False, "--fresh", help="Measure again what the boards have measured before.")
CONFIDENCE = typer.Option(
    0.02, min=0.001, max=0.5, help="Measure until the mean is known to this share, 95 % confidence."
)
BUDGET = typer.Option(3.0, "--budget-s", min=0.05, help="Limit for measuring one partition.")
TIMEOUT = typer.Option(30.0, "--timeout-s", min=0.1, help="Limit for each answer of a board.")
PLOT = typer.Option(None, metavar="FILE", help=".svg, .png or .pdf to draw the plan into.")
EXPLAIN = typer.Option(False, "--explain", help="Say why: what limits it, the next best plans, how it was measured.")
