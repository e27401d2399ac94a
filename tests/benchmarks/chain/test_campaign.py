"""The whole benchmark on two emulated boards with a small network: every comparison is there, and the figures hang together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.boards.leftovers import orphaned_clusters
from benchmarks.chain import planned_cuts
from benchmarks.chain.campaign import Campaign
from benchmarks.chain.planned_cuts import PlannedCuts, keep_cuts
from benchmarks.chain.plot import plot_rows
from benchmarks.chain.row import Row
from benchmarks.chain.settings import Settings
from benchmarks.chain.table import show_rows
from benchmarks.rows import flat_rows
from tests.bundles import zoo_file

_CUT = 9
_CORES = 0.3
_FRAMES = 30


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cut that was planned before; planning itself takes minutes and has its own tests."""
    monkeypatch.setattr(planned_cuts, "DIRECTORY", tmp_path)
    file = zoo_file("residual", "float32")
    keep_cuts(PlannedCuts((_CUT,), 50.0), file, 2, _CORES, 200.0)
    yield file
    assert orphaned_clusters() == []


def run(file: Path, **changes: object) -> list[Row]:
    settings = Settings(
        models=["residual"],
        dtypes=["float32"],
        links_mbit_s=[200.0],
        cores=_CORES,
        frames=_FRAMES,
        turns=1,
        with_defer=False,
        **changes,  # type: ignore[arg-type]
    )
    campaign = Campaign(settings, model_file=lambda model, dtype: file)
    return list(campaign.rows())


def test_rows_of_a_run(able: None, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run(kept, boards=(1, 2))
    one, two = rows
    assert [(r.boards, r.used_boards, r.cuts) for r in rows] == [(1, 1, ""), (2, 2, str(_CUT))]
    assert one.speedup_vs_one_board == 1.0
    assert one.cpu_per_board_vs_one_board == 1.0
    assert one.replicas_images_per_s is None
    assert two.replicas_images_per_s is not None
    assert two.speedup_vs_one_board == pytest.approx(two.images_per_s / one.images_per_s)
    for row in rows:
        assert row.images_per_s > 0
        assert row.bound_images_per_s > 0
        assert row.share_of_bound == pytest.approx(row.images_per_s / row.bound_images_per_s)
        assert 0 < row.latency_alone_p50_ms <= row.latency_alone_p99_ms
        assert row.latency_p50_ms <= row.latency_p99_ms
        assert row.bytes_sent_per_image == row.bytes_raw_per_image > 0  # no codec
        assert row.frames >= _FRAMES
    assert len(two.bytes_sent_of_hops.split()) == 2
    flat = flat_rows("chain", rows)
    show_rows(flat)
    assert "chains of emulated boards" in capsys.readouterr().out
    for ending in ("svg", "png"):
        plot_rows(flat, tmp_path / f"plot.{ending}")
        assert (tmp_path / f"plot.{ending}").stat().st_size > 1000


def test_batches_are_rows_of_their_own_in_images(able: None, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, four = run(kept, boards=(2,), batches=(1, 4))
    assert [(r.batch, r.boards, r.cuts) for r in (one, four)] == [(1, 2, str(_CUT)), (4, 2, str(_CUT))]
    assert (one.planned_images_per_s, four.planned_images_per_s) == (50.0, None)
    assert one.largest_difference_of_answers == 0
    for row in (one, four):
        assert row.share_of_bound == pytest.approx(row.images_per_s / row.bound_images_per_s)
        assert 0.2 < row.share_of_bound < 1.2
        assert row.replicas_images_per_s is not None
    # A frame's tensors are those of four images, however many came in time to be in it.
    assert one.images_per_frame == 1
    assert 1 <= four.images_per_frame <= 4
    assert four.bytes_sent_per_image * four.images_per_frame == pytest.approx(4 * one.bytes_sent_per_image)
    assert four.slowest_stage_ms > 2 * one.slowest_stage_ms
    assert four.latency_alone_p50_ms > one.latency_alone_p50_ms
    assert four.frames >= _FRAMES
    show_rows(flat_rows("chain", [one, four]))
    assert "batch" in capsys.readouterr().out


def test_boards_with_a_spare_core(able: None, kept: Path) -> None:
    (row,) = run(kept, boards=(2,), spare_core=True, with_replicas=False)
    assert (row.spare_core, row.cores_per_board, row.used_boards) == (True, _CORES, 2)
    assert row.replicas_images_per_s is None
    assert row.images_per_s > 0
