"""`python -m converter plan`: which part of a model should run on which board, and why."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Optional

import typer

from bundle import Plan, open_bundle
from bundle.directory import MANIFEST_NAME
from bundle.plan_file import read_plan
from converter import planning_options as options
from converter.command_options import JSON
from converter.errors import OptionError
from converter.planned_split import PlannedSplit, parse_names, resolve_plan
from converter.split_model import LoadedModel
from fleet.event_loop import run_in_loop
from fleet.inventory import load_inventory, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from partitioning import list_cuts, resolve_cuts
from planner.board_profiles import ProfileSettings
from planner.boards_plan import check_plan, plan_on_boards
from planner.explain import print_plan
from planner.plot import plot_plan, require_format
from planner.progress import shown_progress
from planner.sources import open_model
from planner.wishes import resolve_wishes
from terminal import print_json
from transport.credentials import choose_credentials


def plan(
    source: Path = typer.Argument(..., metavar="BUNDLE", help="Bundle, or .tflite file, to plan for the boards."),
    boards: str = typer.Option(..., metavar="FILE", help="boards.yaml, or addresses separated by commas."),
    explain: bool = options.EXPLAIN,
    check: Optional[Path] = typer.Option(
        None, metavar="FILE", help="plan.yaml: do not search, say what this plan would do."
    ),
    plot: Optional[Path] = options.PLOT,
    out: Optional[Path] = typer.Option(
        None, metavar="FILE", help="plan.yaml to write: edit it, check it, split with it."
    ),
    cut_at: Optional[str] = typer.Option(
        None, metavar="NAME,...", help="Exactly these cuts: tensor names or cut indices, in order."
    ),
    objective: str = options.OBJECTIVE,
    max_boards: Optional[int] = options.MAX_BOARDS,
    chains: Optional[int] = options.CHAINS,
    stages: Optional[str] = options.STAGES,
    group_size: Optional[str] = options.GROUP_SIZE,
    pin: Optional[list[str]] = options.PIN,
    confidence: float = options.CONFIDENCE,
    budget_s: float = options.BUDGET,
    timeout_s: float = options.TIMEOUT,
    fresh: bool = options.FRESH,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    as_json: bool = JSON,
) -> None:
    """Say which part of the model should run on which board, how fast that is, and why nothing is faster.

    Example: python -m converter plan parts/ --boards boards.yaml --explain --plot plan.svg
    """
    wished = options.WishOptions(objective, max_boards, chains, pin, stages, group_size)
    if check is not None:
        options.refuse_ignored("with --check", "it says what the given plan does", {**wished.given, "--cut-at": cut_at})
    if plot is not None:
        require_format(plot)
    for path in (plot, out):
        _require_writable(path)
    credentials = choose_credentials(credentials_dir, insecure)
    settings = ProfileSettings(confidence, budget_s, credentials, timeout_s, fresh)
    wishes = wished.wishes(cut_at)
    inventory = load_inventory(parse_boards(boards)).without_spares
    resolve_wishes(wishes, inventory)
    model = open_model(source)
    loaded = LoadedModel.of_graph(model.graph)
    cuts = (
        None if cut_at is None else resolve_cuts(model.graph, list_cuts(model.graph), parse_names("--cut-at", cut_at))
    )
    wishes = replace(wishes, cuts=cuts)
    if check is None:
        work = partial(plan_on_boards, model, inventory, wishes, settings)
    else:
        work = partial(check_plan, model, resolve_plan(model.name, loaded, read_plan(check)), inventory, settings)
    with shown_progress() as listeners:
        found = run_in_loop(work(listeners))
    if plot is not None:
        plot_plan(found.report, model, plot)
    if out is not None:
        _write_text(out, PlannedSplit.from_plan(found.plan, len(model.graph.operators), found.report).plan_text)
    if as_json:
        print_json(found.report.as_json())
        return
    print_plan(found.report, explain=explain)
    print(_what_next(source, found.plan, out))


def _what_next(source: Path, plan: Plan, out: Path | None) -> str:
    """Whether a bundle is split as the plan wants it, and what to do if it is not."""
    write = f"{out}" if out is not None else "plan.yaml, once --out plan.yaml has written it"
    if (source / MANIFEST_NAME).is_file():
        bundle = open_bundle(source)
        if all(any(splitting.is_made_for(chain) for splitting in bundle.splittings) for chain in plan.chains):
            if _same_placement(bundle.plan(), plan):
                return f"{source} is split and planned like this already"
            return f"{source} is split like this already: deploy and run it with --plan {write}"
    return f"to split like this: python -m converter split MODEL --out BUNDLE --plan {write}"


def _same_placement(one: Plan | None, other: Plan) -> bool:
    return one is not None and replace(one, objective=other.objective) == other


def _require_writable(path: Path | None) -> None:
    """Before minutes of measuring. Raises: OptionError: no file can be written there."""
    if path is not None and not path.absolute().parent.is_dir():
        raise OptionError(f"{path} cannot be written: its directory does not exist.")
    if path is not None and path.is_dir():
        raise OptionError(f"{path} cannot be written: it is a directory.")


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error}.") from error
