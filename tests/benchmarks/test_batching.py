"""The benchmark of batches: one model, one set of cuts, and rows that hang together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.batching import _measure, _row, _split_all
from bundle import open_bundle
from examples.local_boards import LocalBoards
from tests.bundles import zoo_file


@pytest.mark.parametrize("name", ["residual", "two_inputs"])
def test_batches_are_cut_at_the_same_places_and_measured_in_images(
    boards: LocalBoards, tmp_path: Path, name: str
) -> None:
    splits = _split_all(zoo_file(name, "int8"), [1, 4], 3, tmp_path)
    assert [split.batch for split in splits] == [1, 4]
    assert [split.difference for split in splits] == [0, 0]
    crossing = [
        [[t.name for t in p.leaving] for p in open_bundle(split.bundle).splittings[0].partitions] for split in splits
    ]
    assert crossing[0] == crossing[1]
    rows = []
    for split in splits:
        figures = [_measure(split.bundle, boards.named, 16)]
        rows.append(_row(name, "int8", 3, 0.2, 1000.0, split, figures, figures[0].images_per_s))
    for row in rows:
        assert row.speedup_vs_first_batch == 1
        assert 0 < row.latency_p50_ms <= row.latency_p99_ms
        assert row.images_per_s > 0
        assert not any(isinstance(value, (dict, list)) for value in asdict(row).values())
    # A frame's header is shared by its images.
    assert rows[1].bytes_sent_per_image < rows[0].bytes_sent_per_image
