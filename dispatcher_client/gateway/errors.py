"""What clients are told when something goes wrong: one table for gRPC and HTTP."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus

import grpc

from dispatcher_client.errors import (
    ChainClosedError,
    DispatcherError,
    InputError,
    OverloadedError,
    ReplyTimeoutError,
)
from fleet.errors import (
    BoardOverloadedError,
    BoardRefusedError,
    BoardUnavailableError,
    FrameRejectedError,
)

_log = logging.getLogger(__name__)
# gRPC ends a call whose headers are beyond 8 KiB, and a message may quote a name that a client has sent.
_MOST_CHARACTERS = 1000


class ListenError(DispatcherError):
    """The gateway cannot serve where it should."""


class RequestError(DispatcherError):
    """A request that breaks the protocol, or asks for what the model does not have."""


class UnknownModelError(DispatcherError):
    """No model, or no version of it, has the name."""


class UnsupportedError(DispatcherError):
    """A part of the protocol that the gateway does not have."""


@dataclass(frozen=True)
class Failure:
    """An error as a client sees it."""

    code: grpc.StatusCode
    status: HTTPStatus
    text: str


# The first that fits counts. What is not here is an error of the boards or of the gateway.
_KINDS: tuple[tuple[tuple[type[Exception], ...], grpc.StatusCode, HTTPStatus], ...] = (
    ((RequestError, InputError, FrameRejectedError), grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST),
    ((UnsupportedError,), grpc.StatusCode.UNIMPLEMENTED, HTTPStatus.BAD_REQUEST),
    ((UnknownModelError,), grpc.StatusCode.NOT_FOUND, HTTPStatus.NOT_FOUND),
    ((ReplyTimeoutError,), grpc.StatusCode.DEADLINE_EXCEEDED, HTTPStatus.GATEWAY_TIMEOUT),
    (
        (OverloadedError, BoardOverloadedError, ChainClosedError, BoardUnavailableError, BoardRefusedError),
        grpc.StatusCode.UNAVAILABLE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    ((DispatcherError,), grpc.StatusCode.INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR),
)


def failure_of(error: Exception) -> Failure:
    """What a client is told. Of a defect it hears no more than that; the traceback is in the log."""
    for kinds, code, status in _KINDS:
        if isinstance(error, kinds):
            return Failure(code, status, str(error)[:_MOST_CHARACTERS])
    _log.error("a defect in the gateway", exc_info=error)
    return Failure(
        grpc.StatusCode.INTERNAL,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"a defect in the gateway ({type(error).__name__}); its log has the traceback.",
    )
