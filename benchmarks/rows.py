"""The rows that every benchmark prints with --json: a list of flat objects, one per case, alike within a benchmark.

What several benchmarks measure has one name in all of them: `case` in words, `model` (as in keras.applications), `dtype` (float32
or int8), `boards`, `cores_per_board`, `link_mbit_s`, `images_per_s`; units end the name. None: does not apply, or not measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from terminal import print_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Cell = Union[str, int, float, bool, None]
FlatRow = dict[str, Cell]


class RowsError(Exception):
    """A file that does not hold a benchmark's rows."""


def flat_rows(benchmark: str, rows: Iterable[DataclassInstance]) -> list[FlatRow]:
    """Rows as plain values, each with the name of the benchmark that it came from."""
    flat = [{"benchmark": benchmark, **asdict(row)} for row in rows]
    for row in flat:
        nested = sorted(name for name, value in row.items() if not isinstance(value, (str, int, float, type(None))))
        assert not nested, f"rows of {benchmark} are not flat: {', '.join(nested)}"
    return flat


def print_rows(benchmark: str, rows: Iterable[DataclassInstance]) -> None:
    """One JSON list on stdout."""
    print_json(flat_rows(benchmark, rows))


def write_rows(path: Path, rows: Sequence[FlatRow]) -> None:
    """Writes a JSON list, one row per line, so that two files can be compared."""
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")


def read_rows(path: Path) -> list[FlatRow]:
    """What `write_rows` or a redirected --json wrote. Raises: RowsError: anything else, or no file."""
    try:
        rows: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RowsError(f"{path} cannot be read as a benchmark's rows: {error}.") from error
    if not isinstance(rows, list) or not all(isinstance(r, Mapping) and "benchmark" in r for r in rows):
        raise RowsError(
            f"{path} holds no list of a benchmark's rows. Make one: python -m benchmarks.chain --json > FILE"
        )
    return [dict(row) for row in rows]
