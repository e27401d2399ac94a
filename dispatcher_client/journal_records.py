"""Answers as a journal keeps them, and a checksum that tells whether an input is the one that was answered."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatcher_client.values import Answer, Values
from transport.tensor_spec import Array

_ONLY = ""  # the name of an answer that is one array; an output has a name


@dataclass(frozen=True)
class AnswerRecord:
    """Attributes: layout: JSON, a list of [name, dtype, shape]. data: the arrays' bytes, one after the other. checksum: of both."""

    layout: str
    data: bytes
    checksum: int

    @property
    def is_intact(self) -> bool:
        """Whether this is what was written."""
        # A damaged database may give values of other types.
        has_types = isinstance(self.layout, str) and isinstance(self.data, bytes)
        return has_types and self.checksum == _checksum(self.layout, self.data)


def to_record(answer: Answer) -> AnswerRecord:
    """An answer as it is stored; `to_answer` gives the same bits, dtypes and shapes."""
    named = answer if isinstance(answer, dict) else {_ONLY: answer}
    layout = json.dumps([[name, array.dtype.str, array.shape] for name, array in named.items()])
    data = b"".join(array.tobytes() for array in named.values())
    return AnswerRecord(layout, data, _checksum(layout, data))


def to_answer(record: AnswerRecord) -> Answer:
    """What `to_record` was given. Raises: ValueError: no record of `to_record`, whatever its checksum says."""
    try:
        return _read_answer(record)
    except Exception as error:  # JSON and numpy raise all kinds on a layout that is none
        raise ValueError(f"its layout cannot be read: {error}") from error


def _read_answer(record: AnswerRecord) -> Answer:
    arrays: dict[str, Array] = {}
    offset = 0
    for name, dtype, shape in json.loads(record.layout):
        count = math.prod(shape)
        if count < 0:  # to numpy, -1 is all that there is
            raise ValueError(f"shape {shape}")
        array = np.frombuffer(record.data, dtype, count, offset)
        arrays[name] = array.reshape(shape).copy()  # the application may write into it, as into an answer of a board
        offset += array.nbytes
    return arrays.get(_ONLY, arrays)


def input_checksum(values: Values) -> int:
    """A checksum of names, dtypes, shapes and bytes; 0 of what is no input, which the dispatcher refuses."""
    named: Mapping[str, Any] = values if isinstance(values, Mapping) else {_ONLY: values}
    checksum = 0
    for name, array in sorted(named.items()):
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            return 0
        checksum = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, checksum)
    return checksum


def _checksum(layout: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(layout.encode()))
