"""Panels: one per model, dtype and link, their rows by number of boards."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chain.errors import SettingsError
from benchmarks.chain.plot import panels, plot_rows
from benchmarks.chain.table import COST, THROUGHPUT, cells
from benchmarks.rows import Cell, FlatRow


def row(boards: int, **changes: Cell) -> FlatRow:
    fields: FlatRow = {name: 1.0 for _, name, _ in (*THROUGHPUT, *COST)}
    fields.update(
        model="Net", dtype="int8", boards=boards, used_boards=boards, spare_core=False, link_mbit_s=1000.0, batch=1
    )
    fields.update(replicas_images_per_s=None, defer_style_images_per_s=None, **changes)
    return fields


def test_panels_are_of_one_model_dtype_and_link() -> None:
    kept_before_batches = row(1)
    del kept_before_batches["batch"]
    others = [row(2, link_mbit_s=100.0), row(2, spare_core=True), row(2, batch=4)]
    found = panels([row(8), kept_before_batches, *others])
    assert [(title, [r["boards"] for r in own]) for title, own in found.items()] == [
        ("Net int8, 1000 Mbit/s", [1, 8]),
        ("Net int8, 100 Mbit/s", [2]),
        ("Net int8, 1000 Mbit/s, spare core", [2]),
        ("Net int8, 1000 Mbit/s, batch 4", [2]),
    ]


def test_picture_is_the_same_from_the_same_rows(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        plot_rows([row(1), row(8)], tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"expected \.svg"):
        plot_rows([row(1)], tmp_path / "plot.txt")


def test_cells_say_what_is_missing_unused_or_spare() -> None:
    found = dict(zip((name for _, name, _ in THROUGHPUT), cells(row(8, speedup_vs_replicas=None), THROUGHPUT)))
    assert (found["speedup_vs_replicas"], found["boards"], found["share_of_bound"]) == ("-", "8", "100%")
    changed = row(8, spare_core=True)
    changed["used_boards"] = 7
    assert cells(changed, THROUGHPUT)[2] == "8 (7 used) +spare"
    assert found["batch"] == "1"
    del changed["batch"]
    assert cells(changed, THROUGHPUT)[3] == "1"  # of rows that were kept before there were batches
