"""`python -m dispatcher_client top`: what every board does now, again and again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dispatcher_client.command_options import BOARDS
from dispatcher_client.fleet_view import BoardView, DeploymentView, FleetWatch, StageView, view
from fleet.event_loop import run_in_loop
from fleet.inventory import Board, load_boards, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from transport.credentials import Credentials, choose_credentials

_HOT_C = 75.0
_WIDE = 120
_STAGE_COLUMNS = ("frames/s", "busy", "wait ms", "compute ms", "coding ms", "send ms", "MB/s")
_NARROW_COLUMNS = ("frames/s", "busy")


def top(
    boards: str = BOARDS,
    every_s: float = typer.Option(1.0, "--every-s", min=0.1, help="How often to look."),
    looks: Optional[int] = typer.Option(None, min=1, help="End after so many. (default: with Ctrl-C)"),
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = typer.Option(3.0, "--timeout-s", min=0.1, help="Limit for each board's answer."),
    as_json: bool = typer.Option(False, "--json", help="Print a line of JSON for each look."),
) -> None:
    """Show what every board does now: its stages' rates and times, their share of the bound, heat and power.

    Rates are of the time since the look before. Times are means per frame. A stage that is busy all the time sets the pace.

    Example: python -m dispatcher_client top --boards boards.yaml
    """
    credentials = choose_credentials(credentials_dir, insecure)
    run_in_loop(_show(load_boards(parse_boards(boards)), credentials, every_s, looks, timeout_s, as_json=as_json))


async def _show(
    boards: Sequence[Board],
    credentials: Credentials | None,
    every_s: float,
    looks: int | None,
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    watch = FleetWatch(list({board.name: board for board in boards}.values()), credentials, timeout_s)
    console = Console()
    try:
        before = await watch.look()
        with Live(console=console, auto_refresh=False, screen=console.is_terminal and looks is None) as live:
            while looks is None or looks > 0:
                await asyncio.sleep(every_s)
                after = await watch.look()
                found, deployments = view(before, after)
                if as_json:
                    row = {"boards": list(map(asdict, found)), "deployments": list(map(asdict, deployments))}
                    print(json.dumps(row), flush=True, file=sys.stdout)
                else:
                    live.update(render(found, deployments, console.width), refresh=True)
                before = after
                looks = None if looks is None else looks - 1
        if not as_json and not console.is_terminal:
            console.print()  # ends the last table's line
    finally:
        await watch.close()


def render(boards: Sequence[BoardView], deployments: Sequence[DeploymentView], width: int = _WIDE) -> Group:
    """Both tables, for a terminal of so many columns: a narrow one has fewer times."""
    gone = (Text(board.error, style="red") for board in boards if board.error)
    return Group(_deployment_table(deployments), _board_table(boards, is_wide=width >= _WIDE), *gone)


def _deployment_table(deployments: Sequence[DeploymentView]) -> Table:
    table = Table(title="deployments", title_justify="left")
    table.add_column("deployment")
    for name in ("frames/s", "bound", "share"):
        table.add_column(name, justify="right")
    table.add_column("set by")
    for d in deployments:
        share = f"{d.frames_per_s / d.bound_per_s:.0%}" if d.bound_per_s else "-"
        table.add_row(d.deployment_id, f"{d.frames_per_s:.1f}", _number(d.bound_per_s, 1), share, d.slowest)
    return table


def _board_table(boards: Sequence[BoardView], *, is_wide: bool) -> Table:
    table = Table(title="boards", title_justify="left")
    table.add_column("board", no_wrap=True)
    table.add_column("state")
    table.add_column("stage", justify="right")
    table.add_column("of")
    columns = _STAGE_COLUMNS if is_wide else _NARROW_COLUMNS
    for name in (*columns, "CPU", "C", "W", "J/frame"):
        table.add_column(name, justify="right", no_wrap=True)
    for board in boards:
        own = (
            f"{board.cpu:.0%}",
            _heat(board),
            _number(board.power_w, 1),
            _number(board.joules_per_frame, 3),
        )
        state = Text(board.state, style="red" if board.error else "")
        if not board.stages:
            blank = [""] * len(own)
            table.add_row(board.board, state, "", "", *[""] * len(columns), *(blank if board.error else own))
        for index, stage in enumerate(board.stages):
            first = index == 0
            table.add_row(
                board.board if first else "",
                state if first else "",
                str(stage.stage_index),
                stage.deployment_id,
                *_stage_cells(stage, columns),
                *(own if first else [""] * len(own)),
            )
    return table


def _stage_cells(stage: StageView, columns: Sequence[str]) -> list[str]:
    cells = {
        "frames/s": f"{stage.frames_per_s:.1f}",
        "busy": f"{stage.busy:.0%}",
        "wait ms": _number(stage.wait_ms, 2),
        "compute ms": _number(stage.compute_ms, 2),
        "coding ms": _number(stage.coding_ms, 2),
        "send ms": _number(stage.send_ms, 2),
        "MB/s": f"{stage.sent_bytes_per_s / 1e6:.2f}",
    }
    return [cells[column] for column in columns]


def _heat(board: BoardView) -> Text:
    if board.temperature_c is None:
        return Text("throttled" if board.throttled else "-", style="red" if board.throttled else "")
    text = f"{board.temperature_c:.0f}{' throttled' if board.throttled else ''}"
    return Text(text, style="red" if board.throttled or board.temperature_c >= _HOT_C else "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
