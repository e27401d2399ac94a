"""The planner's benchmark in its quick form: every row is there, and ours is never the worse."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

KEYS = {
    "benchmark", "case", "instances", "worse_than_brute_force", "cuts", "boards", "time_ms", "slowest_ms", "certified_gap",
    "bottleneck_ms", "lower_bound_ms", "heuristic", "mean_gain", "gains", "never_worse",
}  # fmt: skip
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    command = [sys.executable, "-m", "benchmarks.planner", "--quick", "--json"]
    rows: list[Row] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return rows


def test_rows_are_flat_and_alike(rows: list[Row]) -> None:
    for row in rows:
        assert set(row) == KEYS
        assert not any(isinstance(value, (dict, list)) for value in row.values())


def test_no_instance_is_worse_than_trying_every_chain(rows: list[Row]) -> None:
    compared = [row for row in rows if row["worse_than_brute_force"] is not None]
    assert len(compared) == 2
    assert all(row["worse_than_brute_force"] == 0 for row in compared)


def test_clusters_come_with_a_bound(rows: list[Row]) -> None:
    clusters = [row for row in rows if row["certified_gap"] is not None]
    assert len(clusters) >= 6
    for row in clusters:
        assert row["certified_gap"] >= 0
        assert row["lower_bound_ms"] <= row["bottleneck_ms"]
        assert row["certified_gap"] == 0 or not row["case"].startswith("SEIFER")


def test_ours_is_never_worse_than_a_published_heuristic(rows: list[Row]) -> None:
    compared = [row for row in rows if row["heuristic"] is not None]
    assert {row["heuristic"] for row in compared} == {"SEIFER k-path", "greedy joint", "random"}
    for row in compared:
        assert row["never_worse"] is True
        assert row["mean_gain"] is None or row["mean_gain"] >= 1
