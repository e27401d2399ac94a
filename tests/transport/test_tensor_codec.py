"""Codecs: every array comes back bit for bit, and damaged or lying data give typed errors within bounded memory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport import tensor_codec
from transport.codec_setting import with_tolerance
from transport.codecs import lz4_block
from transport.errors import CodecUnavailableError, FrameError, TensorError
from transport.frame import EncodedTensor
from transport.tensor_codec import (
    CODECS,
    CodecSetting,
    available_codecs,
    codec_name,
    codec_named,
    codec_names,
    decode_tensor,
    encode_tensor,
    parse_setting,
    parse_settings,
    setting_forms,
    setting_name,
)
from transport.tensor_spec import numpy_dtype

Array = np.ndarray[Any, Any]

ALL_CODECS = cast("list[Codec]", Codec.values())  # its stub says int
LOSSLESS = [Codec.RAW, Codec.LZ4, Codec.SHUFFLE_LZ4, Codec.ZFP]
LOSSY = [codec for codec in ALL_CODECS if codec not in LOSSLESS]
BY_LEVELS = [Codec.QUANTIZED_8, Codec.QUANTIZED_4]
COMPRESSED = [Codec.LZ4, Codec.SHUFFLE_LZ4]
ALL_DTYPES = [dtype for dtype in DType.values() if dtype != DType.DTYPE_UNSPECIFIED]
# 0-d and empty ones among them.
TOLERANCE = 1e-3
shapes = np_st.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)


def arrays_of(dtype: DType) -> st.SearchStrategy[Array]:
    """Arrays of arbitrary bits: every NaN payload, -0.0, subnormals; only a bool has but two values."""
    element = numpy_dtype(dtype)
    if dtype == DType.BOOL:
        return np_st.arrays(np.bool_, shapes)
    bits = np_st.arrays(f"<u{element.itemsize}", shapes)
    # 0-d arrays come as they are.
    return bits.map(lambda array: array.view(element))


def as_sent(array: Array, codec: Codec) -> EncodedTensor:
    """What a board gets: the header after the wire, the data as plain bytes."""
    sent = encode_tensor(array, CodecSetting(codec, TOLERANCE))
    return EncodedTensor(TensorHeader.FromString(sent.header.SerializeToString()), bytes(sent.data))


def assert_same_bits(got: Array, expected: Array) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("codec", LOSSLESS, ids=Codec.Name)
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=DType.Name)
def test_array_comes_back_bit_for_bit(codec: Codec, dtype: DType) -> None:
    @given(arrays_of(dtype))
    def check(array: Array) -> None:
        assert_same_bits(decode_tensor(as_sent(array, codec)), array)

    check()


@pytest.mark.parametrize("codec", ALL_CODECS, ids=Codec.Name)
def test_nan_payloads_and_negative_zero_come_back_as_they_were(codec: Codec) -> None:
    bits = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000, 0x00000001], "<u4")
    for array in (bits, np.resize(bits, 1000), np.concatenate([bits, np.zeros(1000, "<u4")])):
        got = decode_tensor(as_sent(array.view("<f4"), codec))
        assert got.view("<u4").tolist() == array.tolist()


@pytest.mark.parametrize("codec", ALL_CODECS, ids=Codec.Name)
def test_array_comes_back_when_its_memory_is_not_contiguous(codec: Codec) -> None:
    whole = np.arange(120, dtype=np.int32).reshape(4, 5, 6)
    for array in (whole.T, whole[::2, ::-1, 1::3], np.asfortranarray(whole), np.broadcast_to(whole[0, 0, 1], (3, 2))):
        assert_same_bits(decode_tensor(as_sent(array, codec)), np.ascontiguousarray(array).reshape(array.shape))


@pytest.mark.parametrize("codec", ALL_CODECS, ids=Codec.Name)
@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i2", ">i4", ">u8"])
def test_values_come_back_little_endian_when_they_were_big_endian(codec: Codec, dtype: str) -> None:
    array = np.array([[1, 2], [300, 4]], dtype)
    got = decode_tensor(as_sent(array, codec))
    assert got.dtype == np.dtype(dtype).newbyteorder("<")
    largest_error = 20 if codec in BY_LEVELS and got.dtype == np.float32 else 0
    assert np.abs(got - array).max() <= largest_error


def test_raw_data_are_views_on_both_sides() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    sent = encode_tensor(array)
    assert np.shares_memory(np.frombuffer(sent.data, np.uint8), array)
    message = bytes(sent.data)
    got = decode_tensor(EncodedTensor(sent.header, message))
    assert np.shares_memory(got, np.frombuffer(message, np.uint8))
    assert not got.flags.writeable


def test_shuffling_pays_when_neighbours_have_equal_high_bytes() -> None:
    smooth = np.linspace(1, 2, 10_000, dtype=np.float32)
    assert len(as_sent(smooth, Codec.SHUFFLE_LZ4).data) < 0.9 * len(as_sent(smooth, Codec.LZ4).data)


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), np.array([1j]), np.zeros(2, "M8[s]")])
def test_array_is_refused_when_its_dtype_cannot_travel(array: Array) -> None:
    with pytest.raises(TensorError, match=r"cannot travel; expected one of float32, .*bool\."):
        encode_tensor(array)


@pytest.mark.parametrize("codec", ALL_CODECS, ids=Codec.Name)
@pytest.mark.parametrize("shape", [[3], [5], [2, 3], [0], [1, 2**31 - 1], [2**31 - 1] * 30, []])
def test_data_are_refused_when_they_are_not_of_the_size_the_header_says(codec: Codec, shape: list[int]) -> None:
    sent = as_sent(np.zeros(400, dtype=np.float32), codec)
    sent.header.shape[:] = shape
    if codec in (Codec.ZFP, Codec.ZFP_ACCURACY) and shape not in ([0], [2**31 - 1] * 30, [1, 2**31 - 1]):
        return  # ZFP data say nothing of how many numbers there are
    with pytest.raises(FrameError):
        decode_tensor(sent)


def test_size_error_names_shape_dtype_and_both_sizes() -> None:
    header = TensorHeader(dtype=DType.FLOAT32, shape=[2, 2])
    with pytest.raises(FrameError, match=r"shape \[2, 2\] and dtype float32 has 15 bytes, expected 16"):
        decode_tensor(EncodedTensor(header, bytes(15)))


@pytest.mark.parametrize("codec", ALL_CODECS, ids=Codec.Name)
@pytest.mark.parametrize("shape", [[-1, -4], [0, -1], [1] * 33, [0] * 100_000, [0] + [2**31 - 1] * 4])
def test_shape_is_refused_when_no_array_can_have_it(codec: Codec, shape: list[int]) -> None:
    sent = as_sent(np.zeros(0 if 0 in shape else 4, np.int8), codec)
    sent.header.shape[:] = shape
    with pytest.raises(FrameError, match="shape") as raised:
        decode_tensor(sent)
    assert len(str(raised.value)) < 500


def test_tensor_is_refused_when_its_dtype_is_unknown() -> None:
    for number in (0, 99):
        with pytest.raises(TensorError, match=f"dtype number {number}"):
            decode_tensor(EncodedTensor(TensorHeader(dtype=number, shape=[1]), b"x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", COMPRESSED, ids=Codec.Name)
def test_compressed_data_are_refused_when_truncated(codec: Codec) -> None:
    sent = as_sent(np.repeat(np.arange(50, dtype=np.float32), 10), codec)
    assert sent.header.codec == codec
    for length in range(len(sent.data)):
        with pytest.raises(FrameError):
            decode_tensor(EncodedTensor(sent.header, sent.data[:length]))


@pytest.mark.parametrize("codec", COMPRESSED, ids=Codec.Name)
def test_compressed_data_are_refused_or_of_the_right_shape_when_damaged(codec: Codec) -> None:
    sent = as_sent(np.repeat(np.arange(50, dtype=np.float32), 10), codec)
    assert sent.header.codec == codec

    @given(st.binary(max_size=100) | st.tuples(st.integers(0, len(sent.data) - 1), st.integers(1, 255)))
    def check(damage: bytes | tuple[int, int]) -> None:
        data = bytearray(damage if isinstance(damage, bytes) else sent.data)
        if not isinstance(damage, bytes):
            data[damage[0]] ^= damage[1]
        with contextlib.suppress(FrameError):
            assert decode_tensor(EncodedTensor(sent.header, bytes(data))).shape == (500,)

    check()


@pytest.mark.parametrize("codec", COMPRESSED, ids=Codec.Name)
@pytest.mark.parametrize("shape", [[2**30], [2**31 - 1], [2**31], [2**31 - 1, 2**31 - 1, 4]])
def test_little_data_are_refused_without_taking_memory_when_they_claim_much(codec: Codec, shape: list[int]) -> None:
    shape = [min(n, 2**31 - 1) for n in shape]
    bomb = EncodedTensor(
        TensorHeader(dtype=DType.FLOAT32, shape=shape, codec=codec), b"\x1f\x00\x01\x00" + b"\xff" * 60
    )
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match="64 bytes of LZ4 data cannot be"):
            decode_tensor(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", COMPRESSED, ids=Codec.Name)
def test_data_are_decoded_when_they_shrank_as_far_as_lz4_can(codec: Codec) -> None:
    zeros = np.zeros(10**6, np.float32)
    sent = as_sent(zeros, codec)
    assert len(sent.data) < zeros.nbytes / 250
    assert_same_bits(decode_tensor(sent), zeros)


def test_data_are_refused_when_lz4_cannot_hold_their_size() -> None:
    # 2 GiB need a signed 32-bit size one larger than there is; 9 MB of data make the claim believable.
    claimed = TensorHeader(dtype=DType.INT8, shape=[2, 2**30], codec=Codec.LZ4)
    with pytest.raises(FrameError, match="damaged"):
        decode_tensor(EncodedTensor(claimed, bytes(9_000_000)))


def test_codec_is_refused_with_its_number_when_it_is_unknown() -> None:
    header = TensorHeader(dtype=DType.INT8, shape=[1], codec=77)  # type: ignore[arg-type]
    with pytest.raises(CodecUnavailableError, match="codec number 77"):
        decode_tensor(EncodedTensor(header, b"x"))


def test_codecs_have_one_row_each_with_a_name() -> None:
    assert available_codecs() == ALL_CODECS
    assert setting_forms() == ["raw", "lz4", "shuffle-lz4", "half", "zfp", "zfp:TOLERANCE", "q8", "q4"]
    assert [codec_named(name).codec for name in codec_names()] == [c for c in ALL_CODECS if c != Codec.ZFP_ACCURACY]
    assert [codec_name(codec) for codec in ALL_CODECS] == setting_forms()
    assert [row.codec for row in CODECS.values() if row.is_lossless] == LOSSLESS


def test_codec_name_is_refused_with_the_known_names_when_unknown() -> None:
    with pytest.raises(CodecUnavailableError, match="unknown codec 'zip': expected one of raw, lz4, shuffle-lz4, half"):
        codec_named("zip")


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that has neither lz4 nor zfpy."""
    without = {codec: replace(row, is_available=not row.package) for codec, row in CODECS.items()}
    monkeypatch.setattr(tensor_codec, "CODECS", without)
    monkeypatch.setattr(lz4_block, "IS_AVAILABLE", False)


