"""The virtual boards' command line: image, up."""

from __future__ import annotations

import shlex
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import List, Optional  # noqa: UP035  # typer reads annotations at run time, also under Python 3.9

import typer

from benchmarks.boards.errors import EmulationError
from deploy.virtual_boards.architecture import ARCHITECTURES, architectures
from deploy.virtual_boards.errors import VirtualBoardError
from deploy.virtual_boards.fleet import DEFAULT_BOOT_TIMEOUT_S, VirtualFleet
from deploy.virtual_boards.image import DEFAULT_CACHE, ready_image
from deploy.virtual_boards.preflight import require_tools
from terminal import command_app, print_json, print_table, progress, run, stderr

app = command_app("Boots Debian with systemd and SSH as virtual boards on this Linux machine, to try playbooks on.")

_CACHE = typer.Option(DEFAULT_CACHE, "--cache", metavar="DIR", help="Where images are kept.")
_WATCH_S = 1.0


@app.command("image")
def image_command(
    names: Optional[List[str]] = typer.Argument(  # noqa: UP006
        None, metavar="[ARCHITECTURE]...", help=f"Any of {', '.join(ARCHITECTURES)}. (default: all)"
    ),
    cache: Path = _CACHE,
) -> None:
    """Make images that are not in the cache yet; print where they are.

    Example: python -m deploy.virtual_boards image amd64
    """
    kinds = architectures(names or ARCHITECTURES)
    require_tools(kinds)
    for kind in kinds:
        with progress() as display:
            display.add_task(f"{kind.name} image", total=None)
            image = ready_image(kind, cache)
        typer.echo(image.directory)


@app.command()
def up(
    amd64: int = typer.Option(0, min=0, help="How many boards with the processor of PCs."),
    arm64: int = typer.Option(0, min=0, help="How many boards with the Raspberry Pi 4's, several times slower."),
    memory_mib: Optional[int] = typer.Option(None, min=128, help="Memory of each board. (default: 512)"),
    boot_timeout_s: float = typer.Option(DEFAULT_BOOT_TIMEOUT_S, min=1, help="Limit for all boards to answer."),
    inventory: Optional[Path] = typer.Option(
        None, metavar="FILE", help="Write the inventory there, too: Ansible looks for what belongs to it beside it."
    ),
    cache: Path = _CACHE,
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Boot boards and keep them until Ctrl-C; nothing of them stays.

    Example: python -m deploy.virtual_boards up --amd64 3 --arm64 1
    """
    fleet = VirtualFleet(amd64=amd64, arm64=arm64, memory_mib=memory_mib, cache=cache, boot_timeout_s=boot_timeout_s)
    with ExitStack() as stack:
        with progress() as display:
            display.add_task(
                f"booting {amd64 + arm64} boards; minutes more if images have to be made first", total=None
            )
            stack.enter_context(fleet)
        if inventory is not None:
            inventory.write_text(fleet.inventory_text())
        with suppress(KeyboardInterrupt):
            _show(fleet, inventory or fleet.inventory, as_json)
            _watch(fleet)


def _show(fleet: VirtualFleet, inventory: Path, as_json: bool) -> None:
    inside = shlex.join(fleet.command(["COMMAND"]))
    rows = [(b.spec.name, b.host, b.image.kind.name, b.pid, str(b.log)) for b in fleet.boards]
    if as_json:
        keys = ("name", "address", "architecture", "pid", "log")
        boards = [dict(zip(keys, row)) for row in rows]
        print_json({"inventory": str(inventory), "namespace": str(fleet.namespace), "boards": boards})
        return
    print_table(f"inventory: {inventory}", ("board", "address", "architecture", "pid", "console"), rows, text_columns=3)
    stderr.print(f"where the boards are reached: {inside}", highlight=False, soft_wrap=True, markup=False)
    stderr.print("Ctrl-C ends them.")


def _watch(fleet: VirtualFleet) -> None:
    """Returns never; says once of each board that it went off."""
    waiting = list(fleet.boards)
    while True:
        for board in [b for b in waiting if not b.is_on]:
            waiting.remove(board)
            stderr.print(f"{board.spec.name} went off", highlight=False, soft_wrap=True)
        time.sleep(_WATCH_S)


def main() -> None:
    """Entry point of `python -m deploy.virtual_boards`."""
    run(app, (VirtualBoardError, EmulationError))
