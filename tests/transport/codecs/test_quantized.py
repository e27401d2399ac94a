"""8 and 4 bit integers on the wire: the bound holds for every element, and damaged data are refused or are numbers."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport.codecs import lz4_block
from transport.codecs.quantized import clipping_range
from transport.errors import FrameError
from transport.frame import EncodedTensor
from transport.tensor_codec import CodecSetting, decode_tensor, encode_tensor

Array = np.ndarray[Any, Any]
BITS = {Codec.QUANTIZED_8: 8, Codec.QUANTIZED_4: 4}
both = pytest.mark.parametrize("codec", list(BITS), ids=Codec.Name)
# float32's rounding, as a share of the scale.
ROUNDING = 2.0**-12


def assert_within_bound(array: Array, codec: Codec) -> None:
    sent = encode_tensor(array, CodecSetting(codec))
    assert sent.header.codec == codec
    _, zero, scale = struct.unpack_from("<BBf", bytes(sent.data))
    low, high = -zero * scale, (2 ** BITS[codec] - 1 - zero) * scale
    exact = array.astype(np.float64)
    beyond = np.maximum(0, np.maximum(low - exact, exact - high))
    error = np.abs(decode_tensor(sent) - exact)
    assert (error <= beyond + (0.5 + ROUNDING) * scale).all()


@both
def test_error_is_within_the_bound_for_every_element(codec: Codec) -> None:
    @given(
        np_st.arrays(np.float32, st.integers(20, 60), elements=st.floats(-1, 1, width=32)),
        st.sampled_from([1e-20, 1e-3, 1.0, 3e4, 1e12]),
    )
    def check(array: Array, magnitude: float) -> None:
        scaled = array * np.float32(magnitude)
        if np.ptp(scaled) > 2.0**-99:
            assert_within_bound(scaled, codec)

    check()


@both
@pytest.mark.parametrize("seed", range(5))
def test_error_is_within_the_bound_when_a_few_values_are_far_out(codec: Codec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_within_bound((rng.standard_cauchy(10_000) + rng.integers(-2, 3)).astype(np.float32), codec)
    assert_within_bound(rng.lognormal(sigma=2, size=(7, 11, 13)).astype(np.float32), codec)


@both
@pytest.mark.parametrize("count", [40, 41])
def test_zeros_stay_zeros(codec: Codec, count: int) -> None:
    values = np.maximum(0, np.random.default_rng(2).normal(size=count)).astype(np.float32)
    for array in (values, -values, np.zeros(count, np.float32)):
        got = decode_tensor(encode_tensor(array, CodecSetting(codec)))
        assert (got[array == 0] == 0).all()


def test_clipping_lessens_the_mean_squared_error_when_few_values_are_large() -> None:
    values = np.abs(np.random.default_rng(3).normal(size=100_000)).astype(np.float32)
    highest = float(values.max())
    share = clipping_range(values, 0.0, highest, 15)
    assert 0.4 <= share <= 0.8

    def error(share: float) -> float:
        scale = highest * share / 15
        return float(((np.clip(np.rint(values / scale), 0, 15) * scale - values) ** 2).mean())

    assert error(share) < 0.7 * error(1.0)
    assert error(share) == pytest.approx(min(error(s / 10) for s in range(1, 11)), rel=0.1)


def test_nothing_is_clipped_when_values_are_evenly_spread() -> None:
    values = np.linspace(-3, 5, 1000, dtype=np.float32)
    assert clipping_range(values, -3.0, 5.0, 255) == 1.0


@both
def test_sparse_tensors_take_less_than_their_integers_alone(codec: Codec) -> None:
    values = np.zeros(10_000, np.float32)
    values[::100] = 1
    sent = encode_tensor(values, CodecSetting(codec))
    assert len(sent.data) < values.size * BITS[codec] // 8 // 4
    plain = encode_tensor(values, CodecSetting(codec), {codec})
    assert len(plain.data) == values.size * BITS[codec] // 8 + 6
    assert decode_tensor(plain).tolist() == decode_tensor(sent).tolist() == values.tolist()


@both
def test_range_beyond_float32_means_goes_losslessly(codec: Codec) -> None:
    for magnitude in (1e-36, 1e25):
        array = np.linspace(0, magnitude, 100, dtype=np.float32)
        sent = encode_tensor(array, CodecSetting(codec))
        assert sent.header.codec != codec
        assert decode_tensor(sent).tobytes() == array.tobytes()


def data(kind: int = 0, zero: int = 0, scale: float = 1.0, body: bytes = bytes(4)) -> bytes:
    return struct.pack("<BBf", kind, zero, scale) + body


@pytest.mark.parametrize(
    ("dtype", "sent", "message"),
    [
        (DType.FLOAT64, data(), "no quantised float32"),
        (DType.FLOAT32, b"12345", "no quantised float32"),
        (DType.FLOAT32, data(kind=2), "kind 2"),
        (DType.FLOAT32, data(zero=16), "zero 16"),
        (DType.FLOAT32, data(scale=0), "scale 0"),
        (DType.FLOAT32, data(scale=float("nan")), "scale nan"),
        (DType.FLOAT32, data(scale=float("inf")), "scale inf"),
        (DType.FLOAT32, data(scale=-1), "scale -1"),
        (DType.FLOAT32, data(body=bytes(3)), "8 elements has 3 bytes of integers, expected 4"),
        (DType.FLOAT32, data(kind=1), "damaged"),
    ],
)
def test_data_are_refused_when_no_encoder_made_them(dtype: DType, sent: bytes, message: str) -> None:
    header = TensorHeader(dtype=dtype, shape=[8], codec=Codec.QUANTIZED_4)
    with pytest.raises(FrameError, match=message):
        decode_tensor(EncodedTensor(header, sent))


def test_lz4_of_a_peer_is_refused_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lz4_block, "IS_AVAILABLE", False)
    header = TensorHeader(dtype=DType.FLOAT32, shape=[8], codec=Codec.QUANTIZED_4)
    with pytest.raises(FrameError, match="LZ4, which is not installed here"):
        decode_tensor(EncodedTensor(header, data(kind=1)))


@both
def test_range_is_judged_by_all_channels(codec: Codec) -> None:
    """Channels differ in range, and a sample of one of them alone would clip the others."""
    rng = np.random.default_rng(4)
    values = (rng.random((1, 32, 32, 16)) * np.r_[0.05, np.ones(15)]).astype(np.float32)
    got = decode_tensor(encode_tensor(values, CodecSetting(codec)))
    assert np.mean((got - values) ** 2) < 1.5 / 12 / (2 ** BITS[codec] - 1) ** 2
