"""What is said when the DEFER-style chain cannot be made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.chain.defer.run import defer_rate
from benchmarks.chain.errors import BaselineError

pytest.importorskip("keras", reason="needs TensorFlow")


class NoBoards:
    """No more than what making sub-models needs of boards."""

    @contextlib.contextmanager
    def with_cores(self, cores: float | None) -> Iterator[None]:
        yield


def test_model_that_cannot_be_cut_is_named(tmp_path: Path) -> None:
    boards: Any = NoBoards()
    with pytest.raises(BaselineError, match=r"none\.keras cannot be cut into 2 Keras models: .*none\.keras"):
        defer_rate(boards, tmp_path / "none.keras", [0.5], np.zeros(1, np.float32), 2)
