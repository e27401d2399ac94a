"""Requests of the Open Inference Protocol over HTTP: JSON, and the tensors that may follow it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from dispatcher_client.gateway.errors import RequestError, UnsupportedError
from dispatcher_client.gateway.json_messages import read_request
from dispatcher_client.gateway.models import InferAnswer
from tests.fuzz.target import Run, Target

# What the header says of the JSON's length, -1 for no header; then the body.
_HEAD = struct.Struct("<h")


def _input(message: dict[str, Any], tail: bytes = b"") -> bytes:
    body = json.dumps(message).encode()
    return _HEAD.pack(len(body) if tail else -1) + body + tail


def _seeds() -> Iterator[bytes]:
    tensor = {"name": "x", "datatype": "INT8", "shape": [1, 2]}
    yield _input({"id": "7", "inputs": [{**tensor, "data": [[1, -2]]}], "outputs": [{"name": "y"}]})
    sized = {**tensor, "parameters": {"binary_data_size": 2}}
    wanted = {"name": "x", "parameters": {"binary_data": True}}
    yield _input({"inputs": [sized], "outputs": [wanted], "parameters": {"timeout": 1000}}, b"\1\2")
    for datatype, data in (("BOOL", [True]), ("FP32", [0.5]), ("UINT64", [2**63])):
        yield _input({"inputs": [{"name": "x", "datatype": datatype, "shape": [1], "data": data}]})


def _start(_scratch: Path) -> AbstractContextManager[Run]:
    return nullcontext(_read)


def _read(data: bytes) -> None:
    if len(data) < _HEAD.size:
        return
    (json_bytes,) = _HEAD.unpack_from(data)
    asked = read_request("model", "1", data[_HEAD.size :], None if json_bytes == -1 else json_bytes)
    request = asked.request
    message, tail = asked.answer(InferAnswer(request.model, request.version, request.id, request.inputs))
    outputs = json.loads(message)["outputs"]
    assert sum(output.get("parameters", {}).get("binary_data_size", 0) for output in outputs) == sum(map(len, tail))


TARGET = Target("inference_request", _start, (RequestError, UnsupportedError), _seeds, (b"binary_data_size", b'"data"'))
