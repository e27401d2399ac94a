"""ZFP: lossless to the bit, within its tolerance for every element, and safe against whatever a peer sends."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport.codecs import zfp
from transport.codecs.zfp import zfp_shape
from transport.errors import FrameError
from transport.frame import EncodedTensor
from transport.tensor_codec import CodecSetting, decode_tensor, encode_tensor

zfpy = pytest.importorskip("zfpy", reason="zfpy has no wheel here")
Array = np.ndarray[Any, Any]
ZFP = CodecSetting(Codec.ZFP)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((), (1,)),
        ((1, 1), (1,)),
        ((7,), (7,)),
        ((1, 56, 56, 64), (56, 56, 64)),
        ((2, 56, 1, 56, 64), (112, 56, 64)),
        ((2, 3, 4, 5, 6), (24, 5, 6)),
    ],
)
def test_shape_has_no_single_elements_and_at_most_three_dimensions(
    shape: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    assert zfp_shape(shape) == seen


def test_dimensions_of_size_one_cost_nothing() -> None:
    smooth = np.sin(np.arange(8000, dtype=np.float32) / 500).reshape(20, 20, 20)
    flat = encode_tensor(smooth, ZFP)
    assert flat.header.codec == Codec.ZFP
    assert bytes(encode_tensor(smooth[None, :, None], ZFP).data) == bytes(flat.data)


# Bits of every kind: NaN payloads, infinities, subnormals, -0.0, and numbers of like size in between.
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4", "<i8"])
def test_lossless_stream_is_bit_exact_for_any_bits(dtype: str) -> None:
    bits = np.dtype(dtype.replace("f", "u").replace("i", "u"))

    @settings(max_examples=200)
    @given(
        st.integers(0, 2**32), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 8 * bits.itemsize)
    )
    def check(seed: int, shape: list[int], shift: int) -> None:
        rng = np.random.default_rng(seed)
        array = (
            rng.integers(0, 2 ** (8 * bits.itemsize) - 1, shape, bits, endpoint=True) >> bits.type(shift % 64)
        ).astype(bits)
        array[rng.random(shape) < 0.2] = rng.choice(
            np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], bits) << bits.type(8 * bits.itemsize - 32)
        )
        values = array.view(dtype)
        data = bytes(zfp.LOSSLESS.encode(values, 0.0, set()) or b"")
        assert zfp.LOSSLESS.decode(data, values.dtype, values.shape).tobytes() == values.tobytes()

    check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_is_within_the_tolerance_for_every_element(dtype: type[Any]) -> None:
    @settings(max_examples=200)
    @given(
        st.integers(0, 2**32),
        st.lists(st.integers(1, 13), min_size=1, max_size=5),
        st.integers(-60, 60),
        st.floats(2.0**-30, 4.0),
        st.sampled_from(["normal", "sparse", "wild", "signs"]),
    )
    def check(seed: int, shape: list[int], exponent: int, relative: float, kind: str) -> None:
        rng = np.random.default_rng(seed)
        shape = shape[:3] if len(shape) > 3 and seed % 2 else [min(n, 5) for n in shape]
        kinds: dict[str, Callable[[], np.ndarray]] = {
            "normal": lambda: rng.normal(size=shape),
            "sparse": lambda: np.maximum(0, rng.normal(size=shape)),
            "wild": lambda: np.exp(rng.normal(scale=8, size=shape)) * rng.choice([-1, 1], shape),
            "signs": lambda: rng.choice([-1.0, 1.0], shape),
        }
        array = (kinds[kind]() * 2.0**exponent).astype(dtype)
        tolerance = float(np.abs(array).max()) * relative + 2.0**-90
        got = decode_tensor(encode_tensor(array, CodecSetting(Codec.ZFP_ACCURACY, tolerance)))
        assert (np.abs(got.astype(np.longdouble) - array) <= tolerance).all()

    check()


def test_stream_is_lossless_when_the_tolerance_is_finer_than_zfp_keeps() -> None:
    array = np.sin(np.arange(1000, dtype=np.float32) / 500)
    for tolerance, codec in (
        (1e-3, Codec.ZFP_ACCURACY),
        (2.0**-20, Codec.ZFP_ACCURACY),
        (2.0**-21, Codec.ZFP),
        (0.0, Codec.ZFP),
    ):
        assert encode_tensor(array, CodecSetting(Codec.ZFP_ACCURACY, tolerance)).header.codec == codec
    for magnitude in (1e-30, 2e36):
        scaled = array * np.float32(magnitude)
        assert encode_tensor(scaled, CodecSetting(Codec.ZFP_ACCURACY, magnitude / 10)).header.codec == Codec.ZFP


def test_any_tolerance_is_taken() -> None:
    array = np.linspace(-1, 1, 1000, dtype=np.float64).reshape(10, 100)
    for tolerance in (5e-324, 1e-300, 1.0, 1e300, 1.7e308):
        got = decode_tensor(encode_tensor(array, CodecSetting(Codec.ZFP_ACCURACY, tolerance)))
        assert (np.abs(got - array) <= tolerance).all()


def header(codec: Codec, shape: list[int], dtype: DType = DType.FLOAT32) -> TensorHeader:
    return TensorHeader(dtype=dtype, shape=shape, codec=codec)


@pytest.mark.parametrize(
    ("head", "data", "message"),
    [
        (header(Codec.ZFP, [4], DType.INT8), bytes(9), "ZFP data cannot be a tensor of dtype int8"),
        (header(Codec.ZFP_ACCURACY, [4], DType.INT32), bytes(9), "with a tolerance cannot be a tensor of dtype int32"),
        (header(Codec.ZFP_ACCURACY, [4]), b"x", "1 bytes of ZFP data are too few"),
        (header(Codec.ZFP_ACCURACY, [4]), b"\xff\x7f" + bytes(9), r"tolerance of 2\*\*32767 cannot be"),
        (header(Codec.ZFP, [0]), bytes(9), "a tensor of 0 bytes"),
        (header(Codec.ZFP, [2**30, 4]), bytes(9), "a tensor of 17179869184 bytes"),
        (header(Codec.ZFP, [1000, 1000]), bytes(9), "9 bytes of ZFP data cannot be a tensor of 4000000 bytes"),
        (header(Codec.ZFP, [4]), b"", "0 bytes of ZFP data cannot be a tensor of 16 bytes"),
    ],
)
def test_data_are_refused_without_taking_memory_when_they_cannot_be(
    head: TensorHeader, data: bytes, message: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match=message):
            decode_tensor(EncodedTensor(head, data))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_failure_of_zfp_is_a_damaged_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("error during zfp decompression")

    sent = encode_tensor(np.zeros(100, np.float32), ZFP)
    monkeypatch.setattr(zfpy, "_decompress", fail)
    with pytest.raises(FrameError, match="ZFP data is damaged: error during"):
        decode_tensor(sent)


def test_too_large_tensors_go_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zfp, "_MAX_BYTES", 399)
    for setting in (ZFP, CodecSetting(Codec.ZFP_ACCURACY, 0.1)):
        assert encode_tensor(np.zeros(100, np.float32), setting).header.codec == Codec.SHUFFLE_LZ4


def test_short_stream_decodes_as_if_zeros_followed_and_never_to_foreign_memory() -> None:
    array = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    setting = CodecSetting(Codec.ZFP_ACCURACY, 1e-3)
    sent = encode_tensor(array, setting)
    short, long = bytes(sent.data)[:100], bytes(sent.data)[:100] + bytes(100_000)
    assert (
        decode_tensor(EncodedTensor(sent.header, short)).tobytes()
        == decode_tensor(EncodedTensor(sent.header, long)).tobytes()
    )


# All ones makes blocks as long as they can be; guard pages are beyond Python, so a crash is looked for in numbers.
_FUZZ = """
import sys
import numpy as np
from protos.v1.data_plane_pb2 import Codec, TensorHeader
from transport.errors import FrameError
from transport.frame import EncodedTensor
from transport.tensor_codec import CodecSetting, decode_tensor, encode_tensor
rng = np.random.default_rng(int(sys.argv[1]))
decoded = 0
for turn in range(1500):
    shape = rng.integers(1, 40, rng.integers(1, 5)) if turn % 2 else rng.integers(1, 9, 3)
    shape = shape if np.prod(shape) < 50_000 else shape[:2]
    dtype = ("<f4", "<f8", "<i4", "<i8")[turn % 4]
    array = (rng.normal(size=shape) * 1000).astype(dtype)
    lossy = dtype[1] == "f" and rng.random() < 0.5
    sent = encode_tensor(array, CodecSetting(Codec.ZFP_ACCURACY if lossy else Codec.ZFP, 0.5))
    if rng.random() < 0.5:
        data = bytearray(bytes(sent.data)[: rng.integers(0, len(sent.data) + 1)])
        for place in rng.integers(0, max(1, len(data)), 5):
            if data:
                data[place] = rng.integers(256)
    else:
        data = bytearray(rng.bytes(int(rng.integers(0, 400)))) if rng.random() < 0.5 else bytearray(b"\\xff" * 300)
        data[:2] = rng.integers(-1074, 1024, 1).astype("<i2").tobytes()
    codec = Codec.ZFP_ACCURACY if lossy else Codec.ZFP
    header = TensorHeader(dtype=sent.header.dtype, shape=shape.tolist(), codec=codec)
    try:
        assert decode_tensor(EncodedTensor(header, bytes(data))).shape == tuple(shape)
        decoded += 1
    except FrameError:
        pass
print(decoded > 500)
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_process_survives_any_data(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "faulthandler", "-c", _FUZZ, seed],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4", "<i8"])
@pytest.mark.parametrize("shape", [(4,), (5,), (16, 16), (5, 5, 5), (8, 8, 8), (2, 2, 2)])
@pytest.mark.parametrize("fill", [b"\xff", b"\xaa", b"\x55", b"\x80", b"\x01"])
def test_padding_is_never_read_to_its_end(dtype: str, shape: tuple[int, ...], fill: bytes) -> None:
    """What lies behind the longest stream that a shape can have changes nothing: not even a hostile stream reaches it."""
    blocks = int(np.prod([-(-n // 4) for n in shape]))
    bits = blocks * (20 + 4 ** len(shape) * (8 * np.dtype(dtype).itemsize + 1))
    hostile = fill * (bits // 8 + 16)
    for tolerance in [-1.0] + [2.0**-1074] * (dtype[1] == "f"):
        seen = {
            zfpy._decompress(
                hostile + behind * 4096, zfpy.dtype_to_ztype(np.dtype(dtype)), shape, tolerance=tolerance
            ).tobytes()
            for behind in (b"\x00", b"\xff", b"\x5a")
        }
        assert len(seen) == 1
