"""A short soak: what node services keep resident stays within what they may, and does not grow with frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.rows import flat_rows
from benchmarks.soaking import soak
from bundle import Bundle
from examples.local_boards import LocalBoards
from tests.bundles import split_file
from tests.partitioning import sample_models

_FRAMES = 3000
_MIB = 2**20


def test_memory_stays_within_its_bound(zoo_bundle: Callable[..., Bundle], store_root: Path) -> None:
    with LocalBoards(2, store_root) as local:
        rows = soak(zoo_bundle("residual", "float32", 2), local, _FRAMES)
    assert [row.board for row in rows] == ["board1", "board2"]
    for row in rows:
        assert row.frames == _FRAMES
        assert row.frame_bytes > 0
        assert row.resident_allowed_bytes == 64 * _MIB + 4 * row.frame_bytes
        assert row.is_within_allowed, row
        assert row.resident_beyond_bytes <= row.resident_allowed_bytes
        # A leak of one frame in a hundred would show: it is beyond what allocators come and go with.
        assert row.resident_slope_bytes_per_frame * _FRAMES / 2 < 8 * _MIB, row
    assert flat_rows("soak", rows)[0]["benchmark"] == "soak"


def test_memory_stays_within_its_bound_with_frames_of_megabytes(store_root: Path, tmp_path: Path) -> None:
    width, frames = 800_000, 400
    model = tmp_path / "wide.tflite"
    model.write_bytes(sample_models.relu_chain(["a", "b", "c"], width).build())
    with LocalBoards(2, store_root) as local:
        rows = soak(split_file(tmp_path / "bundle", model, parts=2), local, frames)
    for row in rows:
        assert row.frame_bytes >= 4 * width
        assert row.resident_allowed_bytes == 64 * _MIB + 4 * row.frame_bytes
        assert row.is_within_allowed, row
        # A leak of one frame in a hundred would be 6 MB.
        assert row.resident_slope_bytes_per_frame * frames / 2 < 4 * _MIB, row
