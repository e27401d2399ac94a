"""Codecs at work: how one tensor becomes bytes on the wire and comes back. The codecs themselves are rows in `CODECS`."""

from __future__ import annotations

import math
from collections.abc import Set
from functools import lru_cache
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport.codec_setting import RAW, CodecSetting, with_tolerance
from transport.codecs import CODECS, TensorCodec
from transport.codecs.codec import as_bytes
from transport.errors import CodecUnavailableError, FrameError
from transport.frame import BytesLike, EncodedTensor
from transport.tensor_spec import Array, numpy_dtype, wire_dtype

__all__ = [
    "AUTO",
    "CODECS",
    "CodecSetting",
    "RAW",
    "TensorCodec",
    "available_codecs",
    "codec_name",
    "codec_named",
    "codec_names",
    "decode_tensor",
    "encode_tensor",
    "parse_setting",
    "parse_settings",
    "setting_for",
    "setting_forms",
    "setting_name",
]

# Any lossless codec, whichever measurements choose.
AUTO = "auto"
_MAX_DIMENSIONS = 32  # numpy 1's limit


def parse_setting(text: str) -> CodecSetting:
    """The setting of "raw", "shuffle-lz4", "zfp:1e-3" ... Raises: CodecUnavailableError: unknown, or not installed here."""
    if ":" not in text:
        return CodecSetting(codec_named(text).codec)
    setting = with_tolerance(text)
    _row(setting.codec)
    return setting


def parse_settings(text: str) -> list[CodecSetting]:
    """What may be used on a link, each once: settings separated by commas, "auto" for all lossless ones that are installed here.

    Raises: CodecUnavailableError: one of them is unknown, or not installed here.
    """
    lossless = [CodecSetting(row.codec) for row in CODECS.values() if row.is_available and row.is_lossless]
    parts = [part.strip() for part in text.split(",")]
    return list(dict.fromkeys(s for part in parts for s in (lossless if part == AUTO else [parse_setting(part)])))


def setting_name(setting: CodecSetting) -> str:
    """The text that `parse_setting` takes."""
    row = CODECS[setting.codec]
    name, is_with_number, _ = row.name.partition(":")
    return f"{name}:{setting.tolerance!r}" if is_with_number else name


def setting_for(setting: CodecSetting, dtype: np.dtype[Any], decodable: Set[Codec]) -> CodecSetting:
    """What `encode_tensor` makes of a setting for tensors of that dtype and that receiver, whatever their values."""
    row = CODECS[setting.codec]
    while row.codec != Codec.RAW:
        if row.is_available and row.codec in decodable and row.holds(dtype):
            return setting if row.codec == setting.codec else CodecSetting(row.codec)
        row = CODECS[row.otherwise]
    return RAW


def codec_name(codec: Codec) -> str:
    """Its name for people; of a number that is none of ours, the number."""
    row = CODECS.get(codec)
    return row.name if row else f"codec number {int(codec)}"


def codec_named(name: str) -> TensorCodec:
    """The codec of that name. Raises: CodecUnavailableError: unknown, or its library is not installed here."""
    for row in CODECS.values():
        if row.name == name and ":" not in name:
            return _available(row)
    raise CodecUnavailableError(f"unknown codec {name!r}: expected one of {', '.join(setting_forms())}.")


def codec_names() -> list[str]:
    """The names of all codecs that need no number, installed or not."""
    return [name for name in setting_forms() if ":" not in name]


def setting_forms() -> list[str]:
    """What `parse_setting` takes: names, and "zfp:TOLERANCE" for zfp and a number."""
    return [row.name for row in CODECS.values()]


def available_codecs() -> list[Codec]:
    """The codecs that this machine can encode and decode."""
    return [row.codec for row in CODECS.values() if row.is_available]


def encode_tensor(
    array: Array, setting: CodecSetting = RAW, decodable: Set[Codec] = frozenset(CODECS)
) -> EncodedTensor:
    """An array as it travels; with RAW the data is a view of the array, no copy.

    What a codec cannot hold (its dtype, NaN where it would lose it, an empty tensor ...) goes as its row's `otherwise` says, in
    the end as RAW; so does what a codec would not make smaller, and what the receiver cannot decode. No lossless setting
    becomes a lossy one. The header says what was used.
    Args:
        array: any shape; any dtype that travels.
        decodable: what the receiver can decode.
    Raises: CodecUnavailableError: the setting's library is not installed. TensorError: the dtype cannot travel.
    """
    dtype = wire_dtype(array.dtype)
    little_endian = np.ascontiguousarray(array, numpy_dtype(dtype))
    if setting is RAW:
        return EncodedTensor(_raw_header(dtype, array.shape), as_bytes(little_endian))
    codec, data = _encode(little_endian, _row(setting.codec), setting.tolerance, decodable)
    return EncodedTensor(TensorHeader(dtype=dtype, shape=array.shape, codec=codec), data)


@lru_cache(maxsize=1024)
def _raw_header(dtype: DType, shape: tuple[int, ...]) -> TensorHeader:
    """The same tensors come frame after frame."""
    return TensorHeader(dtype=dtype, shape=shape, codec=Codec.RAW)


def decode_tensor(tensor: EncodedTensor) -> Array:
    """The array; with RAW a read-only view of the received bytes.

    Memory is taken for what the header's dtype and shape say, with ZFP as much again: check those first (`check_boundary`).
    Raises: FrameError: the data is not what the header says. TensorError: a dtype that this version does not know.
        CodecUnavailableError: the codec is not installed here.
    """
    header = tensor.header
    dtype = numpy_dtype(header.dtype)
    shape = tuple(header.shape)
    if len(shape) > _MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise FrameError(
            f"a tensor's shape {list(shape[:_MAX_DIMENSIONS])} has a negative dimension, or more than {_MAX_DIMENSIONS}."
        )
    size_bytes = math.prod(shape) * dtype.itemsize
    if header.codec == Codec.RAW:
        data = np.frombuffer(tensor.data, np.uint8)
    else:
        data = _row(header.codec).decode(tensor.data, dtype, shape)
    if data.size != size_bytes:
        raise FrameError(
            f"a tensor of shape {list(shape)} and dtype {dtype.name} has {data.size} bytes, expected {size_bytes}."
        )
    try:
        return data.view(dtype).reshape(shape)
    except ValueError as error:  # a tensor of size 0 in one dimension and of impossible sizes in others
        raise FrameError(f"a tensor of shape {list(shape)} cannot be: {error}.") from error


def _encode(array: Array, row: TensorCodec, tolerance: float, decodable: Set[Codec]) -> tuple[Codec, BytesLike]:
    while row.codec != Codec.RAW and array.size:
        if row.is_available and row.codec in decodable and row.holds(array.dtype):
            data = row.encode(array, tolerance, decodable)
            if data is not None:
                if len(data) < array.nbytes:
                    return row.codec, data
                break
        row = CODECS[row.otherwise]
    return Codec.RAW, as_bytes(array)


def _row(codec: Codec) -> TensorCodec:
    row = CODECS.get(codec)
    if row is None:
        raise CodecUnavailableError(f"codec number {int(codec)} is not known to this version.")
    return _available(row)


def _available(row: TensorCodec) -> TensorCodec:
    if not row.is_available:
        raise CodecUnavailableError(f"codec {row.name} needs the package {row.package}, which is not installed here.")
    return row
