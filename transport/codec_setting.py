"""How tensors are to be coded: a codec and its tolerance, as people write it and as a stream's opening carries it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protos.v1 import data_plane_pb2 as messages
from protos.v1.data_plane_pb2 import Codec
from transport.errors import CodecUnavailableError


@dataclass(frozen=True)
class CodecSetting:
    """A codec; with ZFP_ACCURACY also the largest absolute error of an element. Hashable, so that it can be a key."""

    codec: Codec
    tolerance: float = 0.0

    @classmethod
    def from_message(cls, message: messages.CodecSetting) -> CodecSetting:
        """What a stream's opening says. Raises: CodecUnavailableError: a tolerance that cannot be."""
        if message.codec == Codec.ZFP_ACCURACY and not _is_tolerance(message.tolerance):
            raise CodecUnavailableError(f"a tolerance of {message.tolerance} cannot be: give a number above 0.")
        return cls(message.codec, message.tolerance if message.codec == Codec.ZFP_ACCURACY else 0.0)

    def message(self) -> messages.CodecSetting:
        """As a stream's opening carries it."""
        return messages.CodecSetting(codec=self.codec, tolerance=self.tolerance)


RAW = CodecSetting(Codec.RAW)


def with_tolerance(text: str) -> CodecSetting:
    """The setting of "zfp:1e-3". Raises: CodecUnavailableError: not a positive number after "zfp:"."""
    name, _, number = text.partition(":")
    try:
        tolerance = float(number)
    except ValueError:
        tolerance = math.nan
    if name != "zfp" or not _is_tolerance(tolerance):
        raise CodecUnavailableError(
            f"{text!r} is no codec: only zfp takes a number, its largest absolute error, above 0. Write zfp:1e-3."
        )
    return CodecSetting(Codec.ZFP_ACCURACY, tolerance)


def _is_tolerance(number: float) -> bool:
    return math.isfinite(number) and number > 0
