"""Images that networks are calibrated on and measured with."""

from __future__ import annotations

import numpy as np

from benchmarks.keras_models import photograph_crops


def test_crops_are_photographs_from_minus_one_to_one_and_always_the_same() -> None:
    crops = photograph_crops(3, (32, 24, 3))
    assert (crops.shape, crops.dtype) == ((3, 32, 24, 3), np.dtype(np.float32))
    assert (crops.min() >= -1, crops.max() <= 1, crops.std() > 0.1) == (True, True, True)
    assert np.array_equal(crops, photograph_crops(3, (32, 24, 3)))
