"""The registry of codecs: one row each, in the order they are listed. A new codec is one file here and one row."""

from __future__ import annotations

from protos.v1.data_plane_pb2 import Codec
from transport.codecs import half, lz4_block, quantized, raw, shuffle_lz4, zfp
from transport.codecs.codec import TensorCodec

CODECS: dict[Codec, TensorCodec] = {
    row.codec: row
    for row in (
        raw.ROW,
        lz4_block.ROW,
        shuffle_lz4.ROW,
        half.ROW,
        zfp.LOSSLESS,
        zfp.ACCURACY,
        quantized.EIGHT,
        quantized.FOUR,
    )
}

__all__ = ["CODECS", "TensorCodec"]
