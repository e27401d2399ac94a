"""Tensors channel by channel, and back."""

from __future__ import annotations

import numpy as np
import pytest

from transport.codecs.channel_planes import from_planes, to_planes


def test_elements_of_one_channel_come_side_by_side() -> None:
    pixels = np.array([[[1, 10], [2, 20]], [[3, 30], [4, 40]]])
    assert to_planes(pixels).tolist() == [1, 2, 3, 4, 10, 20, 30, 40]


@pytest.mark.parametrize("shape", [(), (7,), (1, 7), (7, 1), (2, 3, 4), (1, 5, 6, 7, 3)])
def test_order_comes_back(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    assert from_planes(to_planes(array), shape).tolist() == array.reshape(-1).tolist()
