"""Sends frames through local node services and watches what each keeps resident."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.resident import Residence, resident_bytes
from bundle import Bundle, Plan, PlannedChain, PlannedStage
from dispatcher_client import Dispatcher
from dispatcher_client.chain import ReplyReport
from examples.local_boards import LocalBoards

# What a service may take beyond runtime and partition: this, and so many frames.
_ALLOWED_BYTES = 64 * 2**20
_ALLOWED_FRAMES = 4
_SAMPLES = 200


@dataclass(frozen=True)
class Row:
    """One board of a soak.

    Attributes:
        resident_loaded_bytes: with runtime and partition, before the first frame.
        resident_beyond_bytes: the peak over the run beyond that; it should be at most resident_allowed_bytes.
        resident_slope_bytes_per_frame: over the second half of the run.
        frame_bytes: the largest frame that came or left.
    """

    board: str
    model: str
    dtype: str
    boards: int
    frames: int
    images_per_s: float
    resident_loaded_bytes: int
    resident_end_bytes: int
    resident_peak_bytes: int
    resident_beyond_bytes: int
    resident_allowed_bytes: int
    is_within_allowed: bool
    resident_slope_bytes_per_frame: float
    frame_bytes: int


class LargestFrames:
    """Keeps the largest frame that came to each stage or left it; give it to a Dispatcher as `on_reply`."""

    def __init__(self, n_stages: int) -> None:
        self.sizes = [0] * n_stages

    def __call__(self, report: ReplyReport) -> None:
        """Looks at the report."""
        for stage, timing in enumerate(report.timings):
            self.sizes[stage] = max(self.sizes[stage], timing.received_bytes, timing.sent_bytes)


def soak(
    bundle: Bundle,
    local: LocalBoards,
    frames: int,
    *,
    codec: str = "raw",
    dtype: str = "float32",
    on_frame: Callable[[int], None] = lambda done: None,
) -> list[Row]:
    """Sends the bundle's sample so many times through its splitting with most parts; a row for each part's board."""
    splitting = max(bundle.splittings, key=lambda s: len(s.partitions))
    n_stages = len(splitting.partitions)
    plan = _in_order([board.name for board in local.boards[:n_stages]], splitting.cut_indices, bundle)
    largest = LargestFrames(n_stages)
    values = bundle.load_sample()[0]
    pids = [board.process.pid for board in local.boards[:n_stages]]
    every = max(1, frames // _SAMPLES)
    with Dispatcher(
        bundle,
        local.named,
        plan=plan,
        credentials=local.credentials,
        recovers=False,
        codec=codec,
        check_sample=False,
        on_reply=largest,
    ) as chain:
        watched = [Residence(resident_bytes(pid)) for pid in pids]
        begun_s = time.perf_counter()
        for done, _ in enumerate(chain.stream(itertools.repeat(values, frames)), start=1):
            if done % every == 0 or done == frames:
                for pid, residence in zip(pids, watched):
                    residence.add(done, resident_bytes(pid))
                on_frame(done)
        elapsed_s = time.perf_counter() - begun_s
    return [
        _row(board.name, bundle, dtype, n_stages, frames / elapsed_s, residence, size)
        for board, residence, size in zip(local.boards, watched, largest.sizes)
    ]


def _row(
    board: str, bundle: Bundle, dtype: str, boards: int, rate: float, residence: Residence, frame_bytes: int
) -> Row:
    allowed_bytes = _ALLOWED_BYTES + _ALLOWED_FRAMES * frame_bytes
    return Row(
        board=board,
        model=bundle.manifest.model_name,
        dtype=dtype,
        boards=boards,
        frames=residence.frames[-1],
        images_per_s=rate,
        resident_loaded_bytes=residence.loaded_bytes,
        resident_end_bytes=residence.sizes[-1],
        resident_peak_bytes=residence.peak_bytes,
        resident_beyond_bytes=residence.beyond_bytes,
        resident_allowed_bytes=allowed_bytes,
        is_within_allowed=residence.beyond_bytes <= allowed_bytes,
        resident_slope_bytes_per_frame=residence.slope_bytes_per_frame,
        frame_bytes=frame_bytes,
    )


def _in_order(names: Sequence[str], cuts: Sequence[int], bundle: Bundle) -> Plan:
    untils: list[int | None] = [*cuts, None]
    stages = tuple(PlannedStage(name, until) for name, until in zip(names, untils))
    return Plan(bundle.manifest.model_name, "throughput", (PlannedChain(stages),))
