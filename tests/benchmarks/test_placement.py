"""Rows of the placement benchmark have the names that all benchmarks share."""

from __future__ import annotations

from dataclasses import fields

from benchmarks.chain.row import Row as ChainRow
from benchmarks.placement import Row
from benchmarks.soaking import Row as SoakRow

_SHARED = {"model", "dtype", "boards", "images_per_s"}


def test_rows_share_names() -> None:
    for row in (Row, ChainRow, SoakRow):
        assert {field.name for field in fields(row)} >= _SHARED
