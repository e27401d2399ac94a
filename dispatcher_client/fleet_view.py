"""What a fleet does between two looks at it: rates and times of each stage, and each deployment's share of its bound."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.inventory import Board
from fleet.together import together
from protos.v1.control_plane_pb2 import Description, LoadedStage
from transport.credentials import Credentials

_BUSY = ("decode_s", "compute_s", "pieces_wait_s", "encode_s")


@dataclass(frozen=True)
class Look:
    """What a board said of itself, or why it said nothing; `at_s` by time.monotonic."""

    description: Description | None
    error: str
    at_s: float


@dataclass(frozen=True)
class StageView:
    """A stage between two looks. Times are means per frame, None without frames; `busy` is its share of the time.

    Attributes: pieces_ms: what it waits for other boards of a group, which keeps it as computing does.
    """

    deployment_id: str
    stage_index: int
    frames_per_s: float
    wait_ms: float | None
    compute_ms: float | None
    pieces_ms: float | None
    coding_ms: float | None
    send_ms: float | None
    busy: float
    sent_bytes_per_s: float
    streams: int

    @property
    def busy_ms(self) -> float:
        """What a frame keeps the stage."""
        return (self.compute_ms or 0.0) + (self.pieces_ms or 0.0) + (self.coding_ms or 0.0)


@dataclass(frozen=True)
class BoardView:
    """A board between two looks; None where it has no sensor. `joules_per_frame` is of all frames that left it."""

    board: str
    state: str
    error: str
    stages: tuple[StageView, ...]
    cpu: float
    temperature_c: float | None
    throttled: tuple[str, ...]
    power_w: float | None
    joules_per_frame: float | None


@dataclass(frozen=True)
class DeploymentView:
    """A deployment over all boards. `bound_per_s`: what its slowest stage could do, by what frames take now; None: no frames."""

    deployment_id: str
    frames_per_s: float
    bound_per_s: float | None
    slowest: str


class FleetWatch:
    """Keeps a connection to every board, and asks all of them at once. Used in an event loop; ends with `close`."""

    def __init__(self, boards: Sequence[Board], credentials: Credentials | None, timeout_s: float) -> None:
        self._controls = {b.name: BoardControl(b, credentials=credentials, timeout_s=timeout_s) for b in boards}

    async def look(self) -> dict[str, Look]:
        """What every board says now."""
        return dict(zip(self._controls, await together(_look(control) for control in self._controls.values())))

    async def close(self) -> None:
        """Ends the connections."""
        for control in self._controls.values():
            await control.__aexit__(None, None, None)


async def _look(control: BoardControl) -> Look:
    try:
        return Look(await control.describe(), "", time.monotonic())
    except BoardError as error:
        return Look(None, str(error), time.monotonic())


def view(before: Mapping[str, Look], after: Mapping[str, Look]) -> tuple[list[BoardView], list[DeploymentView]]:
    """Boards, in order, and deployments. A board that has restarted in between counts from its start."""
    boards = [_board(name, before[name], look) for name, look in after.items()]
    return boards, _deployments(boards)


def _board(name: str, before: Look, after: Look) -> BoardView:
    now = after.description
    if now is None:
        return BoardView(name, "gone", after.error, (), 0.0, None, (), None, None)
    then = before.description
    if then is None or then.service_cpu_s > now.service_cpu_s:  # it was away
        then = Description(service_cpu_s=now.service_cpu_s)
        then.stages.extend(now.stages)
    seconds = max(1e-9, after.at_s - before.at_s)
    known = {(s.deployment_id, s.stage_index): s for s in then.stages}
    stages = tuple(_stage(known.get((s.deployment_id, s.stage_index), LoadedStage()), s, seconds) for s in now.stages)
    frames = sum(s.frames_per_s for s in stages) * seconds
    joules = None
    if now.HasField("energy_j") and then.HasField("energy_j") and frames:
        joules = (now.energy_j - then.energy_j) / frames
    return BoardView(
        name,
        "draining" if now.draining else "serving",
        "",
        stages,
        (now.service_cpu_s - then.service_cpu_s) / seconds,
        now.temperature_c if now.HasField("temperature_c") else None,
        tuple(now.throttled),
        now.power_w if now.HasField("power_w") else None,
        joules,
    )


def _stage(then: LoadedStage, now: LoadedStage, seconds: float) -> StageView:
    frames = now.frames_left - then.frames_left

    def per_frame_ms(*fields: str) -> float | None:
        spent_s = sum(getattr(now, f) - getattr(then, f) for f in fields)
        return spent_s / frames * 1e3 if frames else None

    busy_s = sum(getattr(now, f) - getattr(then, f) for f in _BUSY)
    return StageView(
        now.deployment_id,
        now.stage_index,
        frames / seconds,
        per_frame_ms("wait_s"),
        per_frame_ms("compute_s"),
        per_frame_ms("pieces_wait_s"),
        per_frame_ms("decode_s", "encode_s"),
        per_frame_ms("send_s"),
        busy_s / seconds,
        (now.sent_bytes - then.sent_bytes) / seconds,
        now.streams,
    )


def _deployments(boards: Sequence[BoardView]) -> list[DeploymentView]:
    stages: dict[str, dict[int, list[tuple[str, StageView]]]] = defaultdict(lambda: defaultdict(list))
    for board in boards:
        for stage in board.stages:
            stages[stage.deployment_id][stage.stage_index].append((board.board, stage))
    return [_deployment(deployment_id, by_index) for deployment_id, by_index in sorted(stages.items())]


def _deployment(deployment_id: str, stages: Mapping[int, Sequence[tuple[str, StageView]]]) -> DeploymentView:
    """Chains side by side hold a stage several times: what they can do adds up."""
    last = max(stages)
    rate_per_s = sum(stage.frames_per_s for _, stage in stages[last])
    bounds = {}
    for index, held in stages.items():
        able = [(board, 1e3 / s.busy_ms) for board, s in held if s.busy_ms]
        if able:
            bounds[sum(per_s for _, per_s in able)] = f"stage {index} on {', '.join(board for board, _ in able)}"
    if not bounds:
        return DeploymentView(deployment_id, rate_per_s, None, "")
    bound_per_s = min(bounds)
    return DeploymentView(deployment_id, rate_per_s, bound_per_s, bounds[bound_per_s])
