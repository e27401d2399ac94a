"""Options and arguments that several commands share."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import typer

from dispatcher_client.errors import InputError
from dispatcher_client.values import Values
from terminal import progress
from transport.tensor_codec import AUTO, setting_forms

BUNDLE = typer.Argument(..., metavar="BUNDLE", help="Directory made by `python -m converter split`.")
BOARDS = typer.Option(..., metavar="FILE", help="boards.yaml, or addresses separated by commas.")
PLAN = typer.Option(
    None,
    "--plan",
    metavar="FILE",
    help="plan.yaml: which board serves which part. (default: the bundle's own, if its boards are there)",
)
CODEC = typer.Option(
    AUTO,
    help=f"Coding of tensors between boards: auto (lossless, chosen by measurement), one of {', '.join(setting_forms())}, "
    "or several to choose among, separated by commas, as auto,q8. half, q8, q4 and zfp:ERROR change the answers.",
)
TIMEOUT = typer.Option(30.0, "--timeout-s", min=0.1, help="Limit for each answer of a board.")
JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")
TRACE = typer.Option(
    None,
    "--trace",
    metavar="FILE",
    help="Write what each board did with each frame, and when, as a trace for ui.perfetto.dev or chrome://tracing.",
)


def read_values(path: Path) -> Values:
    """One input, or several in a dict by name. Raises: InputError: the file is neither .npy nor .npz."""
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as .npy or .npz: {error}. Write it with numpy.save or numpy.savez."
        ) from error


def require_directory(path: Path | None, what: str) -> None:
    """Before a run whose result is to be written there. Raises: InputError."""
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"{what} cannot be written to {path}: its directory does not exist.")


@contextmanager
def shown_uploads() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each board that something is uploaded to; gives a dispatcher's `on_upload`."""
    with progress() as display:
        tasks: dict[str, Any] = {}

        def show(board: str, sent_bytes: int, total_bytes: int) -> None:
            if board not in tasks:
                tasks[board] = display.add_task(f"uploading to {board}", total=total_bytes)
            display.update(tasks[board], completed=sent_bytes)

        yield show
