"""All boards at once: what each one is and serves, and unloading deployments from each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.inventory import Board
from protos.v1.control_plane_pb2 import Description
from transport.credentials import Credentials

_LOOK_AGAIN_S = 0.05


async def read_status(
    boards: Sequence[Board], *, credentials: Credentials | None, timeout_s: float
) -> list[dict[str, Any]]:
    """One row per board, in order; a board that does not answer has its reason in `error`."""
    return list(await asyncio.gather(*(_status(board, credentials, timeout_s) for board in boards)))


async def undeploy_everywhere(
    boards: Sequence[Board], deployment_ids: Iterable[str], *, credentials: Credentials | None, timeout_s: float
) -> list[dict[str, Any]]:
    """Unloads deployments from every board, each address once; one row per board, with the reason in `error` if it failed."""
    wanted = tuple(deployment_ids)

    async def undeploy(board: Board) -> dict[str, Any]:
        row: dict[str, Any] = {"board": board.name, "unloaded_stages": 0, "error": ""}
        try:
            async with BoardControl(board, credentials=credentials, timeout_s=timeout_s) as control:
                for deployment_id in wanted:
                    row["unloaded_stages"] += await control.unload(deployment_id)
        except BoardError as error:
            row["error"] = str(error)
        return row

    distinct = {board.address: board for board in boards}
    return list(await asyncio.gather(*(undeploy(board) for board in distinct.values())))


@dataclass(frozen=True)
class DrainResult:
    """A board that was taken out of service, or back.

    Attributes:
        streams: that it still has when none should be left or the time is over.
        is_kept: a restart of its service finds it so, too.
        why_not_kept: else: why.
    """

    streams: int
    is_kept: bool
    why_not_kept: str


async def drain_board(board: Board, *, undo: bool, credentials: Credentials | None, timeout_s: float) -> DrainResult:
    """Takes a board out of service, and waits until it has no streams, or takes it back. Raises: BoardError."""
    stop_s = time.monotonic() + timeout_s
    async with BoardControl(board, credentials=credentials, timeout_s=timeout_s) as control:
        reply = await control.drain(undo=undo)
        n_streams = 0
        while not undo and (n_streams := sum(stage.streams for stage in (await control.describe()).stages)):
            if time.monotonic() > stop_s:
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        return DrainResult(n_streams, reply.kept, reply.why_not_kept)


async def _status(board: Board, credentials: Credentials | None, timeout_s: float) -> dict[str, Any]:
    try:
        async with BoardControl(board, credentials=credentials, timeout_s=timeout_s) as control:
            return _row(board, await control.describe(), "")
    except BoardError as error:
        return _row(board, Description(), str(error))


def _date(ends_s: float) -> str:
    """Of a certificate's end, ISO 8601; empty where there is none, in plaintext."""
    return time.strftime("%Y-%m-%d", time.gmtime(ends_s)) if ends_s else ""


def _row(board: Board, described: Description, error: str) -> dict[str, Any]:
    runtime = described.runtime
    return {
        "board": board.name,
        "address": str(board.address),
        "state": "" if error else ("draining" if described.draining else "serving"),
        "error": error,
        "certificate_ends": _date(described.certificate_ends_s),
        "software_version": described.software_version,
        "runtime": f"{runtime.runtime} {runtime.version} {runtime.architecture}".strip(),
        "processor": runtime.processor,
        "delegate": runtime.delegate,
        "threads": described.threads,
        "cores": described.cores,
        "memory_total_bytes": described.memory_total_bytes,
        "memory_available_bytes": described.memory_available_bytes,
        "stages": [
            {
                "deployment_id": s.deployment_id,
                "stage": s.stage_index,
                "delegate": s.delegate,
                "partition_bytes": s.partition_bytes,
                "frames": s.frames,
                "failed_frames": s.failed_frames,
                "streams": s.streams,
            }
            for s in described.stages
        ],
    }
