"""Errors that an application can catch, sorted by whose fault they are."""

from __future__ import annotations

from protos.v1.data_plane_pb2 import Error


class DispatcherError(Exception):
    """Base of everything this library raises on purpose."""


class BoardsFileError(DispatcherError):
    """boards.yaml cannot be read or does not follow its schema."""


class InputError(DispatcherError):
    """The input has the wrong name, shape or dtype, or holds NaN where integers are needed."""


class PlacementError(DispatcherError):
    """There are fewer boards than partitions."""


class BitIdentityError(DispatcherError):
    """The chain's answer to the bundle's sample differs from the whole model's where equal bits are promised."""


class ChainClosedError(DispatcherError):
    """The chain is not open: not yet, not any more, or it broke earlier."""


class CallbackError(DispatcherError):
    """A call that waits was made from a callback, on the thread that it would wait for."""


class OptionError(DispatcherError):
    """An option has a value that makes no sense."""


class ReplyTimeoutError(DispatcherError):
    """No answer came within the time-out."""


class BoardError(DispatcherError):
    """A board is at fault, or refuses; `board` is its name."""

    def __init__(self, board: str, message: str) -> None:
        super().__init__(f"board {board}: {message}")
        self.board = board


class BoardUnavailableError(BoardError):
    """The board cannot be reached, or its stream broke."""


class BoardRefusedError(BoardError):
    """The board answers but will not serve: another version, not loaded, draining, no room."""


class FrameRejectedError(BoardError):
    """The board found the frame wrong; it serves on."""


class ComputeFailedError(BoardError):
    """The board's runtime refused to run the partition on this frame; it serves on."""


class BoardDefectError(BoardError):
    """A defect in the board's software; its log has the traceback."""


_BY_CODE: dict[int, type[BoardError]] = {
    Error.BAD_FRAME: FrameRejectedError,
    Error.NOT_LOADED: BoardRefusedError,
    Error.WRONG_VERSION: BoardRefusedError,
    Error.PEER_UNAVAILABLE: BoardUnavailableError,
    Error.COMPUTE_FAILED: ComputeFailedError,
    Error.REFUSED: BoardRefusedError,
}


def from_wire(error: Error) -> BoardError:
    """The typed error for what a board reported."""
    return _BY_CODE.get(error.code, BoardDefectError)(error.board, error.message)
