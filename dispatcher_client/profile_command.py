"""`python -m dispatcher_client profile`: how fast a model's pieces, the links and the codecs are on each board."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from dispatcher_client.command_options import BOARDS, TIMEOUT
from dispatcher_client.errors import ProfilingError
from dispatcher_client.extras import extra
from fleet.event_loop import run_in_loop
from fleet.inventory import load_inventory, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from terminal import print_json
from transport.credentials import choose_credentials

_CODECS_BUDGET_S = 2.0


def profile(
    source: Path = typer.Argument(..., metavar="BUNDLE", help="Bundle, or .tflite file, to measure on the boards."),
    boards: str = BOARDS,
    confidence: float = typer.Option(
        0.02,
        min=0.001,
        max=0.5,
        help="How well a plan's stages are to be known; pieces are measured to three times this.",
    ),
    budget_s: float = typer.Option(
        3.0, "--budget-s", min=0.05, help="Limit for measuring one stage; a third for a piece."
    ),
    timeout_s: float = TIMEOUT,
    fresh: bool = typer.Option(False, "--fresh", help="Measure again what the boards have measured before."),
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    as_json: bool = typer.Option(False, "--json", help="Print JSON, with every piece, instead of tables."),
) -> None:
    """Measure the model's pieces on every board, the links between them, and their codecs; boards keep what they measured.

    Example: python -m dispatcher_client profile parts/ --boards boards.yaml
    """
    # an application needs none of this, and a small client does not install it
    with extra("planner", "profiling needs"):
        from partitioning.errors import PartitioningError
        from planner.board_profiles import ProfileSettings, measure_codecs
        from planner.boards_plan import measure_fleet
        from planner.errors import PlannerError
        from planner.profile_report import print_profile, profile_rows
        from planner.progress import shown_progress
        from planner.sources import open_model
    credentials = choose_credentials(credentials_dir, insecure)
    inventory = load_inventory(parse_boards(boards))
    settings = ProfileSettings(confidence, budget_s, credentials, timeout_s, fresh)
    try:
        model = open_model(source)
        with shown_progress() as listeners:
            measured = run_in_loop(measure_fleet(model, inventory, settings, listeners))
            listeners.on_step("measuring codecs")
            run_in_loop(measure_codecs(measured.records, settings, _CODECS_BUDGET_S))
    except (PlannerError, PartitioningError) as error:
        raise ProfilingError(str(error)) from error
    if as_json:
        print_json(profile_rows(model, measured.records, measured.links))
    else:
        print_profile(model, measured.records, measured.links)
