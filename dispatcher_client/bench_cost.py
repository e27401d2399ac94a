"""What an image costs the boards: joules where a sensor sees the whole board, processor seconds of its service everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from bundle import Bundle
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from fleet.together import together
from protos.v1.control_plane_pb2 import Description, Profile, ProfileHeader
from transport.credentials import Credentials

_TIMEOUT_S = 10.0
_PROFILE_TIMEOUT_S = 300.0
_CONFIDENCE = 0.02
_BUDGET_S = 3.0


@dataclass(frozen=True)
class BoardCost:
    """Of one board. `joules_per_image` is None where no sensor sees the whole board; everything that the board does counts."""

    board: str
    joules_per_image: float | None
    cpu_s_per_image: float


@dataclass(frozen=True)
class OneBoardCost:
    """Of the whole model on one board, measured run after run, without any transport; or `why_not`: it cannot be run there."""

    board: str
    images_per_s: float = 0.0
    joules_per_image: float | None = None
    cpu_s_per_image: float = 0.0
    why_not: str = ""


@dataclass(frozen=True)
class Cost:
    """Of all boards together. `joules_per_image` is None unless all have a sensor."""

    boards: list[BoardCost]
    joules_per_image: float | None
    cpu_s_per_image: float
    one_board: OneBoardCost | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return asdict(self)


class CostMeter:
    """Asks boards what they have used when its block is entered, and when it is left."""

    def __init__(self, boards: Sequence[Board], credentials: Credentials | None) -> None:
        self._boards = {board.name: board for board in boards}
        self._credentials = credentials
        self._before: dict[str, Description] = {}
        self._after: dict[str, Description] = {}

    def __enter__(self) -> CostMeter:
        self._before = self._ask()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._after = self._ask()

    def cost(self, images: int, one_board: OneBoardCost | None = None) -> Cost:
        """What each of so many images cost in the block. A board whose service has restarted meanwhile counts from then on."""
        boards = []
        for name, after in self._after.items():
            before = self._before[name]
            joules = None
            if after.HasField("energy_j") and before.HasField("energy_j"):
                joules = _more(before.energy_j, after.energy_j) / images
            boards.append(BoardCost(name, joules, _more(before.service_cpu_s, after.service_cpu_s) / images))
        known = [b.joules_per_image for b in boards if b.joules_per_image is not None]
        return Cost(
            boards, sum(known) if len(known) == len(boards) else None, sum(b.cpu_s_per_image for b in boards), one_board
        )

    def _ask(self) -> dict[str, Description]:
        """Raises: BoardError."""
        boards = list(self._boards.values())
        return dict(zip(self._boards, run_in_loop(together(self._describe(board) for board in boards))))

    async def _describe(self, board: Board) -> Description:
        async with BoardControl(board, credentials=self._credentials, timeout_s=_TIMEOUT_S) as control:
            return await control.describe()


def measure_one_board(bundle: Bundle, board: Board, credentials: Credentials | None) -> OneBoardCost:
    """Has a board measure the bundle's whole model, which it does not keep."""
    try:
        profile = run_in_loop(_profile(bundle, board, credentials))
    except BoardError as error:
        return OneBoardCost(board.name, why_not=str(error))
    joules = profile.run_j / bundle.batch if profile.HasField("run_j") else None
    return OneBoardCost(board.name, bundle.batch / profile.run_s, joules, profile.run_cpu_s / bundle.batch)


async def _profile(bundle: Bundle, board: Board, credentials: Credentials | None) -> Profile:
    whole = bundle.manifest.whole
    async with BoardControl(board, credentials=credentials, timeout_s=_TIMEOUT_S) as control:
        key = control.profile_key(whole.sha256)
        if known := await control.find_profiles([key]):
            return known[0]
        header = ProfileHeader(
            key=key,
            size_bytes=whole.size_bytes,
            runtime_floor=bundle.manifest.runtime_floor,
            confidence=_CONFIDENCE,
            budget_s=_BUDGET_S,
        )
        return await control.profile(header, bundle.file_path(whole).read_bytes(), _PROFILE_TIMEOUT_S)


def _more(before: float, after: float) -> float:
    return after - before if after >= before else after
