"""One loaded partition: checks a frame's tensors, computes, and hands on what leaves. One thread computes at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from node_service.errors import BadRequestError, NotLoadedError, StalledError
from node_service.frame_work import FrameWork
from protos.v1.control_plane_pb2 import LoadedStage, LoadStageRequest
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port, Runner, TfliteRuntime
from transport.boundary import Boundary, boundary_bytes
from transport.channel import HEADER_ROOM_BYTES
from transport.frame import EncodedTensor
from transport.tensor_spec import describe, numpy_dtype

_NS_PER_S = 1e9
# A run that takes so many times longer than the longest before it is not slow: it stands still. Runs of a board that shares
# its cores vary; the least is what still leaves time to notice within a second.
_STANDSTILL = 4.0
_LEAST_STANDSTILL_S = 0.7
# The first run packs weights and maps files from a slow card: it says little of those to come.
_FIRST_RUN_S = 60.0
# Beyond what a stage expects, a frame is taken up to this size: so that one with wrong tensors is answered with their names.
_WRONG_FRAME_BYTES = 2**20
# Of the longest run's time, after each shorter one: one that took very long, for whatever reason, is forgotten.
_MEMORY = 0.99


@dataclass
class Stage:
    """A partition in service. Streams share it; their frames take turns.

    Attributes:
        need_bytes: memory that it takes at the least; 0 if nobody has looked.
    """

    request: LoadStageRequest
    partition_bytes: int
    runner: Runner = field(repr=False)
    threads: int = 1
    max_frame_bytes: int | None = None
    frames: int = 0
    failed_frames: int = 0
    streams: int = 0
    need_bytes: int = 0

    def __post_init__(self) -> None:
        partition = self.request.partition
        self._boundary = Boundary(partition.arriving, self.max_frame_bytes)
        self._is_closed = False
        self._begun_ns = 0  # of the frame in work; 0 between frames
        self._longest_ns = 0.0
        self._excused = (0, 0.0, 0.0)  # begun_ns of a run, what it is excused of in ns, and until when in s
        self._computing = threading.Lock()
        self._counting = threading.Lock()
        arriving = [t.name for t in partition.arriving]
        outputs = [t.name for t in partition.outputs]
        self._input_places = [arriving.index(t.name) for t in partition.inputs]
        # Where each leaving tensor comes from: the place among the computed outputs, or among what arrived.
        self._sources = [
            (True, outputs.index(t.name)) if t.name in outputs else (False, arriving.index(t.name))
            for t in partition.leaving
        ]

    @classmethod
    def load(
        cls,
        runtime: TfliteRuntime,
        path: Path,
        request: LoadStageRequest,
        threads: int,
        max_frame_bytes: int | None = None,
    ) -> Stage:
        """Loads a stored partition and checks that its file has the tensors which the request promises.

        Args: max_frame_bytes: of a frame's tensors, decoded; None: any number.
        Raises: ModelLoadError: the runtime refuses the file. BadRequestError: the file's tensors are others.
        """
        _check_names(request)
        runner = Runner(runtime, path, threads)
        _check_ports("inputs", request.partition.inputs, runner.inputs)
        _check_ports("outputs", request.partition.outputs, runner.outputs)
        return cls(request, path.stat().st_size, runner, threads, max_frame_bytes)

    @property
    def stage_index(self) -> int:
        """Its place in the deployment's chain."""
        return self.request.stage_index

    @property
    def most_message_bytes(self) -> int | None:
        """Twice what it expects, and a little; None where the deployment leaves a size open."""
        arriving = self.request.partition.arriving
        if any(-1 in spec.shape for spec in arriving):
            return None
        return 2 * boundary_bytes(arriving) + _WRONG_FRAME_BYTES + HEADER_ROOM_BYTES

    @property
    def leaving_dtypes(self) -> Sequence[np.dtype[Any]]:
        """Of the tensors that leave, in order."""
        return [numpy_dtype(spec.dtype) for spec in self.request.partition.leaving]

    @contextmanager
    def in_stream(self) -> Iterator[Stage]:
        """The stage while a stream is open to it."""
        with self._counting:
            self.streams += 1
        try:
            yield self
        finally:
            with self._counting:
                self.streams -= 1

    def process(self, arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        """Runs one frame on the calling thread: decodes what the partition reads, and computes.

        Args:
            arrived_ns: when the frame came, by time.perf_counter_ns.
        Raises: FrameError: tensors that the deployment does not expect. ComputeError: the runtime refuses them. NotLoadedError:
            unloaded meanwhile.
        """
        try:
            started_ns = time.perf_counter_ns()
            values = self._boundary.arrays(arriving, self._input_places)
            decoded_ns = time.perf_counter_ns()
            with self._computing:
                if self._is_closed:
                    raise NotLoadedError(
                        f"stage {self.request.stage_index} of {self.request.deployment_id} was unloaded."
                    )
                begun_ns = self._begun_ns = time.perf_counter_ns()
                try:
                    outputs = self.runner.run(values)
                finally:
                    self._begun_ns = 0
                computed_ns = time.perf_counter_ns()
                self._note_run(begun_ns, computed_ns)
                invoke_cpu_ns = self.runner.invoke_cpu_ns
                self.frames += 1
        except BaseException:
            with self._counting:
                self.failed_frames += 1
            raise
        return FrameWork(
            leaving=[outputs[i] if computed else arriving[i] for computed, i in self._sources],
            wait_ns=(started_ns - arrived_ns) + (begun_ns - decoded_ns),
            decode_ns=decoded_ns - started_ns,
            compute_ns=computed_ns - begun_ns,
            invoke_cpu_ns=invoke_cpu_ns,
        )

    def _note_run(self, begun_ns: int, computed_ns: int) -> None:
        run_ns = computed_ns - begun_ns - self._excused_ns(begun_ns)
        self._longest_ns = run_ns if self.frames <= 1 else max(run_ns, _MEMORY * self._longest_ns)

    def _excused_ns(self, begun_ns: int) -> float:
        of_ns, excused_ns, _ = self._excused
        return excused_ns if of_ns == begun_ns else 0.0

    def excuse(self, since_s: float, until_s: float) -> None:
        """Counts the time in which the whole process stood still out of the run that is in work; once, whoever tells."""
        begun_ns, (_, _, told_until_s) = self._begun_ns, self._excused
        since_s = max(since_s, told_until_s, begun_ns / _NS_PER_S)
        if begun_ns and until_s > since_s:
            excused_ns = self._excused_ns(begun_ns) + (until_s - since_s) * _NS_PER_S
            self._excused = (begun_ns, excused_ns, until_s)

    def standstill(self) -> StalledError | None:
        """What to say if a run takes several times longer than any before it; None while all is well."""
        begun_ns = self._begun_ns
        running_s = (time.perf_counter_ns() - begun_ns - self._excused_ns(begun_ns)) / _NS_PER_S if begun_ns else 0.0
        longest_s = self._longest_ns / _NS_PER_S
        limit_s = max(_LEAST_STANDSTILL_S, _STANDSTILL * longest_s) if self._longest_ns else _FIRST_RUN_S
        if running_s < limit_s:
            return None
        return StalledError(
            f"stage {self.stage_index} stands still: a run takes {running_s:.1f} s and is not done, the longest before it took "
            f"{longest_s:.2g} s. Look at the board's load, swap and temperature, or restart its node service."
        )

    def close(self) -> None:
        """Frames that come later are refused; one in work is finished."""
        self._is_closed = True

    def describe(self) -> LoadedStage:
        """The stage for the control plane."""
        return LoadedStage(
            deployment_id=self.request.deployment_id,
            stage_index=self.request.stage_index,
            partition_sha256=self.request.partition.file.sha256,
            partition_bytes=self.partition_bytes,
            frames=self.frames,
            failed_frames=self.failed_frames,
            streams=self.streams,
        )


def _check_names(request: LoadStageRequest) -> None:
    partition = request.partition
    arriving = {t.name for t in partition.arriving}
    known = arriving | {t.name for t in partition.outputs}
    missing = sorted({t.name for t in partition.inputs} - arriving | {t.name for t in partition.leaving} - known)
    if missing:
        raise BadRequestError(f"stage {request.stage_index} neither receives nor computes {', '.join(missing)}.")


def _check_ports(what: str, specs: Iterable[TensorSpec], ports: tuple[Port, ...]) -> None:
    promised = [(numpy_dtype(s.dtype), tuple(s.shape)) for s in specs]
    found = [(p.dtype, p.shape) for p in ports]
    if promised != found:
        raise BadRequestError(
            f"the partition's {what} are {', '.join(f'{p.name}: {p.dtype.name} {list(p.shape)}' for p in ports)}; "
            f"the manifest says {', '.join(map(describe, specs))}. Manifest and file are of different bundles."
        )
