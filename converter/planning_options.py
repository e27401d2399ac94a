"""The options that `split --boards` and `plan` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import typer

from converter.errors import OptionError
from converter.planned_split import parse_pins
from planner.wishes import OBJECTIVES, GroupWish, PlanWishes
from terminal import one_of

_USUAL_OBJECTIVE = "throughput"
_AUTO = "auto"


def _number_or_auto(value: Optional[str]) -> Optional[str]:
    if value is not None and value != _AUTO and not (value.isascii() and value.isdecimal() and int(value) > 0):
        raise typer.BadParameter(f"{value!r} is neither a number of 1 or more nor {_AUTO}.")
    return value


OBJECTIVE = typer.Option(
    _USUAL_OBJECTIVE, help=f"What the plan is to be best in: {', '.join(OBJECTIVES)}.", callback=one_of(OBJECTIVES)
)
MAX_BOARDS = typer.Option(None, min=1, metavar="N", help="Most boards to use.")
CHAINS = typer.Option(None, min=1, metavar="R", help="Chains side by side. (default: as many as is best)")
STAGES = typer.Option(
    None,
    metavar="K|auto",
    help="Stages of a chain in which groups of boards share each; auto: as many as is best.",
    callback=_number_or_auto,
)
GROUP_SIZE = typer.Option(
    None,
    metavar="G|auto",
    help="Boards of each such group, neighbours in FILE; auto: as many as is best.",
    callback=_number_or_auto,
)
PIN = typer.Option(None, metavar="PART=BOARD", help="Board that must compute a part, from 0. Repeatable.")
FRESH = typer.Option(False, "--fresh", help="Measure again what the boards have measured before.")
CONFIDENCE = typer.Option(
    0.02, min=0.001, max=0.5, help="Measure until the mean is known to this share, 95 % confidence."
)
BUDGET = typer.Option(3.0, "--budget-s", min=0.05, help="Limit for measuring one partition.")
TIMEOUT = typer.Option(30.0, "--timeout-s", min=0.1, help="Limit for each answer of a board.")
PLOT = typer.Option(None, metavar="FILE", help=".svg, .png or .pdf to draw the plan into.")
EXPLAIN = typer.Option(False, "--explain", help="Say why: what limits it, the next best plans, how it was measured.")


@dataclass(frozen=True)
class WishOptions:
    """What was said of the plan that is wished for, as the options above take it."""

    objective: str
    max_boards: int | None
    chains: int | None
    pins: Sequence[str] | None
    stages: str | None
    group_size: str | None

    @property
    def given(self) -> dict[str, Any]:
        """By the options' names; None where nothing was said."""
        return {
            "--objective": None if self.objective == _USUAL_OBJECTIVE else self.objective,
            "--max-boards": self.max_boards,
            "--chains": self.chains,
            "--pin": self.pins or None,
            "--stages": self.stages,
            "--group-size": self.group_size,
        }

    def wishes(self, cut_at: str | None) -> PlanWishes:
        """What they say, but for the cuts, whose names only a model can tell.

        Raises: OptionError: a pin that is none, or options that exclude one another.
        """
        groups = {"--stages": self.stages, "--group-size": self.group_size}
        given = [name for name, value in groups.items() if value is not None]
        if not given:
            return PlanWishes(self.objective, self.max_boards, parse_pins(self.pins or []), None, self.chains)
        refuse_ignored(
            f"with {' and '.join(given)}",
            "for groups of boards the planner chooses the cuts and boards of one chain",
            {"--cut-at": cut_at, "--chains": self.chains, "--pin": self.pins or None},
        )
        n_stages, size = (None if value is None or value == _AUTO else int(value) for value in groups.values())
        return PlanWishes(self.objective, self.max_boards, groups=GroupWish(n_stages, size))


def refuse_ignored(because: str, reason: str, options: Mapping[str, Any]) -> None:
    """Raises OptionError naming the options that were given and would be ignored because of another."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise OptionError(f"{' and '.join(given)} cannot be used {because}: {reason}. Drop one or the other.")
