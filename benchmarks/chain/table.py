"""The rows for people."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.rows import Cell, FlatRow
from terminal import print_table

# Column, field, form of a figure.
_Columns = Sequence[tuple[str, str, str]]
_CASE: _Columns = (
    ("model", "model", ""),
    ("dtype", "dtype", ""),
    ("boards", "boards", "d"),
    ("batch", "batch", "d"),
    ("Mbit/s", "link_mbit_s", "g"),
)
THROUGHPUT: _Columns = (
    *_CASE,
    ("images/s", "images_per_s", ".2f"),
    ("bound", "bound_images_per_s", ".2f"),
    ("share", "share_of_bound", ".0%"),
    ("of plaintext", "share_of_plaintext", ".1%"),
    ("x one board", "speedup_vs_one_board", ".2f"),
    ("x replicas", "speedup_vs_replicas", ".2f"),
    ("x DEFER-style", "speedup_vs_defer_style", ".1f"),
    ("alone p50 ms", "latency_alone_p50_ms", ".1f"),
    ("p99", "latency_alone_p99_ms", ".1f"),
    ("loaded p50 ms", "latency_p50_ms", ".1f"),
    ("p99", "latency_p99_ms", ".1f"),
    ("queueing", "queueing_in_stage_times", ".1f"),
)
COST: _Columns = (
    *_CASE,
    ("CPU ms in invoke", "cpu_invoke_ms_per_image", ".1f"),
    ("outside", "cpu_outside_invoke_ms_per_image", ".1f"),
    ("outside per MB", "cpu_outside_invoke_ms_per_mb", ".2f"),
    ("board's CPU / one board's", "cpu_per_board_vs_one_board", ".3f"),
    ("kB raw", "bytes_raw_per_image", ".1f"),
    ("kB sent", "bytes_sent_per_image", ".1f"),
)
_IN_KB = ("bytes_raw_per_image", "bytes_sent_per_image")


def show_rows(rows: Sequence[FlatRow]) -> None:
    """Prints the tables."""
    for title, columns in (("chains of emulated boards", THROUGHPUT), ("what an image costs", COST)):
        print_table(title, [name for name, _, _ in columns], (cells(row, columns) for row in rows), text_columns=2)


def cells(row: FlatRow, columns: _Columns) -> list[str]:
    """One row's cells."""
    row = {"batch": 1, **row}  # rows that were kept before there were batches
    found = [_cell(row.get(name), name, form) for _, name, form in columns]
    if row["used_boards"] != row["boards"]:
        found[2] += f" ({row['used_boards']} used)"
    if row["spare_core"]:
        found[2] += " +spare"
    if row.get("tls"):
        found[2] += " +TLS"
    return found


def _cell(value: Cell, name: str, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and name in _IN_KB:
        value /= 1e3
    return format(value, form)
