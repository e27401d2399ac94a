"""The library that an application imports to run a model across boards.

from dispatcher_client import Dispatcher
with Dispatcher(bundle="parts/", boards="boards.yaml") as chain:
    y = chain.infer(x)
"""

from bundle import Plan, PlanError
from dispatcher_client.answer_changes import OutputChange
from dispatcher_client.async_dispatcher import AsyncDispatcher
from dispatcher_client.chain import ReplyReport
from dispatcher_client.codec_comparison import CodecEffect
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.errors import (
    BitIdentityError,
    ChainClosedError,
    DispatcherError,
    InputError,
    JournalError,
    OptionError,
    OverloadedError,
    PlacementError,
    ReplyTimeoutError,
    VersionMisfitError,
)
from dispatcher_client.identity import BitPromise
from dispatcher_client.journal import Journal
from dispatcher_client.model_watch import ModelWatch, WatchEvent
from fleet.errors import (
    BoardDefectError,
    BoardError,
    BoardOverloadedError,
    BoardRefusedError,
    BoardsFileError,
    BoardUnavailableError,
    CallbackError,
    ComputeFailedError,
    FrameRejectedError,
)
from fleet.inventory import Board, load_boards

__all__ = [
    "AsyncDispatcher",
    "BitIdentityError",
    "BitPromise",
    "Board",
    "BoardDefectError",
    "BoardError",
    "BoardOverloadedError",
    "BoardRefusedError",
    "BoardUnavailableError",
    "BoardsFileError",
    "CallbackError",
    "ChainClosedError",
    "CodecEffect",
    "ComputeFailedError",
    "Dispatcher",
    "DispatcherError",
    "FrameRejectedError",
    "InputError",
    "Journal",
    "JournalError",
    "ModelWatch",
    "OptionError",
    "OutputChange",
    "OverloadedError",
    "PlacementError",
    "Plan",
    "PlanError",
    "ReplyReport",
    "ReplyTimeoutError",
    "VersionMisfitError",
    "WatchEvent",
    "load_boards",
]
