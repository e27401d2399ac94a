"""docs/performance.md is what the generator makes of the kept rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import ReportError, kept_files, render_page
from benchmarks.rows import FlatRow

_DOCS = Path(__file__).parents[2] / "docs"


def test_page_is_what_the_generator_gives() -> None:
    made = render_page(kept_files(_DOCS))
    assert (_DOCS / "performance.md").read_text(encoding="utf-8") == made, "run: python -m benchmarks.report"
    assert (_DOCS / "images" / "performance.svg").is_file()


def test_page_names_the_machine() -> None:
    rows = [row for rows in kept_files(_DOCS).values() for row in rows if row["benchmark"] == "chain"]
    page = (_DOCS / "performance.md").read_text(encoding="utf-8")
    for row in rows:
        for name in ("processor", "kernel", "runtime"):
            assert str(row[name]) in page


def test_rows_of_other_benchmarks_have_a_table_of_their_own() -> None:
    rows: list[FlatRow] = [{"benchmark": "splitting", "case": "one", "time_s": 1.23456, "parts": None}]
    page = render_page({"splitting.json": rows})
    assert "## splitting\n\n| case | time_s |\n| --- | --- |\n| one | 1.235 |\n" in page
    assert "[splitting.json](performance/splitting.json)" in page


def test_without_rows_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no rows in"):
        kept_files(tmp_path)
