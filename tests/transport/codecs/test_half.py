"""float16 on the wire: the bound holds for every element, and what would overflow goes another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport.errors import FrameError
from transport.frame import EncodedTensor
from transport.tensor_codec import CodecSetting, decode_tensor, encode_tensor

HALF = CodecSetting(Codec.HALF)


@given(np_st.arrays(np.float32, st.integers(1, 50), elements=st.floats(-65519, 65519, width=32)))
def test_error_is_within_the_bound_for_every_element(array: np.ndarray[Any, Any]) -> None:
    sent = encode_tensor(array, HALF)
    assert (sent.header.codec, len(sent.data)) == (Codec.HALF, array.nbytes // 2)
    exact = array.astype(np.float64)
    error = np.abs(decode_tensor(sent) - exact)
    assert (error <= np.maximum(2.0**-11 * np.abs(exact), 2.0**-25)).all()


def test_largest_float_that_stays_finite_is_held_and_the_next_is_not() -> None:
    last = np.nextafter(np.float32(65520), np.float32(0))
    assert decode_tensor(encode_tensor(np.array([last, -last]), HALF)).tolist() == [65504, -65504]
    assert encode_tensor(np.full(9, 65520, np.float32), HALF).header.codec != Codec.HALF


@pytest.mark.parametrize(("dtype", "data"), [(DType.FLOAT64, bytes(8)), (DType.FLOAT32, bytes(3)), (DType.INT8, b"xx")])
def test_data_are_refused_when_they_are_no_rounded_float32(dtype: DType, data: bytes) -> None:
    header = TensorHeader(dtype=dtype, shape=[2], codec=Codec.HALF)
    with pytest.raises(FrameError, match="no float32 rounded to float16"):
        decode_tensor(EncodedTensor(header, data))


def test_signalling_nan_of_a_peer_is_taken() -> None:
    header = TensorHeader(dtype=DType.FLOAT32, shape=[1], codec=Codec.HALF)
    assert np.isnan(decode_tensor(EncodedTensor(header, b"\x01\x7c"))).all()
