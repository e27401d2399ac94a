"""How fast this board's codecs are, on data like what travels between the layers of a network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from threading import Event

import numpy as np

from protos.v1.control_plane_pb2 import CodecSpeed
from protos.v1.data_plane_pb2 import Codec
from transport.tensor_codec import CODECS, CodecSetting, available_codecs, decode_tensor, encode_tensor
from transport.tensor_spec import Array, wire_dtype

_SEED = 20
_RAW_BYTES = 2**18  # a tensor of a usual size, and beyond the first-level caches
# More time does not make the median better.
_MOST_S = 0.2
# Each pair of codec and data is timed twice: encoding and decoding.
_DIRECTIONS = 2
# What codecs with a tolerance are measured with, as a share of the largest value: about that of an 8 bit integer.
_TOLERANCE = 2**-9


def measure_codecs(budget_s: float, stop: Event) -> list[CodecSpeed]:
    """The speed of every codec on the float32 and int8 data it can hold, one thread; each runs once, whatever the budget.

    Ends early, with what is known, once `stop` is set.
    """
    samples = list(activations())
    pairs = [(codec, data) for codec in available_codecs() for data in samples if CODECS[codec].holds(data.dtype)]
    share_s = min(_MOST_S, budget_s / (len(pairs) * _DIRECTIONS))
    return [_measure(codec, data, share_s) for codec, data in pairs if not stop.is_set()]


def activations() -> Iterator[Array]:
    """(height, width, channels) float32 and int8 data as a ReLU leaves it: half zeros, smooth in space, the rest half-normal.

    The int8 data is the float's quantised over its range, so that zero is -128.
    """
    rng = np.random.default_rng(_SEED)
    for dtype, side in ((np.dtype(np.float32), 32), (np.dtype(np.int8), 64)):
        coarse = rng.normal(size=(_RAW_BYTES // dtype.itemsize // side**2, side // 2, side // 2))
        fine = coarse.repeat(2, axis=1).repeat(2, axis=2) + rng.normal(scale=0.3, size=(len(coarse), side, side))
        rectified = np.ascontiguousarray(np.moveaxis(np.maximum(fine, 0), 0, -1))
        if dtype.kind == "f":
            yield rectified.astype(dtype)
        else:
            yield (np.rint(rectified * (255 / rectified.max())) - 128).astype(dtype)


def _measure(codec: Codec, data: Array, share_s: float) -> CodecSpeed:
    setting = CodecSetting(codec, _TOLERANCE * float(data.max()))
    encoded = encode_tensor(data, setting)
    return CodecSpeed(
        codec=codec,
        dtype=wire_dtype(data.dtype),
        encode_bytes_per_s=data.nbytes / _median_s(lambda: encode_tensor(data, setting), share_s),
        decode_bytes_per_s=data.nbytes / _median_s(lambda: decode_tensor(encoded), share_s),
        size_ratio=len(encoded.data) / data.nbytes,
    )


def _median_s(work: Callable[[], object], share_s: float) -> float:
    times_s: list[float] = []
    begun_s = now_s = time.perf_counter()
    while not times_s or now_s - begun_s < share_s:
        before_s = now_s
        work()
        now_s = time.perf_counter()
        times_s.append(now_s - before_s)
    return statistics.median(times_s)