@pytest.mark.usefixtures("without_packages")
@pytest.mark.parametrize("setting", ["lz4", "shuffle-lz4", "zfp", "zfp:1e-3"])
def test_codec_is_refused_with_its_package_when_that_is_not_installed(setting: str) -> None:
    codec = (
        with_tolerance(setting).codec if ":" in setting else next(r.codec for r in CODECS.values() if r.name == setting)
    )
    header = TensorHeader(dtype=DType.FLOAT32, shape=[4], codec=codec)
    for refused in (
        lambda: parse_setting(setting),
        lambda: decode_tensor(EncodedTensor(header, b"x")),
        lambda: encode_tensor(np.zeros(4), CodecSetting(codec)),
    ):
        with pytest.raises(CodecUnavailableError, match=r"needs the package (lz4|zfpy), which is not installed here"):
            refused()


@pytest.mark.usefixtures("without_packages")
def test_codecs_of_numpy_alone_work_when_nothing_is_installed() -> None:
    assert available_codecs() == [Codec.RAW, Codec.HALF, Codec.QUANTIZED_8, Codec.QUANTIZED_4]
    zeros = np.zeros(100, np.float32)
    for codec in available_codecs():
        sent = as_sent(zeros, codec)
        assert sent.header.codec == codec
        assert_same_bits(decode_tensor(sent), zeros)
    # What would have gone by LZ4 goes as it is.
    assert as_sent(np.zeros(100, np.int8), Codec.HALF).header.codec == Codec.RAW


