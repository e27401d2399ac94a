"""The protocol over gRPC: messages in, messages out; everything else is the models'."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any, NoReturn

import grpc.aio

from dispatcher_client.async_answers import answers_in_order
from dispatcher_client.gateway.errors import RequestError, failure_of
from dispatcher_client.gateway.models import (
    PLATFORM,
    SERVER_NAME,
    InferAnswer,
    InferRequest,
    Models,
    shortest_timeout_s,
)
from dispatcher_client.gateway.refusals import refuse_classification, refuse_shared_memory
from dispatcher_client.gateway.tensors import datatype_name, datatype_of, from_bytes, from_numbers
from dispatcher_client.values import public_name
from protos.oip.v2 import inference_pb2 as oip
from protos.oip.v2.inference_pb2_grpc import GRPCInferenceServiceServicer
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array

# Which field of `InferTensorContents` holds the elements.
_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


class InferenceService(GRPCInferenceServiceServicer):
    """`inference.GRPCInferenceService`. A call that its client cancels, or whose deadline passes, ends on the boards, too."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def ServerLive(
        self, _request: oip.ServerLiveRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ServerLiveResponse:
        """Whether the gateway answers, which it does then."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(
        self, _request: oip.ServerReadyRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ServerReadyResponse:
        """Whether all models are ready."""
        return oip.ServerReadyResponse(ready=self._models.is_ready)

    async def ModelReady(
        self, request: oip.ModelReadyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ModelReadyResponse:
        """Whether a model's chain is open and its boards are there."""
        try:
            return oip.ModelReadyResponse(ready=self._models.find(request.name, request.version).is_ready)
        except Exception as error:
            await _abort(context, error)

    async def ServerMetadata(
        self, _request: oip.ServerMetadataRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ServerMetadataResponse:
        """Name and version of boardline."""
        return oip.ServerMetadataResponse(name=SERVER_NAME, version=version("boardline"))

    async def ModelMetadata(
        self, request: oip.ModelMetadataRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ModelMetadataResponse:
        """What the bundle's manifest says of inputs and outputs."""
        try:
            model = self._models.find(request.name, request.version)
        except Exception as error:
            await _abort(context, error)
        return oip.ModelMetadataResponse(
            name=model.name,
            versions=self._models.versions(model.name),
            platform=PLATFORM,
            inputs=map(_metadata, model.inputs),
            outputs=map(_metadata, model.outputs),
        )

    async def ModelInfer(
        self, request: oip.ModelInferRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ModelInferResponse:
        """One request, one answer."""
        try:
            with self._models.admitted():
                return await self._infer(request, context.time_remaining())
        except Exception as error:
            await _abort(context, error)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[oip.ModelInferRequest], _context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[oip.ModelStreamInferResponse]:
        """Many requests, overlapped, with their answers in order. An error is its request's answer, and the stream goes on.

        A request is read when boards have room for it: a client that is faster is slowed down by gRPC's flow control.
        """

        async def ask(request: oip.ModelInferRequest) -> oip.ModelStreamInferResponse:
            try:
                return oip.ModelStreamInferResponse(infer_response=await self._infer(request, None))
            except Exception as error:
                failed = oip.ModelInferResponse(
                    model_name=request.model_name, model_version=request.model_version, id=request.id
                )
                return oip.ModelStreamInferResponse(error_message=failure_of(error).text, infer_response=failed)

        answers = answers_in_order(requests, ask, self._models.room_ahead)
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def _infer(self, request: oip.ModelInferRequest, left_s: float | None) -> oip.ModelInferResponse:
        return _response(await self._models.infer(_read(request, left_s)))


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    failure = failure_of(error)
    await context.abort(failure.code, failure.text)
    raise AssertionError("abort raises")


def _metadata(spec: TensorSpec) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(
        name=public_name(spec), datatype=datatype_name(spec.dtype), shape=spec.shape
    )


def _read(request: oip.ModelInferRequest, left_s: float | None) -> InferRequest:
    """Raises: RequestError, UnsupportedError."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(
            f"there are {len(raw)} raw_input_contents for {len(request.inputs)} inputs; expected one each."
        )
    inputs: dict[str, Array] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in inputs:
            raise RequestError(f"input {tensor.name!r} is there twice.")
        refuse_shared_memory(tensor.name, tensor.parameters)
        inputs[tensor.name] = _array(tensor, raw[index] if raw else None)
    for output in request.outputs:
        refuse_shared_memory(output.name, output.parameters)
        refuse_classification(output.name, output.parameters)
    timeout_us = request.parameters["timeout"].int64_param if "timeout" in request.parameters else None
    return InferRequest(
        request.model_name,
        request.model_version,
        request.id,
        inputs,
        [output.name for output in request.outputs],
        shortest_timeout_s(timeout_us, left_s),
    )


def _array(tensor: oip.ModelInferRequest.InferInputTensor, raw: bytes | None) -> Array:
    if raw is not None:
        if tensor.HasField("contents"):
            raise RequestError(f"input {tensor.name!r} has both contents and raw_input_contents; expected one of them.")
        return from_bytes(tensor.name, tensor.datatype, tensor.shape, raw)
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise RequestError(
            f"input {tensor.name!r} has datatype {tensor.datatype!r} and no raw_input_contents; contents are for "
            f"{', '.join(_FIELDS)}."
        )
    return from_numbers(tensor.name, tensor.datatype, tensor.shape, getattr(tensor.contents, field))


def _response(answer: InferAnswer) -> oip.ModelInferResponse:
    """Always with raw contents: common clients read nothing else."""
    return oip.ModelInferResponse(
        model_name=answer.model,
        model_version=answer.version,
        id=answer.id,
        outputs=[
            oip.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype_of(array), shape=array.shape)
            for name, array in answer.outputs.items()
        ],
        raw_output_contents=[array.tobytes() for array in answer.outputs.values()],
    )
