"""Errors of the node service, and the one table that turns any error into what a peer is told."""

from __future__ import annotations

import grpc

from bundle.shares import ShareError
from protos.v1.data_plane_pb2 import Error
from runtime import ComputeError, DelegateError, MemoryShortError, ModelLoadError
from transport.errors import (
    AddressError,
    CodecUnavailableError,
    FrameError,
    NoRoomError,
    PlaintextRefusedError,
    TensorError,
)


class NodeServiceError(Exception):
    """Base of everything this package raises on purpose."""


class BadRequestError(NodeServiceError):
    """The caller's request is wrong, whatever the state of this board."""


class ForbiddenError(NodeServiceError):
    """The caller's certificate does not allow this."""


class NotLoadedError(NodeServiceError):
    """The deployment, stage or partition that was asked for is not here."""


class WrongVersionError(NodeServiceError):
    """The peer speaks another version of the protocol, or the model needs a newer runtime."""


class PeerUnavailableError(NodeServiceError):
    """Another board cannot be reached, or its stream broke. `board` is that board's name, which `message` leaves out."""

    def __init__(self, board: str, message: str) -> None:
        super().__init__(f"board {board}: {message}")
        self.board = board
        self.message = message


class RelayedError(NodeServiceError):
    """A board behind this one reported `error`; it goes back as it came."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"board {error.board}: {error.message}")
        self.error = error


class RefusedError(NodeServiceError):
    """This board takes no more: it is draining or out of room."""


class LimitError(NodeServiceError):
    """This board holds as many as its settings allow."""


class StalledError(NodeServiceError):
    """A frame makes no progress in this board, although the board answers."""


class FrameDroppedError(NodeServiceError):
    """Nobody waits for a frame's answer any more: it was cancelled."""


class FrameLateError(FrameDroppedError):
    """Nobody waits for a frame's answer any more: its time is over."""


class OverloadedError(NodeServiceError):
    """A frame came when as many as may wait did."""


class MeasurementError(NodeServiceError):
    """A partition cannot be measured: it crashes the runtime, or takes too long."""


class TrialError(NodeServiceError):
    """A partition was tried in a process of its own, which it crashed, or in which it took too long."""


class SignatureRefusedError(NodeServiceError):
    """This board takes signed partitions only, and this is none; or its key cannot be used."""


class StoreError(NodeServiceError):
    """The store directory cannot be written or read."""


# error class -> (what a frame's error says, what a control call's status says); the first that fits counts.
_TABLE: tuple[tuple[type[Exception], Error.Code, grpc.StatusCode], ...] = (
    (BadRequestError, Error.BAD_FRAME, grpc.StatusCode.INVALID_ARGUMENT),
    (ShareError, Error.BAD_FRAME, grpc.StatusCode.INVALID_ARGUMENT),
    (FrameError, Error.BAD_FRAME, grpc.StatusCode.INVALID_ARGUMENT),
    (TensorError, Error.BAD_FRAME, grpc.StatusCode.INVALID_ARGUMENT),
    (AddressError, Error.BAD_FRAME, grpc.StatusCode.INVALID_ARGUMENT),
    (CodecUnavailableError, Error.REFUSED, grpc.StatusCode.FAILED_PRECONDITION),
    (PlaintextRefusedError, Error.REFUSED, grpc.StatusCode.FAILED_PRECONDITION),
    (ForbiddenError, Error.REFUSED, grpc.StatusCode.PERMISSION_DENIED),
    (NotLoadedError, Error.NOT_LOADED, grpc.StatusCode.FAILED_PRECONDITION),
    (WrongVersionError, Error.WRONG_VERSION, grpc.StatusCode.FAILED_PRECONDITION),
    (RelayedError, Error.INTERNAL, grpc.StatusCode.INTERNAL),  # its own code counts, see to_frame_error
    (PeerUnavailableError, Error.PEER_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    (StalledError, Error.STALLED, grpc.StatusCode.UNAVAILABLE),
    (FrameLateError, Error.DEADLINE_EXCEEDED, grpc.StatusCode.DEADLINE_EXCEEDED),
    (FrameDroppedError, Error.CANCELLED, grpc.StatusCode.CANCELLED),
    (OverloadedError, Error.OVERLOADED, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (NoRoomError, Error.REFUSED, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (LimitError, Error.REFUSED, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (RefusedError, Error.REFUSED, grpc.StatusCode.UNAVAILABLE),
    (ComputeError, Error.COMPUTE_FAILED, grpc.StatusCode.INVALID_ARGUMENT),
    (MemoryShortError, Error.REFUSED, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ModelLoadError, Error.COMPUTE_FAILED, grpc.StatusCode.FAILED_PRECONDITION),
    (DelegateError, Error.COMPUTE_FAILED, grpc.StatusCode.FAILED_PRECONDITION),
    (TrialError, Error.COMPUTE_FAILED, grpc.StatusCode.FAILED_PRECONDITION),
    (MeasurementError, Error.COMPUTE_FAILED, grpc.StatusCode.FAILED_PRECONDITION),
    (SignatureRefusedError, Error.REFUSED, grpc.StatusCode.PERMISSION_DENIED),
    (StoreError, Error.REFUSED, grpc.StatusCode.RESOURCE_EXHAUSTED),
)
# gRPC's headers, where a status travels, have 8 KiB; no list of tensors in a message is as long by right.
_MOST_CHARACTERS = 2000
_UNKNOWN = "a defect in the node service; its log has the traceback"


def is_expected(error: Exception) -> bool:
    """Whether the error is one that this service raises on purpose; any other is a defect and belongs in the log."""
    return any(isinstance(error, kind) for kind, _, _ in _TABLE)


def to_frame_error(error: Exception, board: str, stage_index: int) -> Error:
    """What the caller of `infer` is told, naming the board at fault."""
    if isinstance(error, RelayedError):
        return error.error
    for kind, code, _ in _TABLE:
        if isinstance(error, kind):
            at_fault, text = board, str(error)
            if isinstance(error, PeerUnavailableError):
                at_fault, text = error.board, error.message
            return Error(code=code, message=_shortened(text), board=at_fault, stage_index=stage_index)
    return Error(code=Error.INTERNAL, message=_UNKNOWN, board=board, stage_index=stage_index)


def to_status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """What the caller of the control plane is told."""
    for kind, _, status in _TABLE:
        if isinstance(error, kind):
            return status, _shortened(str(error))
    return grpc.StatusCode.INTERNAL, _UNKNOWN


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."
