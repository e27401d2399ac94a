"""`python -m dispatcher_client drain`: one board out of service, or back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Optional

import typer

from dispatcher_client.command_options import BOARDS
from dispatcher_client.errors import OptionError
from dispatcher_client.status import drain_board
from fleet.event_loop import run_in_loop
from fleet.inventory import load_boards, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from terminal import print_json, stderr
from transport.credentials import choose_credentials


def drain(
    board: str = typer.Argument(..., metavar="BOARD", help="Its name in boards.yaml, or its address."),
    boards: str = BOARDS,
    undo: bool = typer.Option(False, "--undo", help="Take the board back into service."),
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = typer.Option(30.0, "--timeout-s", min=0.1, help="Limit for each answer, and for its streams."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a line."),
) -> None:
    """Take one board out of service: it answers what it has, takes nothing new, and stays reachable.

    Applications whose dispatcher recovers go on with other boards, and lose nothing. It stays out of service over a restart,
    until --undo; a board whose store cannot be written says that it will not. Exit status 1 if it still has streams after the
    time-out.

    Example: python -m dispatcher_client drain pi2 --boards boards.yaml
    """
    credentials = choose_credentials(credentials_dir, insecure)
    listed = load_boards(parse_boards(boards))
    chosen = next((b for b in listed if board in (b.name, str(b.address))), None)
    if chosen is None:
        raise OptionError(f"{board} is not among the boards given: {', '.join(b.name for b in listed)}.")
    result = run_in_loop(drain_board(chosen, undo=undo, credentials=credentials, timeout_s=timeout_s))
    state = "serving" if undo else "draining"
    if as_json:
        print_json({"board": chosen.name, "state": state, **asdict(result)})
    else:
        print(f"{chosen.name}: {state}" + (f", {result.streams} streams are still open" if result.streams else ""))
    if not result.is_kept:
        why = result.why_not_kept or "it is of a version that keeps nothing."
        stderr.print(f"A restart of its service undoes that: {why}", soft_wrap=True)
    if result.streams:
        raise typer.Exit(1)
