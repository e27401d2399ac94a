"""Rows from turns: medians, ratios within the row, and what stands in where a service does not say."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from benchmarks.chain.row import Row, make_row
from benchmarks.chain.turns import invoke_alone_ms
from benchmarks.rows import flat_rows
from tests.benchmarks.chain.replies import CASE, run_of, stage_load, turns_of

ASKED_FOR = (
    "model dtype boards cores_per_board link_mbit_s images_per_s bound_images_per_s share_of_bound speedup_vs_one_board "
    "speedup_vs_replicas speedup_vs_defer_style latency_p50_ms latency_p99_ms cpu_outside_invoke_ms_per_mb bytes_sent_per_image"
).split()
ONE = turns_of(4.0, stage_load("pi1", service_cpu_ms=20.0))


def test_row_is_flat_and_has_the_names_that_others_read() -> None:
    assert set(ASKED_FOR) <= {field.name for field in fields(Row)}
    (row,) = flat_rows("chain", [make_row(CASE, turns_of(20.0, stage_load("pi1")), ONE)])
    assert row["benchmark"] == "chain"


def test_ratios_are_of_figures_in_the_row() -> None:
    turns = turns_of(20.0, stage_load("pi1"), stage_load("pi2", invoke_cpu_ms=6.0))
    turns.replicas_images_per_s = [10.0, 8.0, 50.0]
    turns.defer_images_per_s = 0.5
    row = make_row(CASE, turns, ONE)
    assert row.bound_images_per_s == pytest.approx(1e3 / 35)  # 7 ms on a fifth of a core
    assert row.share_of_bound == pytest.approx(0.7)
    assert (row.speedup_vs_one_board, row.speedup_vs_replicas, row.speedup_vs_defer_style) == (5.0, 2.0, 40.0)
    assert (row.cpu_invoke_ms_per_image, row.cpu_outside_invoke_ms_per_image) == (14.0, 6.0)
    assert row.cpu_outside_invoke_ms_per_mb == 2.0  # 3 MB
    assert row.cpu_per_board_vs_one_board == 0.5
    assert row.queueing_in_stage_times == pytest.approx((20.0 - 5.0) / 35)
    assert (row.bytes_sent_per_image, row.bytes_raw_per_image) == (1e6, 1.2e6)
    assert (row.bytes_sent_of_hops, row.codecs_of_hops, row.cuts) == ("500000 500000", "lz4 lz4", "7")


def test_slowest_stage_computes_a_whole_frame() -> None:
    one = make_row(CASE, turns_of(20.0, stage_load("pi1")), ONE)
    four = make_row(replace(CASE, batch=4), turns_of(20.0, stage_load("pi1")), ONE)
    assert (one.batch, one.slowest_stage_ms, four.batch, four.slowest_stage_ms) == (1, 35.0, 4, 140.0)
    assert four.bound_images_per_s == one.bound_images_per_s  # an image's share of a frame is in both


def test_median_of_the_turns_counts() -> None:
    turns = turns_of(20.0, stage_load("pi1"))
    turns.loaded += [run_of(90.0, stage_load("pi1", service_cpu_ms=50.0)), run_of(21.0, stage_load("pi1"))]
    row = make_row(CASE, turns, ONE)
    assert (row.images_per_s, row.cpu_outside_invoke_ms_per_image, row.frames, row.turns) == (21.0, 2.0, 300, 3)


def test_without_comparisons_there_are_none() -> None:
    row = make_row(CASE, turns_of(20.0, stage_load("pi1")), ONE)
    assert row.speedup_vs_replicas is None
    assert row.speedup_vs_defer_style is None


def test_an_estimate_stands_in_where_services_do_not_say_what_invoke_takes() -> None:
    turns = turns_of(20.0, stage_load("pi1", invoke_cpu_ms=None), invoke_ms=None)
    assert invoke_alone_ms(turns, 0.2) == [6.0]  # 30 ms of a fifth of a core
    turns.estimated_invoke_ms = (4.0,)
    row = make_row(CASE, turns, ONE)
    assert (row.cpu_invoke_ms_per_image, row.cpu_outside_invoke_ms_per_image) == (4.0, 6.0)
    assert row.bound_images_per_s == pytest.approx(50.0)
    assert row.invoke_cpu_from == "runs of the partitions alone"


def test_reasons_name_their_boards() -> None:
    turns = turns_of(20.0, stage_load("pi1", reason="as asked"), stage_load("pi2", codecs=()))
    row = make_row(replace(CASE, codec="raw"), turns, ONE)
    assert (row.codec_reasons, row.codecs_of_hops) == ("pi1: as asked", "lz4 raw")
