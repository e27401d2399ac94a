"""Rows of benchmarks: flat, named, and the same after a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest

from benchmarks.rows import RowsError, flat_rows, print_rows, read_rows, write_rows


@dataclass(frozen=True)
class _Row:
    case: str
    images_per_s: Optional[float] = None


@dataclass(frozen=True)
class _Nested:
    hops: list[int]


def test_rows_name_their_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("chain", [_Row("one", 2.5), _Row("two")])
    assert json.loads(capsys.readouterr().out) == [
        {"benchmark": "chain", "case": "one", "images_per_s": 2.5},
        {"benchmark": "chain", "case": "two", "images_per_s": None},
    ]


def test_rows_that_are_not_flat_are_a_defect() -> None:
    with pytest.raises(AssertionError, match="rows of chain are not flat: hops"):
        flat_rows("chain", [_Nested([1])])


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    rows = flat_rows("chain", [_Row("one", 1 / 3), _Row("two")])
    write_rows(tmp_path / "rows.json", rows)
    assert read_rows(tmp_path / "rows.json") == rows
    assert len((tmp_path / "rows.json").read_text().splitlines()) == len(rows) + 2


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"case": "one"}]'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(RowsError, match=r"rows\.json"):
        read_rows(tmp_path / "rows.json")
