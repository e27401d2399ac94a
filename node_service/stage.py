"""One loaded partition: checks a frame's tensors, computes, and hands on what leaves. One thread computes at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from node_service.errors import BadRequestError, NotLoadedError
from node_service.frame_work import FrameWork
from protos.v1.control_plane_pb2 import LoadedStage, LoadStageRequest
from protos.v1.data_plane_pb2 import Codec
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port, Runner, TfliteRuntime
from transport.boundary import check_boundary
from transport.frame import EncodedTensor
from transport.tensor_codec import CodecSetting, decode_tensor, encode_tensor
from transport.tensor_spec import Array, describe, numpy_dtype

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass
class Stage:
    """A partition in service. Streams share it; their frames take turns on its compute thread."""

    request: LoadStageRequest
    partition_bytes: int
    runner: Runner = field(repr=False)
    frames: int = 0
    failed_frames: int = 0
    streams: int = 0

    def __post_init__(self) -> None:
        partition = self.request.partition
        self._is_closed = False
        self._executor = ThreadPoolExecutor(1, f"compute-{self.request.stage_index}")
        arriving = [t.name for t in partition.arriving]
        outputs = [t.name for t in partition.outputs]
        self._input_places = [arriving.index(t.name) for t in partition.inputs]
        # Where each leaving tensor comes from: the place among the computed outputs, or among what arrived.
        self._sources = [
            (True, outputs.index(t.name)) if t.name in outputs else (False, arriving.index(t.name))
            for t in partition.leaving
        ]

    @classmethod
    def load(cls, runtime: TfliteRuntime, path: Path, request: LoadStageRequest, threads: int) -> Stage:
        """Loads a stored partition and checks that its file has the tensors which the request promises.

        Raises: ModelLoadError: the runtime refuses the file. BadRequestError: the file's tensors are others.
        """
        _check_names(request)
        runner = Runner(runtime, path, threads)
        _check_ports("inputs", request.partition.inputs, runner.inputs)
        _check_ports("outputs", request.partition.outputs, runner.outputs)
        return cls(request, path.stat().st_size, runner)

    @property
    def stage_index(self) -> int:
        """Its place in the deployment's chain."""
        return self.request.stage_index

    async def process(self, arriving: list[EncodedTensor], arrived_ns: int, codec: Codec) -> FrameWork:
        """Runs one frame: decode, compute on this stage's thread, encode.

        Only RAW, whose coding is a view, is coded on the event loop; other codecs go to a worker thread, never to the
        compute thread.
        Args:
            arrived_ns: when the frame came, by time.perf_counter_ns.
            codec: for the tensors computed here; those carried along stay as they came.
        Raises: FrameError: tensors that the deployment does not expect. ComputeError: the runtime refuses them. NotLoadedError:
            unloaded meanwhile.
        """
        try:
            check_boundary(self.request.partition.arriving, arriving)
            started_ns = time.perf_counter_ns()
            wanted = [arriving[place] for place in self._input_places]
            values = await _coding(_decode, wanted, all(t.header.codec == Codec.RAW for t in wanted))
            decoded_ns = time.perf_counter_ns()
            outputs, begun_ns, computed_ns = await self._on_compute_thread(values)
            resumed_ns = time.perf_counter_ns()
            encoded = await _coding(partial(_encode, codec), outputs, codec == Codec.RAW)
            finished_ns = time.perf_counter_ns()
        except BaseException:
            self.failed_frames += 1
            raise
        self.frames += 1
        return FrameWork(
            leaving=[encoded[i] if computed else arriving[i] for computed, i in self._sources],
            wait_ns=(started_ns - arrived_ns) + (begun_ns - decoded_ns),
            decode_ns=decoded_ns - started_ns,
            compute_ns=computed_ns - begun_ns,
            encode_ns=finished_ns - resumed_ns,
        )

    def close(self) -> None:
        """Ends the compute thread once the frame in it is done; frames that come later are refused."""
        self._is_closed = True
        self._executor.shutdown(wait=False)

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

    async def _on_compute_thread(self, values: list[Array]) -> tuple[list[Array], int, int]:
        if self._is_closed:
            raise NotLoadedError(f"stage {self.request.stage_index} of {self.request.deployment_id} was unloaded.")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._compute, values)

    def _compute(self, values: list[Array]) -> tuple[list[Array], int, int]:
        begun_ns = time.perf_counter_ns()
        outputs = self.runner.run(values)
        return outputs, begun_ns, time.perf_counter_ns()


def _decode(tensors: list[EncodedTensor]) -> list[Array]:
    return [decode_tensor(t) for t in tensors]


def _encode(codec: Codec, arrays: list[Array]) -> list[EncodedTensor]:
    return [encode_tensor(array, CodecSetting(codec)) for array in arrays]


async def _coding(work: Callable[[list[_In]], list[_Out]], values: list[_In], is_view: bool) -> list[_Out]:
    return work(values) if is_view else await asyncio.to_thread(work, values)


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
