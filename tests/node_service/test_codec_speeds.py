"""Codecs measured: every one that is here, on data that shrinks as activations do."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from node_service.codec_speeds import activations, measure_codecs
from protos.v1.data_plane_pb2 import Codec
from protos.v1.tensor_pb2 import DType
from transport.tensor_codec import CODECS, available_codecs
from transport.tensor_spec import numpy_dtype


def test_every_codec_is_measured_on_both_kinds_of_data() -> None:
    speeds = measure_codecs(0.2, threading.Event())
    assert [(s.codec, s.dtype) for s in speeds] == [
        (codec, dtype)
        for codec in available_codecs()
        for dtype in (DType.FLOAT32, DType.INT8)
        if CODECS[codec].holds(numpy_dtype(dtype))
    ]
    for speed in speeds:
        assert speed.encode_bytes_per_s > 1e6
        assert speed.decode_bytes_per_s > 1e6
        if speed.codec == Codec.RAW:
            assert speed.size_ratio == 1
        else:
            assert 0.1 < speed.size_ratio < 1


def test_data_is_that_of_a_rectified_layer_and_the_same_each_time() -> None:
    floats, integers = activations()
    assert (floats.dtype, integers.dtype) == (np.float32, np.int8)
    assert floats.nbytes == integers.nbytes == 2**18
    assert (floats == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (integers == -128).mean() == pytest.approx(0.5, abs=0.05)
    assert integers.max() == 127
    for again, data in zip(activations(), (floats, integers)):
        assert again.tobytes() == data.tobytes()


def test_measuring_stops_when_nobody_waits_for_it() -> None:
    stop = threading.Event()
    stop.set()
    assert measure_codecs(60, stop) == []
