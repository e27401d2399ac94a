"""Bodies of requests are read to the byte, and answers written so."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dispatcher_client.gateway.errors import RequestError, UnsupportedError
from dispatcher_client.gateway.json_messages import JsonRequest, read_request
from dispatcher_client.gateway.models import InferAnswer


def _input(name: str = "x", **changes: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "INT16", "shape": [2], **changes}


def _read(inputs: list[dict[str, Any]], tail: bytes = b"", **message: Any) -> JsonRequest:
    head = json.dumps({"inputs": inputs, **message}).encode()
    return read_request("m", "1", head + tail, len(head))


def test_bytes_go_to_the_inputs_that_say_their_size_and_the_others_have_data() -> None:
    sized = {"parameters": {"binary_data_size": 4}}
    read = _read(
        [_input("a", **sized), _input("b", data=[[7], [8]]), _input("c", **sized)], b"\1\0\2\0\3\0\4\0", id="7"
    )
    assert {name: array.tolist() for name, array in read.request.inputs.items()} == {
        "a": [1, 2],
        "b": [7, 8],
        "c": [3, 4],
    }
    assert (read.request.id, read.request.model, read.request.version) == ("7", "m", "1")
    assert all(array.dtype == np.int16 for array in read.request.inputs.values())


def test_timeout_is_in_microseconds() -> None:
    assert _read([], parameters={"timeout": 2_500_000}).request.timeout_s == 2.5
    assert _read([]).request.timeout_s is None


@pytest.mark.parametrize(
    ("inputs", "tail", "words"),
    [
        ([_input()], b"", "neither data nor the parameter binary_data_size"),
        ([_input(data=[1, 2], parameters={"binary_data_size": 4})], b"1234", "both data and binary_data_size"),
        ([_input(parameters={"binary_data_size": 4})], b"123", "has 3 bytes, expected 4"),
        ([_input(parameters={"binary_data_size": 2})], b"1234", "has 2 bytes, expected 4"),
        ([_input(parameters={"binary_data_size": -1})], b"", "binary_data_size: -1 is less than the minimum"),
        ([_input(parameters={"binary_data_size": 4})], b"12345", "1 bytes follow the last tensor"),
        ([_input(data=[1, 2]), _input(data=[1, 2])], b"", "is there twice"),
        ([_input(data=[1])], b"", "has 1 elements, expected 2"),
        ([_input(data=[1, [2, 3]])], b"", "no list of numbers"),
        ([_input(data=[1.5, 2])], b"", "is float64, which is no INT16"),
        ([_input(data=["1", "2"])], b"", "which is no INT16"),
        ([_input(data=[1, 40_000])], b"", "numbers from 1 to 40000; INT16 holds -32768 to 32767"),
        ([_input(data=[1, 2**70])], b"", "which is no INT16"),
        ([_input(data=[1, 2], shape=[-2])], b"", "expected dimensions from 0"),
        ([_input(data=[1, 2], shape=["2"])], b"", "'2' is not of type 'integer'"),
        ([_input(data=[1, 2], datatype="BYTES")], b"", "datatype 'BYTES', expected one of BOOL"),
    ],
)
def test_inputs_that_are_wrong_are_refused(inputs: list[dict[str, Any]], tail: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        _read(inputs, tail)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "to be classified"),
        ({"outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
    ],
)
def test_what_other_servers_have_is_refused_by_name(message: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        _read([], **message)


def test_numbers_become_the_datatypes_elements() -> None:
    read = _read([_input("b", datatype="BOOL", data=[True, False]), _input("f", datatype="FP32", data=[1, 2.5])])
    assert read.request.inputs["b"].tolist() == [True, False]
    assert read.request.inputs["f"].dtype == np.float32 and read.request.inputs["f"].tolist() == [1, 2.5]


def test_bytes_of_booleans_other_than_0_are_true() -> None:
    read = _read([_input(datatype="BOOL", parameters={"binary_data_size": 2})], b"\0\2")
    assert read.request.inputs["x"].tobytes() == b"\0\1"


def test_answer_has_bytes_where_they_were_asked_for_and_null_where_there_is_no_number() -> None:
    outputs: dict[str, np.ndarray] = {"a": np.array([[1.5, np.nan]], np.float32), "b": np.array([1, 2], np.int8)}
    answer = InferAnswer("m", "1", "7", outputs)
    asked = _read([], outputs=[{"name": "a"}, {"name": "b", "parameters": {"binary_data": True}}])
    message, tail = asked.answer(answer)
    assert json.loads(message) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1.5, None]},
            {"name": "b", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}},
        ],
    }
    assert tail == [b"\1\2"]
    _, all_tail = _read([], parameters={"binary_data_output": True}).answer(answer)
    assert all_tail == [outputs["a"].tobytes(), b"\1\2"]
