"""The codec benchmark's counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.codecs import _Coder, _once
from transport.tensor_codec import parse_setting


def test_bytes_and_times_are_counted_by_cut_and_in_sum() -> None:
    coder = _Coder(parse_setting("half"))
    array = np.linspace(0, 1, 1000, dtype=np.float32)
    for cut in ("a", "b", "b"):
        assert np.abs(coder(cut, array) - array).max() < 1e-3
    assert list(coder.tallies) == ["a", "all", "b"]
    assert [t.sent_bytes for t in coder.tallies.values()] == [2000, 6000, 4000]
    assert coder.tallies["all"].raw_bytes == 4 * coder.tallies["all"].elements == 12_000


def test_what_an_earlier_run_made_is_kept_and_what_it_left_unfinished_is_not(tmp_path: Path) -> None:
    def fail(out: Path) -> None:
        out.mkdir()
        raise RuntimeError("no")

    result = tmp_path / "kept" / "model"
    with pytest.raises(RuntimeError, match="no"):
        _once(result, fail)
    assert _once(result, Path.mkdir) == result
    assert _once(result, fail).is_dir()
