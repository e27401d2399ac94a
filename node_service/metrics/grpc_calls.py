"""The series that dashboards and rules for gRPC servers expect, of the control plane.

Names, labels and buckets are those of go-grpc-prometheus, which its followers in other languages share. Watching health and
reflection are long streams: what they take says nothing, but they are counted as calls; what Watch sends is not counted.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.registry import Collector

_Labels = tuple[str, str, str]
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

    def _counted_unary(self, behaviour: Any, streams_in: bool, labels: _Labels) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._counted(labels, context):
                reply = await behaviour(self._received_by(request, streams_in, labels), context)
                if reply is not None:
                    self._sent.labels(*labels).inc()
                return reply

        return call

    def _counted_stream(self, behaviour: Any, streams_in: bool, labels: _Labels) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            with self._counted(labels, context):
                async for reply in behaviour(self._received_by(request, streams_in, labels), context):
                    self._sent.labels(*labels).inc()
                    yield reply

        return call

    @contextlib.contextmanager
    def _counted(self, labels: _Labels, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
        """A call, from its beginning to its end."""
        self._started.labels(*labels).inc()
        begun_s, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            yield
        except BaseException:
            code = _code(context)
            raise
        finally:
            name = "OK" if code is grpc.StatusCode.OK else code.name.title().replace("_", "")
            self._handled.labels(*labels, name).inc()
            self._took.labels(*labels).observe(time.perf_counter() - begun_s)

    def _received_by(self, request: Any, streams_in: bool, labels: _Labels) -> Any:
        """What a method is given: a message, or the messages that come, each counted."""
        if streams_in:
            return self._heard(request, labels)
        self._received.labels(*labels).inc()
        return request

    async def _heard(self, requests: AsyncIterator[Any], labels: _Labels) -> AsyncIterator[Any]:
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
