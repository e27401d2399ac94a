"""The library that an application imports to run a model across boards.

from dispatcher_client import Dispatcher
with Dispatcher(bundle="parts/", boards="boards.yaml") as chain:
    y = chain.infer(x)
"""

from dispatcher_client.boards import Board, load_boards
from dispatcher_client.chain import ReplyReport
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.errors import (
    BitIdentityError,
    BoardDefectError,
    BoardError,
    BoardRefusedError,
    BoardsFileError,
    BoardUnavailableError,
    CallbackError,
    ChainClosedError,
    ComputeFailedError,
    DispatcherError,
    FrameRejectedError,
    InputError,
    OptionError,
    PlacementError,
    ReplyTimeoutError,
)
from dispatcher_client.identity import BitPromise

__all__ = [
    "BitIdentityError",
    "BitPromise",
    "Board",
    "BoardDefectError",
    "BoardError",
    "BoardRefusedError",
    "BoardUnavailableError",
    "BoardsFileError",
    "CallbackError",
    "ChainClosedError",
    "ComputeFailedError",
    "Dispatcher",
    "DispatcherError",
    "FrameRejectedError",
    "InputError",
    "OptionError",
    "PlacementError",
    "ReplyReport",
    "ReplyTimeoutError",
    "load_boards",
]
