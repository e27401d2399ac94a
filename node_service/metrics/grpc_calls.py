"""The series that dashboards and rules for gRPC servers expect, of the control plane.

Names, labels and buckets are those of go-grpc-prometheus, which its followers in other languages share. Watching health and
reflection are long streams: what they take says nothing, but they are counted as calls; what Watch sends is not counted.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.registry import Collector

_CALL = ("grpc_type", "grpc_service", "grpc_method")
_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


class GrpcCalls(grpc.aio.ServerInterceptor, Collector):  # type: ignore[misc]  # grpc has no types
    """Counts the calls of one server. Methods that the server does not have are not counted: their names are the peer's."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._started = Counter("grpc_server_started", "Calls that began.", _CALL, registry=self._registry)
        self._handled = Counter(
            "grpc_server_handled", "Calls that ended, by status.", (*_CALL, "grpc_code"), registry=self._registry
        )
        self._received = Counter("grpc_server_msg_received", "Messages that came.", _CALL, registry=self._registry)
        self._sent = Counter("grpc_server_msg_sent", "Messages that were sent.", _CALL, registry=self._registry)
        self._took = Histogram(
            "grpc_server_handling_seconds", "From the beginning of a call to its end.", _CALL, registry=self._registry
        )

    def collect(self) -> Iterable[Metric]:
        """All families."""
        return self._registry.collect()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Puts the counting around a method."""
        handler = await continuation(details)
        if handler is None:
            return None
        service, _, method = details.method.lstrip("/").partition("/")
        labels = (_TYPES[bool(handler.request_streaming), bool(handler.response_streaming)], service, method)
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        # A method that streams its replies is a generator, or writes them to its context, as the health service's Watch does.
        counted = self._counted_stream if inspect.isasyncgenfunction(behaviour) else self._counted_unary
        return handler._replace(**{_slot(handler): counted(behaviour, bool(handler.request_streaming), labels)})

    def _counted_unary(self, behaviour: Any, streams_in: bool, labels: tuple[str, str, str]) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            begun_s = self._begin(labels)
            code: grpc.StatusCode | None = grpc.StatusCode.UNKNOWN
            try:
                reply = await behaviour(
                    self._heard(request, labels) if streams_in else self._one(request, labels), context
                )
                if reply is not None:
                    self._sent.labels(*labels).inc()
                code = grpc.StatusCode.OK
                return reply
            except BaseException:
                code = _code(context)
                raise
            finally:
                self._end(labels, code, begun_s)

        return call

    def _counted_stream(self, behaviour: Any, streams_in: bool, labels: tuple[str, str, str]) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            begun_s = self._begin(labels)
            code: grpc.StatusCode | None = grpc.StatusCode.UNKNOWN
            try:
                async for reply in behaviour(
                    self._heard(request, labels) if streams_in else self._one(request, labels), context
                ):
                    self._sent.labels(*labels).inc()
                    yield reply
                code = grpc.StatusCode.OK
            except BaseException:
                code = _code(context)
                raise
            finally:
                self._end(labels, code, begun_s)

        return call

    def _begin(self, labels: tuple[str, str, str]) -> float:
        self._started.labels(*labels).inc()
        return time.perf_counter()

    def _end(self, labels: tuple[str, str, str], code: grpc.StatusCode | None, begun_s: float) -> None:
        name = (code or grpc.StatusCode.UNKNOWN).name.title().replace("_", "")
        self._handled.labels(*labels, "OK" if name == "Ok" else name).inc()
        self._took.labels(*labels).observe(time.perf_counter() - begun_s)

    def _one(self, request: Any, labels: tuple[str, str, str]) -> Any:
        self._received.labels(*labels).inc()
        return request

    async def _heard(self, requests: AsyncIterator[Any], labels: tuple[str, str, str]) -> AsyncIterator[Any]:
        async for request in requests:
            self._received.labels(*labels).inc()
            yield request


def _slot(handler: grpc.RpcMethodHandler) -> str:
    return next(n for n in ("unary_unary", "unary_stream", "stream_unary", "stream_stream") if getattr(handler, n))


def _code(context: grpc.aio.ServicerContext[Any, Any]) -> grpc.StatusCode:
    """Of a call that ended otherwise than by returning; a client that hangs up leaves no code behind."""
    told = context.code()
    if isinstance(told, grpc.StatusCode):
        return told
    known = {code.value[0]: code for code in grpc.StatusCode}
    return known.get(told, grpc.StatusCode.CANCELLED) if told else grpc.StatusCode.CANCELLED
