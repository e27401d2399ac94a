"""The emulated cluster's command line: up, run, down, status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional  # noqa: UP035  # typer reads annotations at run time, also under Python 3.9

import typer

from benchmarks.boards.errors import ClusterStateError, EmulationError, SpecError
from benchmarks.boards.inside import command_inside
from benchmarks.boards.keeper import end_keeper, start_keeper
from benchmarks.boards.leftovers import remove_cluster, remove_orphans
from benchmarks.boards.ownership import owner_is_alive, process_is_alive
from benchmarks.boards.preflight import require_able
from benchmarks.boards.spec import BoardSpec, mib, parse_board
from benchmarks.boards.state import (
    BoardState,
    ClusterState,
    default_directory,
    open_directory,
    read_state,
    remove_state,
)
from terminal import command_app, print_json, print_table, progress, run, stderr

app = command_app("Emulates a cluster of small boards on this Linux machine.")

_STATE_DIR = typer.Option(
    None, "--state-dir", metavar="DIR", help="Where the cluster is described. (default: in $XDG_RUNTIME_DIR or /tmp)"
)
_JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")
_DEFAULT_BOARDS = 3


@app.command()
def up(
    boards: Optional[int] = typer.Option(
        None, min=1, help=f"How many equal boards: pi1, pi2, ... (default: {_DEFAULT_BOARDS})"
    ),
    board: Optional[List[str]] = typer.Option(  # noqa: UP006  # as above
        None,
        metavar="NAME:KEY=VALUE,...",
        help="One board, repeated; keys cores, link (Mbit/s), memory (MiB), delay (ms); others as the options below.",
    ),
    cores: Optional[float] = typer.Option(None, help="CPU quota of each board in cores. (default: no quota)"),
    link_mbit_s: Optional[float] = typer.Option(None, help="Speed of each link. (default: no limit)"),
    memory_mib: Optional[float] = typer.Option(None, help="Memory of each board. (default: no limit)"),
    delay_ms: float = typer.Option(0.0, help="Delay of each link in each direction, where the kernel has netem."),
    dispatcher_link_mbit_s: Optional[float] = typer.Option(None, help="Speed of the dispatcher's link."),
    start_timeout_s: float = typer.Option(120.0, min=1, help="Limit for all node services to serve."),
    state_dir: Optional[Path] = _STATE_DIR,
    as_json: bool = _JSON,
) -> None:
    """Bring boards up in the background.

    Example: python -m benchmarks.boards up --boards 3 --cores 0.2 --link-mbit-s 1000
    """
    if boards is not None and board:
        raise SpecError("--boards and --board exclude each other: say how many equal ones, or describe each.")
    common = BoardSpec(
        "common",
        cores=cores,
        link_bits_per_s=None if link_mbit_s is None else link_mbit_s * 1e6,
        memory_bytes=None if memory_mib is None else mib(memory_mib),
        delay_s=delay_ms / 1e3,
    )
    texts = board or [f"pi{i + 1}" for i in range(boards or _DEFAULT_BOARDS)]
    specs = [parse_board(text, common) for text in texts]
    require_able()
    directory = open_directory(state_dir or default_directory())
    with progress() as display:
        display.add_task(f"starting {len(specs)} boards", total=None)
        link_bits_per_s = None if dispatcher_link_mbit_s is None else dispatcher_link_mbit_s * 1e6
        start_keeper(directory, specs, link_bits_per_s, start_timeout_s)
    state = _require_up(directory)
    _warn(state)
    _show(state, as_json)


@app.command("run", context_settings={"allow_interspersed_args": False})
def run_command(
    command: List[str] = typer.Argument(..., metavar="COMMAND...", help="What to run, with its arguments."),  # noqa: UP006
    on: Optional[str] = typer.Option(None, metavar="NAME", help="The board to run it on. (default: the dispatcher)"),
    state_dir: Optional[Path] = _STATE_DIR,
) -> None:
    """Run a command where the dispatcher is, or on a board; its exit status is this command's.

    Example: python -m benchmarks.boards run -- python -m dispatcher_client status --boards boards.yaml --insecure
    """
    require_able()
    state = _require_up(state_dir or default_directory())
    if on is None:
        argv = command_inside(Path(state.dispatcher_namespace), command)
    else:
        board = _find(state, on)
        argv = command_inside(Path(board.namespace), command, [Path(p) for p in board.join_files])
    os.execvp(argv[0], argv)


@app.command()
def down(state_dir: Optional[Path] = _STATE_DIR) -> None:
    """End the boards and remove all that they left, also what clusters whose owner was killed left.

    Example: python -m benchmarks.boards down
    """
    require_able()
    directory = open_directory(state_dir or default_directory())
    state = read_state(directory)
    removed = []
    if state is not None:
        end_keeper(state.cluster_id)
        remove_cluster(state.cluster_id)
        remove_state(directory)
        removed.append(state.cluster_id)
    removed += [orphan for orphan in remove_orphans() if orphan not in removed]
    stderr.print(f"removed: {', '.join(removed)}" if removed else "nothing is up", highlight=False, soft_wrap=True)


@app.command()
def status(state_dir: Optional[Path] = _STATE_DIR, as_json: bool = _JSON) -> None:
    """Show the boards that are up.

    Example: python -m benchmarks.boards status
    """
    _show(_require_up(state_dir or default_directory()), as_json)


def _require_up(directory: Path) -> ClusterState:
    state = read_state(directory)
    if state is None or not owner_is_alive(state.cluster_id):
        raise ClusterStateError(f"no boards are up (state: {directory}). Bring some up: python -m benchmarks.boards up")
    if not state.is_ready:
        raise ClusterStateError(f"the boards are still starting (state: {directory}). Wait for `up` to end.")
    return state


def _find(state: ClusterState, name: str) -> BoardState:
    for board in state.boards:
        if board.name == name:
            return board
    raise SpecError(f"there is no board {name!r}; there are {', '.join(b.name for b in state.boards)}.")


def _warn(state: ClusterState) -> None:
    if state.warning is not None:
        stderr.print(f"warning: {state.warning}", highlight=False, soft_wrap=True)
    for what, reason in sorted(state.not_emulated.items()):
        stderr.print(f"not emulated: {what}: {reason}", highlight=False, soft_wrap=True, markup=False)


def _show(state: ClusterState, as_json: bool) -> None:
    if as_json:
        print_json(asdict(state))
        return
    print_table(
        f"boards: {state.boards_file}; not emulated: {', '.join(sorted(state.not_emulated)) or 'nothing'}",
        ("board", "address", "node service", "pid", "cores", "link Mbit/s", "memory MiB", "delay ms"),
        (_row(board, state.not_emulated) for board in state.boards),
        text_columns=3,
    )


def _row(board: BoardState, not_emulated: dict[str, str]) -> Sequence[object]:
    def cell(what: str, value: float | None) -> str:
        return "no limit" if value is None or what in not_emulated else f"{value:g}"

    return (
        board.name,
        board.address,
        "runs" if process_is_alive(board.pid) else "ended",
        board.pid,
        cell("cpu", board.cores),
        cell("rate", board.link_bits_per_s and board.link_bits_per_s / 1e6),
        cell("memory", board.memory_bytes and board.memory_bytes / 2**20),
        "not added" if "delay" in not_emulated else f"{board.delay_s * 1e3:g}",
    )


def main() -> None:
    """Entry point of `python -m benchmarks.boards`."""
    run(app, (EmulationError,))
