"""Runs one TFLite model: arrays in, arrays out, each frame independent of the frames before it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import ComputeError, ModelLoadError
from runtime.loading import TfliteRuntime

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

        Raises: ModelLoadError: the runtime refuses it.
        """
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        try:
            with _quiet_first_load():
                self._interpreter = runtime.interpreter_class(num_threads=threads, **source)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, SystemError, MemoryError) as error:
            raise ModelLoadError(
                f"{runtime.name} {runtime.version} refuses the model: {error}. "
                "If it names an operator version, the model needs a newer runtime; else the file is damaged."
            ) from error
        self._input_details = self._interpreter.get_input_details()
        self._output_indices = [d["index"] for d in self._interpreter.get_output_details()]
        self.inputs = tuple(_port(d) for d in self._input_details)
        self.outputs = tuple(_port(d) for d in self._interpreter.get_output_details())
        self._current_shapes = [tuple(int(n) for n in d["shape"]) for d in self._input_details]

    def run(self, values: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """The model's outputs for one frame, in the file's order, as arrays that own their data.

        Variables inside the model start from their initial value in every frame, so an answer depends on its own frame only
        and can be computed again anywhere.
        Args:
            values: one array per input, in the file's order, of the input's dtype; the shape may differ from the file's
                where the graph allows it, which costs a new allocation.
        Raises: ComputeError: wrong number of values, a wrong dtype or shape, or an operator that fails on them.
        """
        if len(values) != len(self._input_details):
            raise ComputeError(f"the model takes {len(self._input_details)} tensors, got {len(values)}.")
        try:
            self._fit_shapes(values)
            for detail, value in zip(self._input_details, values):
                self._interpreter.set_tensor(detail["index"], value)
            self._interpreter.reset_all_variables()
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._output_indices]
        except (ValueError, RuntimeError) as error:
            raise ComputeError(f"the runtime refused the frame: {error}") from error

    def _fit_shapes(self, values: Sequence[np.ndarray[Any, Any]]) -> None:
        shapes = [v.shape for v in values]
        if shapes == self._current_shapes:
            return
        for detail, shape in zip(self._input_details, shapes):
            self._interpreter.resize_tensor_input(detail["index"], list(shape), strict=False)
        self._current_shapes = []  # unknown until the allocation has succeeded
        self._interpreter.allocate_tensors()
        self._current_shapes = shapes


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
