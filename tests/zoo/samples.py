"""Seeded random data that looks like what each kind of model input carries."""

from __future__ import annotations

import numpy as np

# Half-widths of the noise grids that are summed into an image: a coarse grid gives areas, a fine one texture.
_GRIDS: tuple[tuple[int, float], ...] = ((3, 1.0), (6, 0.6), (12, 0.3))
_GRAIN = 0.05


def batch(shape: tuple[int, ...], count: int, seed: int) -> np.ndarray:
    """Returns smooth random samples for an input of any rank.

    Images and sequences are smooth along their rows, columns or time steps, because white noise averages
    out in the first pooling layer and leaves nothing alive behind it. Vectors are plain normal noise.

    Args:
        shape: one sample without its batch axis: (H, W, C), (T, C) or (N,).
        count: samples to draw.
        seed: the same seed gives the same samples.
    Returns:
        (count, *shape) float32, mean about 0, standard deviation about 1.
    """
    rng = np.random.default_rng(seed)
    if len(shape) == 1:
        return rng.standard_normal((count, *shape), dtype=np.float32)
    axes = tuple(range(1, len(shape)))  # the last axis holds channels and stays rough
    total = np.zeros((count, *shape))
    for cells, weight in _GRIDS:
        grid = rng.standard_normal((count, *(cells for _ in axes), shape[-1]))
        for axis in axes:
            grid = _stretched(grid, axis, shape[axis - 1])
        total += weight * grid
    total += _GRAIN * rng.standard_normal(total.shape)
    return np.asarray(total / total.std(), dtype=np.float32)


def _stretched(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Returns values resampled linearly to size points along one axis."""
    position = np.linspace(0, values.shape[axis] - 1, size)
    lower = np.minimum(position.astype(int), values.shape[axis] - 2)
    weight = (position - lower).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    below, above = np.take(values, lower, axis), np.take(values, lower + 1, axis)
    return np.asarray(below + weight * (above - below))