def test_modules_are_imported_and_offer_what_needs_numpy_alone_when_no_package_can_be_imported() -> None:
    script = (
        "import sys; sys.modules['lz4'] = sys.modules['zfpy'] = None\n"
        "from transport.tensor_codec import *; print(available_codecs())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    expected = [Codec.RAW, Codec.HALF, Codec.QUANTIZED_8, Codec.QUANTIZED_4]
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


@pytest.mark.parametrize(
    ("asked", "array", "used"),
    [
        (Codec.SHUFFLE_LZ4, np.zeros(100, np.int8), Codec.SHUFFLE_LZ4),
        (Codec.ZFP, np.zeros(100, np.float16), Codec.SHUFFLE_LZ4),
        (Codec.ZFP, np.zeros(100, np.int8), Codec.SHUFFLE_LZ4),
        (Codec.ZFP, np.zeros(100, np.bool_), Codec.SHUFFLE_LZ4),
        (Codec.ZFP, np.zeros((0, 100), np.float32), Codec.RAW),
        (Codec.ZFP, np.zeros((), np.float32), Codec.RAW),
        (Codec.ZFP_ACCURACY, np.zeros(100, np.int32), Codec.ZFP),
        (Codec.ZFP_ACCURACY, np.full(100, np.nan, np.float32), Codec.ZFP),
        (Codec.ZFP_ACCURACY, np.full(100, 1e30, np.float32), Codec.ZFP),
        (Codec.HALF, np.zeros(100, np.float64), Codec.SHUFFLE_LZ4),
        (Codec.HALF, np.full(100, 65520, np.float32), Codec.SHUFFLE_LZ4),
        (Codec.HALF, np.full(100, -np.inf, np.float32), Codec.SHUFFLE_LZ4),
        (Codec.HALF, np.full(100, np.nan, np.float32), Codec.SHUFFLE_LZ4),
        (Codec.QUANTIZED_8, np.full(100, np.nan, np.float32), Codec.SHUFFLE_LZ4),
        (Codec.QUANTIZED_4, np.full(100, np.inf, np.float32), Codec.SHUFFLE_LZ4),
        (Codec.QUANTIZED_4, np.zeros(100, np.int16), Codec.SHUFFLE_LZ4),
        (Codec.QUANTIZED_8, np.zeros(1, np.float32), Codec.RAW),
        (Codec.LZ4, np.frombuffer(np.random.default_rng(1).bytes(1000), np.int8), Codec.RAW),
    ],
)
def test_tensor_goes_another_way_unharmed_when_its_codec_cannot_hold_it(
    asked: Codec, array: Array, used: Codec
) -> None:
    sent = as_sent(array, asked)
    assert sent.header.codec == used
    assert_same_bits(decode_tensor(sent), array)


@pytest.mark.parametrize("asked", ALL_CODECS, ids=Codec.Name)
def test_tensor_goes_by_a_codec_that_the_receiver_has(asked: Codec) -> None:
    smooth = np.linspace(1, 2, 1000, dtype=np.float32)
    setting = CodecSetting(asked, TOLERANCE)
    smooth[:500] = 1
    assert encode_tensor(smooth, setting, {asked}).header.codec == asked
    assert encode_tensor(smooth, setting, {Codec.RAW}).header.codec == Codec.RAW
    assert encode_tensor(smooth, setting, set()).header.codec == Codec.RAW
    if asked not in (Codec.RAW, Codec.LZ4):
        assert encode_tensor(smooth, setting, {Codec.RAW, Codec.LZ4}).header.codec == Codec.LZ4


@pytest.mark.parametrize("codec", ALL_CODECS, ids=Codec.Name)
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=DType.Name)
def test_any_array_of_any_dtype_is_taken_by_every_codec(codec: Codec, dtype: DType) -> None:
    @given(arrays_of(dtype))
    def check(array: Array) -> None:
        sent = as_sent(array, codec)
        got = decode_tensor(sent)
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert len(sent.data) <= array.nbytes
        if sent.header.codec in LOSSLESS:
            assert_same_bits(got, array)
        else:
            assert sent.header.codec == codec

    check()


