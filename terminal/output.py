"""Tables, JSON and progress; colours give way to NO_COLOR and to pipes (rich sees to both)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# A pipe has no width; rich would assume 80 and fold every cell.
_PIPE_WIDTH = 160
stdout = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
stderr = Console(stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for scripts."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, text_columns: int = 1) -> None:
    """A table on stdout; the first `text_columns` are left-aligned, the rest are figures."""
    # Text, because names of tensors and files may look like markup.
    table = Table(header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text_columns else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    stdout.print(Text(title, style="italic"), soft_wrap=True)  # a table's own title would fold at the table's width
    stdout.print(table)


def printable(text: str) -> str:
    """Text from elsewhere as one line that a terminal and a comment can take: neither colours nor line ends."""
    return "".join(c if c.isprintable() else " " for c in text)


def print_error(error: object) -> None:
    """One error on stderr, as every command ends with."""
    # As Text: names of files and tensors may look like markup.
    stderr.print(Text.assemble(("error:", "bold red"), f" {error}"), highlight=False, soft_wrap=True)


def progress() -> Progress:
    """A progress display on stderr, removed when done; on a pipe nothing is drawn."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,  # else it ends with an empty line
    )
