"""The protocol over HTTP: bodies in, bodies out; everything else is the models'."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from aiohttp import web

from dispatcher_client.gateway.errors import RequestError, failure_of
from dispatcher_client.gateway.json_messages import read_request
from dispatcher_client.gateway.models import PLATFORM, SERVER_NAME, Models, ServedModel
from dispatcher_client.gateway.tensors import datatype_name
from dispatcher_client.values import public_name
from protos.v1.tensor_pb2 import TensorSpec

_JSON_LENGTH = "Inference-Header-Content-Length"
_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpService:
    """The routes under /v2. A request whose client hangs up ends on the boards, too."""

    def __init__(self, models: Models, max_message_bytes: int, read_timeout_s: float) -> None:
        """Args: read_timeout_s: for a request's body to come."""
        self._models = models
        self._read_timeout_s = read_timeout_s
        self.app = web.Application(client_max_size=max_message_bytes, middlewares=[_say_errors])
        self.app.router.add_get("/v2", self._server_metadata)
        self.app.router.add_get("/v2/health/live", self._live)
        self.app.router.add_get("/v2/health/ready", self._ready)
        for path in (_MODEL, _VERSION):
            self.app.router.add_get(path, self._model_metadata)
            self.app.router.add_get(f"{path}/ready", self._model_ready)
            self.app.router.add_post(f"{path}/infer", self._infer)

    async def _server_metadata(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"name": SERVER_NAME, "version": version("boardline"), "extensions": ["binary_tensor_data"]}
        )

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _ready(self, _request: web.Request) -> web.Response:
        return _readiness(self._models.is_ready)

    async def _model_ready(self, request: web.Request) -> web.Response:
        return _readiness(self._model(request).is_ready)

    async def _model_metadata(self, request: web.Request) -> web.Response:
        model = self._model(request)
        return web.json_response(
            {
                "name": model.name,
                "versions": self._models.versions(model.name),
                "platform": PLATFORM,
                "inputs": list(map(_metadata, model.inputs)),
                "outputs": list(map(_metadata, model.outputs)),
            }
        )

    async def _infer(self, request: web.Request) -> web.Response:
        model = self._model(request)
        with self._models.admitted():  # before the body is read, whose memory this bounds
            body = await self._body(request)
            asked = read_request(model.name, model.version, body, _json_length(request))
            message, tensors = asked.answer(await model.infer(asked.request))
        if not tensors:
            return web.Response(body=message, content_type="application/json")
        return web.Response(
            body=b"".join((message, *tensors)),
            content_type="application/octet-stream",
            headers={_JSON_LENGTH: str(len(message))},
        )

    async def _body(self, request: web.Request) -> bytes:
        """Raises: RequestError: it does not come in time. What aiohttp raises of one that is too large."""
        # Not asyncio.wait_for: before Python 3.12 it loses the cancellation of a client that hangs up as its body comes.
        reading = asyncio.ensure_future(request.read())
        try:
            come, _ = await asyncio.wait({reading}, timeout=self._read_timeout_s)
        finally:
            reading.cancel()
        if not come:
            raise RequestError(f"the request's body did not come within {self._read_timeout_s:g} s.")
        return reading.result()

    def _model(self, request: web.Request) -> ServedModel:
        return self._models.find(request.match_info["model"], request.match_info.get("version", ""))


@web.middleware
async def _say_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every error is JSON, as clients expect it."""
    try:
        return await handler(request)
    except web.HTTPException as error:  # no such path, a method that it lacks, a body that is too large
        return _error(HTTPStatus(error.status), error.text or error.reason)
    except Exception as error:
        failure = failure_of(error)
        return _error(failure.status, failure.text)


def _error(status: HTTPStatus, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _readiness(is_ready: bool) -> web.Response:
    return web.Response(status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


def _metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": public_name(spec), "datatype": datatype_name(spec.dtype), "shape": list(spec.shape)}


def _json_length(request: web.Request) -> int | None:
    text = request.headers.get(_JSON_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise RequestError(f"{_JSON_LENGTH} is {text[:40]!r}, expected a number of bytes.")
    return int(text)
