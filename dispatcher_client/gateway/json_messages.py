"""The protocol's JSON messages, and the binary tensors that may follow them in a body."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from dispatcher_client.gateway.errors import RequestError
from dispatcher_client.gateway.models import InferAnswer, InferRequest, shortest_timeout_s
from dispatcher_client.gateway.refusals import refuse_classification, refuse_shared_memory
from dispatcher_client.gateway.tensors import datatype_of, from_bytes, from_numbers
from dispatcher_client.values import json_numbers
from transport.tensor_spec import Array

_PARAMETERS = {
    "type": "object",
    "properties": {
        "binary_data": {"type": "boolean"},
        "binary_data_output": {"type": "boolean"},
        "binary_data_size": {"type": "integer", "minimum": 0},
        "timeout": {"type": "integer"},
    },
}
_INPUT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": _PARAMETERS,
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape"],
}
_OUTPUT = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
    "required": ["name"],
}
_REQUEST = Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {"type": "array", "items": _INPUT},
            "outputs": {"type": "array", "items": _OUTPUT},
        },
        "required": ["inputs"],
    }
)


@dataclass(frozen=True)
class JsonRequest:
    """A request, and which outputs its client wants as bytes."""

    request: InferRequest
    binary_outputs: Mapping[str, bool]
    is_binary: bool  # all others

    def answer(self, answer: InferAnswer) -> tuple[bytes, list[bytes]]:
        """The JSON of an answer, and the tensors that follow it."""
        outputs: list[dict[str, Any]] = []
        tail: list[bytes] = []
        for name, array in answer.outputs.items():
            output: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
            if self.binary_outputs.get(name, self.is_binary):
                tail.append(array.tobytes())
                output["parameters"] = {"binary_data_size": len(tail[-1])}
            else:
                output["data"] = json_numbers(array.reshape(-1))
            outputs.append(output)
        message = {"model_name": answer.model, "model_version": answer.version, "outputs": outputs}
        if answer.id:
            message["id"] = answer.id
        return json.dumps(message).encode(), tail


def read_request(model: str, version: str, body: bytes, json_bytes: int | None) -> JsonRequest:
    """Reads a body.

    Args: json_bytes: the length of the JSON, which tensors follow; None: the body is JSON and nothing else.
    Raises: RequestError, UnsupportedError.
    """
    message = _parse(body, json_bytes)
    tail = memoryview(body)[len(body) if json_bytes is None else json_bytes :]
    inputs: dict[str, Array] = {}
    for tensor in message["inputs"]:
        name, parameters = tensor["name"], tensor.get("parameters", {})
        if name in inputs:
            raise RequestError(f"input {name!r} is there twice.")
        refuse_shared_memory(name, parameters)
        shape = list(map(int, tensor["shape"]))  # to JSON Schema, 2.0 is an integer
        size_bytes = parameters.get("binary_data_size")
        if size_bytes is not None and "data" in tensor:
            raise RequestError(f"input {name!r} has both data and binary_data_size; expected one of them.")
        if size_bytes is not None:
            inputs[name] = from_bytes(name, tensor["datatype"], shape, tail[: int(size_bytes)])
            tail = tail[int(size_bytes) :]
        elif "data" in tensor:
            inputs[name] = from_numbers(name, tensor["datatype"], shape, tensor["data"])
        else:
            raise RequestError(f"input {name!r} has neither data nor the parameter binary_data_size.")
    if len(tail):
        raise RequestError(f"{len(tail)} bytes follow the last tensor. Inputs say their bytes with binary_data_size.")
    outputs: Sequence[dict[str, Any]] = message.get("outputs", [])
    for output in outputs:
        refuse_shared_memory(output["name"], output.get("parameters", {}))
        refuse_classification(output["name"], output.get("parameters", {}))
    parameters = message.get("parameters", {})
    request = InferRequest(
        model,
        version,
        message.get("id", ""),
        inputs,
        [output["name"] for output in outputs],
        shortest_timeout_s(parameters.get("timeout"), None),
    )
    binary = {
        output["name"]: output["parameters"]["binary_data"]
        for output in outputs
        if "binary_data" in output.get("parameters", {})
    }
    return JsonRequest(request, binary, parameters.get("binary_data_output", False))


def _parse(body: bytes, json_bytes: int | None) -> Any:
    if json_bytes is not None and not 0 <= json_bytes <= len(body):
        raise RequestError(f"Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes.")
    try:
        message = json.loads(body[:json_bytes])
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the request is no JSON: {error}. Tensors may follow it with Inference-Header-Content-Length."
        ) from error
    wrong = best_match(_REQUEST.iter_errors(message))
    if wrong is not None:
        raise RequestError(f"the request is not the protocol's: at {wrong.json_path}: {wrong.message[:200]}.")
    return message
