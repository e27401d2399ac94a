"""Errors of talking to boards, sorted by whose fault they are."""

from __future__ import annotations

from protos.v1.data_plane_pb2 import Error


class FleetError(Exception):
    """Base of everything that talking to boards raises on purpose."""


class BoardsFileError(FleetError):
    """boards.yaml cannot be read or does not follow its schema."""


class CallbackError(FleetError):
    """A call that waits was made from a callback, on the thread that it would wait for."""


class BoardError(FleetError):
    """A board is at fault, or refuses; `board` is its name."""

    def __init__(self, board: str, message: str) -> None:
        super().__init__(f"board {board}: {message}")
        self.board = board
        self._message = message

    def __reduce__(self) -> tuple[type[BoardError], tuple[str, str]]:
        """An error that a process of its own has met must reach the one that waits for it."""
        return type(self), (self.board, self._message)


class BoardUnavailableError(BoardError):
    """The board cannot be reached, or its stream broke."""


class BoardUntrustedError(BoardUnavailableError):
    """Who answers at the board's address does not show the board's certificate, or does not accept this machine's."""


class BoardStalledError(BoardUnavailableError):
    """The board answers, but a frame makes no progress in it."""


class BoardRefusedError(BoardError):
    """The board answers but will not serve: another version, not loaded, draining, no room."""


class BoardForbiddenError(BoardRefusedError):
    """This machine's certificate does not allow what the board was asked for."""


class FrameRejectedError(BoardError):
    """The board found the frame wrong; it serves on."""


class ComputeFailedError(BoardError):
    """The board's runtime refused to run the partition on this frame; it serves on."""


class BoardOverloadedError(BoardError):
    """The frame came when as many waited in the board as may; it serves on."""


class FrameDroppedError(BoardError):
    """The board dropped the frame, since nobody waits for its answer any more; it serves on."""


class BoardDefectError(BoardError):
    """A defect in the board's software; its log has the traceback."""


_BY_CODE: dict[int, type[BoardError]] = {
    Error.BAD_FRAME: FrameRejectedError,
    Error.NOT_LOADED: BoardRefusedError,
    Error.WRONG_VERSION: BoardRefusedError,
    Error.PEER_UNAVAILABLE: BoardUnavailableError,
    Error.COMPUTE_FAILED: ComputeFailedError,
    Error.REFUSED: BoardRefusedError,
    Error.STALLED: BoardStalledError,
    Error.DEADLINE_EXCEEDED: FrameDroppedError,
    Error.CANCELLED: FrameDroppedError,
    Error.OVERLOADED: BoardOverloadedError,
}


def from_wire(error: Error) -> BoardError:
    """The typed error for what a board reported."""
    return _BY_CODE.get(error.code, BoardDefectError)(error.board, error.message)
