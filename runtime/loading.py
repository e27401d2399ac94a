"""Finds a TFLite runtime on this machine: LiteRT where a wheel exists, else tflite-runtime."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from protos.v1.manifest_pb2 import RuntimeIdentity
from runtime.delegate import NO_DELEGATE, Delegate
from runtime.errors import DelegateError, RuntimeMissingError
from runtime.identity import identify

# choice -> (distribution, module), in the order that "auto" tries them.
_CANDIDATES = {
    "litert": ("ai-edge-litert", "ai_edge_litert.interpreter"),
    "tflite": ("tflite-runtime", "tflite_runtime.interpreter"),
}
RUNTIME_CHOICES = ("auto", *_CANDIDATES)


@dataclass(frozen=True)
class TfliteRuntime:
    """A runtime that imports: its name, version and `Interpreter` class.

    Attributes:
        load_delegate: the runtime's function of that name.
        delegates: those that models may be given to.
        delegate: the one that they are given to; None: the runtime computes all by itself.
    """

    name: str
    version: str
    interpreter_class: Any
    load_delegate: Callable[..., Any] | None = None
    delegates: tuple[Delegate, ...] = ()
    delegate: Delegate | None = None

    @property
    def identity(self) -> RuntimeIdentity:
        """This runtime on this machine, as recorded in bundles and descriptions."""
        return identify(self.name, self.version, "" if self.delegate is None else self.delegate.identity)

    @property
    def delegate_name(self) -> str:
        """As `with_delegate` takes it."""
        return NO_DELEGATE if self.delegate is None else self.delegate.name

    def with_delegate(self, name: str) -> TfliteRuntime:
        """The runtime with another of its delegates, or "none". Raises: DelegateError: it has none of that name."""
        known = {delegate.name: delegate for delegate in self.delegates}
        if name != NO_DELEGATE and name not in known:
            raise DelegateError(
                f"this board has no delegate {name!r}: expected one of {', '.join([*sorted(known), NO_DELEGATE])}. "
                f"Name one of these in boards.yaml, or start its service with --delegate {name}=PATH."
            )
        return replace(self, delegate=known.get(name))

    @property
    def delegate_texts(self) -> list[str]:
        """What another process parses and gives to `load_runtime` to have the same delegate, or none."""
        return [] if self.delegate is None else [str(self.delegate)]

    def open_delegates(self) -> list[Any]:
        """What an interpreter is given, anew for each: at most one delegate. Raises: DelegateError."""
        return [] if self.delegate is None else [self.delegate.open(self.load_delegate)]

    def is_older_than(self, floor: str) -> bool:
        """Whether a model that asks for TensorFlow `floor` ("2.17.0", "" for unknown) is too new.

        Decides for tflite-runtime only, whose versions are TensorFlow's. LiteRT counts by itself and is newer than any
        TensorFlow that its wheels can meet here; what it does not know it refuses when the model is loaded.
        """
        return bool(floor) and self.name == "tflite-runtime" and _numbers(self.version) < _numbers(floor)


def load_runtime(choice: str = "auto", delegates: Sequence[Delegate] = ()) -> TfliteRuntime:
    """Imports the chosen runtime ("auto", "litert" or "tflite"), with the first of the delegates in use.

    Raises: RuntimeMissingError: not installed, or installed and unusable, with what to install.
    """
    if choice not in RUNTIME_CHOICES:
        raise RuntimeMissingError(f"unknown runtime {choice!r}: expected one of {', '.join(RUNTIME_CHOICES)}.")
    failures = []
    for name in _CANDIDATES if choice == "auto" else (choice,):
        try:
            runtime = _import(name)
            return replace(runtime, delegates=tuple(delegates), delegate=next(iter(delegates), None))
        except RuntimeMissingError as error:
            failures.append(str(error))
    raise RuntimeMissingError(" ".join(failures))


def _import(name: str) -> TfliteRuntime:
    distribution, module_name = _CANDIDATES[name]
    try:
        module = importlib.import_module(module_name)
        version = importlib.metadata.version(distribution)
    except ImportError as error:
        raise RuntimeMissingError(
            f"{distribution} cannot be imported ({error}). Install it: pip install {distribution}."
        ) from error
    if name == "tflite":
        _require_numpy_1(version)
    return TfliteRuntime(distribution, version, module.Interpreter, module.load_delegate)


def _require_numpy_1(version: str) -> None:
    # Built against NumPy 1; with NumPy 2 the import works and every Interpreter() then fails with a SystemError.
    numpy_version = importlib.metadata.version("numpy")
    if _numbers(numpy_version) >= (2,):
        raise RuntimeMissingError(
            f"tflite-runtime {version} does not work with NumPy {numpy_version}. Install an older one: pip install 'numpy<2'."
        )


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    while numbers and numbers[-1] == 0:  # 2.14 is 2.14.0
        numbers.pop()
    return tuple(numbers)
