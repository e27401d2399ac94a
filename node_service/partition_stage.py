"""One loaded partition: checks a frame's tensors, computes, and hands on what leaves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from node_service.crossing import Crossing, check_ports
from node_service.frame_work import FrameWork
from node_service.run_watch import RunWatch
from node_service.stage import Stage
from protos.v1.control_plane_pb2 import LoadStageRequest
from runtime import Runner, TfliteRuntime
from transport.frame import EncodedTensor


class PartitionStage(Stage):
    """A partition that this board computes alone."""

    def __init__(
        self,
        request: LoadStageRequest,
        partition_bytes: int,
        runner: Runner,
        threads: int = 1,
        max_frame_bytes: int | None = None,
    ) -> None:
        """Args: max_frame_bytes: of a frame's tensors, decoded; None: any number. Raises: BadRequestError."""
        super().__init__(request, partition_bytes, (RunWatch(),), threads)
        self._crossing = Crossing(request.partition, max_frame_bytes)
        self._runner = runner

    @classmethod
    def load(
        cls,
        runtime: TfliteRuntime,
        path: Path,
        request: LoadStageRequest,
        threads: int,
        max_frame_bytes: int | None = None,
    ) -> PartitionStage:
        """Loads a stored partition and checks that its file has the tensors which the request promises.

        Raises: ModelLoadError: the runtime refuses the file. BadRequestError: the file's tensors are others.
        """
        runner = Runner(runtime, path, threads)
        check_ports("the partition's inputs", request.partition.inputs, runner.inputs)
        check_ports("the partition's outputs", request.partition.outputs, runner.outputs)
        return cls(request, path.stat().st_size, runner, threads, max_frame_bytes)

    @property
    def most_message_bytes(self) -> int | None:
        """The largest message that makes sense to it; None: as large as the board takes."""
        return self._crossing.most_message_bytes

    @property
    def leaving_dtypes(self) -> Sequence[np.dtype[Any]]:
        """Of the tensors that leave, in order."""
        return self._crossing.leaving_dtypes

    def process(self, arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        """Runs one frame on the calling thread: decodes what the partition reads, and computes.

        Args:
            arrived_ns: when the frame came, by time.perf_counter_ns.
        Raises: FrameError: tensors that the deployment does not expect. ComputeError: the runtime refuses them. NotLoadedError:
            unloaded meanwhile.
        """
        try:
            started_ns = time.perf_counter_ns()
            values = self._crossing.arrays(arriving)
            decoded_ns = time.perf_counter_ns()
            with self.turn():
                begun_ns = time.perf_counter_ns()
                with self.watches[0].run():
                    outputs = self._runner.run(values)
                computed_ns = time.perf_counter_ns()
                invoke_cpu_ns = self._runner.invoke_cpu_ns
                self.count_frame()
        except BaseException:
            self.count_frame(failed=True)
            raise
        return FrameWork(
            leaving=self._crossing.leaving(outputs, arriving),
            wait_ns=(started_ns - arrived_ns) + (begun_ns - decoded_ns),
            decode_ns=decoded_ns - started_ns,
            compute_ns=computed_ns - begun_ns,
            invoke_cpu_ns=invoke_cpu_ns,
        )
