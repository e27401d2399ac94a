"""Runs one TFLite model: arrays in, arrays out, each frame independent of the frames before it."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import ComputeError, ModelLoadError
from runtime.loading import TfliteRuntime

# Resource variables outlive a frame and no call of the runtime's puts them back. They change where they are assigned in
# the main graph, or in a branch or body that a handle may be passed to; what CALL_ONCE assigns stays as it is.
_ASSIGNMENT = "ASSIGN_VARIABLE"
_HANDLE = "VAR_HANDLE"
_BRANCHING = frozenset({"CALL", "IF", "WHILE"})

_first_load = threading.Lock()
_has_loaded = False


@dataclass(frozen=True)
class Port:
    """An input or output of a model file. `shape` has -1 where the file leaves the size open."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Runner:
    """One loaded model. Not thread-safe: one thread at a time; `run` releases the GIL while it computes."""

    def __init__(self, runtime: TfliteRuntime, model: Path | bytes, threads: int = 1) -> None:
        """Loads the model, from a path (its constants stay memory-mapped) or from bytes.

        Raises: ModelLoadError: the runtime or its delegate refuses it. DelegateError: its delegate cannot be loaded.
        """
        self._runtime = runtime
        self._options = {
            "num_threads": threads,
            **({"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}),
        }
        self._interpreter = self._open()
        try:
            self._input_details = self._interpreter.get_input_details()
            output_details = self._interpreter.get_output_details()
            kinds = {op["op_name"] for op in self._interpreter._get_ops_details()}  # no public call lists operators
        except UnicodeDecodeError as error:
            raise ModelLoadError(f"the model is damaged: it holds a name that is no text ({error}).") from error
        self._output_indices = [d["index"] for d in output_details]
        self.inputs = tuple(_port(d) for d in self._input_details)
        self.outputs = tuple(_port(d) for d in output_details)
        self._file_shapes = [tuple(int(n) for n in d["shape"]) for d in self._input_details]
        self._current_shapes = self._file_shapes
        self._changes_resources = _ASSIGNMENT in kinds or (_HANDLE in kinds and not kinds.isdisjoint(_BRANCHING))
        self._is_fresh = True
        # One thread computes on the caller's; several compute on threads of the runtime's own.
        self._cpu_ns = time.thread_time_ns if threads == 1 else time.process_time_ns
        self.invoke_cpu_ns = (
            0  # processor time of the last `invoke`; with several threads, of the whole process meanwhile
        )

    def run(self, values: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """The model's outputs for one frame, in the file's order, as arrays that own their data.

        Variables inside the model start from their initial value in every frame, so an answer depends on its own frame only
        and can be computed again anywhere. A model that assigns resource variables is loaded anew for that, frame by frame.
        Args:
            values: one array per input, in the file's order, of the input's dtype; the shape may differ from the file's
                where the graph allows it, which costs a new allocation.
        Raises: ComputeError: wrong number of values, a wrong dtype or shape, or an operator that fails on them.
            ModelLoadError, DelegateError: the model had to be loaded anew and no longer can be.
        """
        if len(values) != len(self._input_details):
            raise ComputeError(f"the model takes {len(self._input_details)} tensors, got {len(values)}.")
        for port, value in zip(self.inputs, values):
            # Above all the byte order: the runtime takes a big-endian array's bytes as they are. Strings have many dtypes.
            if value.dtype != port.dtype and port.dtype.kind != "S":
                raise ComputeError(f"input {port.name} has dtype {value.dtype.str}, expected {port.dtype.str}.")
        self._renew()
        with self._failing_once():
            self._fit_shapes([v.shape for v in values])
            for detail, value in zip(self._input_details, values):
                self._interpreter.set_tensor(detail["index"], value)
            self._invoke()
            outputs = [self._interpreter.get_tensor(index) for index in self._output_indices]
        self._is_fresh = not self._changes_resources
        return outputs

    def run_in_place(self, fill: Callable[[Sequence[np.ndarray[Any, Any]]], None]) -> list[np.ndarray[Any, Any]]:
        """As `run`, without its copies: for tensors of megabytes, in the file's shapes.

        Args: fill: writes the frame into the arrays that it gets, which are the runtime's own, in the file's order.
        Returns: the runtime's own arrays: the next run overwrites them.
        Raises: as `run`, and what `fill` raises.
        """
        self._renew()
        with self._failing_once():
            self._fit_shapes(self._file_shapes)
            inputs = [self._memory_of(detail["index"]) for detail in self._input_details]
        fill(inputs)
        with self._failing_once():
            self._invoke()
            outputs = [self._memory_of(index) for index in self._output_indices]
        self._is_fresh = not self._changes_resources
        return outputs

    def _renew(self) -> None:
        """Has an interpreter that knows of no frame, nor of a failure."""
        if not self._is_fresh:
            self._interpreter = None  # before the next one: memory for one model, not two
            self._interpreter = self._open()
            self._current_shapes = self._file_shapes
        self._is_fresh = False

    @contextmanager
    def _failing_once(self) -> Iterator[None]:
        """After a failure the interpreter is thrown away: it keeps what it allocated, and repeats old messages in new ones."""
        try:
            yield
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ComputeError(f"the runtime refused the frame: {_one_line(error)}") from error

    def _invoke(self) -> None:
        self._interpreter.reset_all_variables()
        begun_ns = self._cpu_ns()
        self._interpreter.invoke()
        self.invoke_cpu_ns = self._cpu_ns() - begun_ns

    def _memory_of(self, index: int) -> np.ndarray[Any, Any]:
        """A tensor where the runtime has it. Not the runtime's own view: while one is left, it refuses to run."""
        view = self._interpreter.tensor(index)()
        memory = (ctypes.c_char * view.nbytes).from_address(view.__array_interface__["data"][0])
        memory.interpreter = self._interpreter  # lives as long as the array does
        return np.ndarray(view.shape, view.dtype, memory)

    def _open(self) -> Any:
        try:
            with _quiet_first_load():
                interpreter = self._runtime.interpreter_class(
                    **self._options, experimental_delegates=self._runtime.open_delegates()
                )
                interpreter.allocate_tensors()
                return interpreter
        except (ValueError, RuntimeError, SystemError, MemoryError) as error:
            raise ModelLoadError(self._refusal(self._without_path(_one_line(error)))) from error

    def _refusal(self, why: str) -> str:
        runtime, delegate = f"{self._runtime.name} {self._runtime.version}", self._runtime.delegate
        advice = "If it names an operator version, the model needs a newer runtime; else the file is damaged."
        if delegate is None:
            return f"{runtime} refuses the model: {why}. {advice}"
        return (
            f"{runtime} with the delegate {delegate.name} refuses the model: {why.rstrip('.')}. Where the runtime alone takes it "
            f"(delegate: none in boards.yaml), the delegate refuses it. {advice}"
        )

    def _without_path(self, text: str) -> str:
        """Where a board keeps its files is nobody else's business."""
        path = self._options.get("model_path")
        return text.replace(path, Path(path).name) if isinstance(path, str) else text

    def _fit_shapes(self, shapes: list[tuple[int, ...]]) -> None:
        if shapes == self._current_shapes:
            return
        for detail, shape in zip(self._input_details, shapes):
            self._interpreter.resize_tensor_input(detail["index"], list(shape), strict=False)
        self._interpreter.allocate_tensors()
        self._current_shapes = shapes


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())  # the runtime's messages have several lines, the last one empty


def _port(detail: dict[str, Any]) -> Port:
    signature = detail.get("shape_signature")
    shape = detail["shape"] if signature is None or len(signature) == 0 else signature
    return Port(str(detail["name"]), np.dtype(detail["dtype"]), tuple(int(n) for n in shape))


@contextmanager
def _quiet_first_load() -> Iterator[None]:
    """Keeps the runtime's greeting, which it writes to file descriptor 2 once per process, off the user's screen."""
    global _has_loaded
    with _first_load:
        if _has_loaded:
            yield
            return
        saved = os.dup(2)
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
            _has_loaded = True
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)