@pytest.mark.parametrize("text", ["raw", "lz4", "shuffle-lz4", "half", "zfp", "zfp:0.001", "zfp:2.5e-07", "q8", "q4"])
def test_setting_is_named_as_it_is_written(text: str) -> None:
    assert setting_name(parse_setting(text)) == text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auto", ["raw", "lz4", "shuffle-lz4", "zfp"]),
        ("auto, q8", ["raw", "lz4", "shuffle-lz4", "zfp", "q8"]),
        ("q8,auto,zfp:0.1", ["q8", "raw", "lz4", "shuffle-lz4", "zfp", "zfp:0.1"]),
        ("lz4", ["lz4"]),
        ("q4,raw, q4", ["q4", "raw"]),
    ],
)
def test_settings_are_listed_once_in_order_and_auto_stands_for_the_lossless_ones(text: str, names: list[str]) -> None:
    assert [setting_name(setting) for setting in parse_settings(text)] == names


def test_setting_is_refused_when_it_is_none() -> None:
    with pytest.raises(CodecUnavailableError, match=r"expected one of .*zfp, zfp:TOLERANCE, q8"):
        parse_setting("zap")
    with pytest.raises(CodecUnavailableError, match="Write zfp:1e-3"):
        parse_setting("q8:1")
    with pytest.raises(CodecUnavailableError, match="unknown codec"):
        codec_named("zfp:TOLERANCE")


def test_codec_without_a_name_is_called_by_its_number() -> None:
    assert codec_name(77) == "codec number 77"  # type: ignore[arg-type]
