"""The TFLite runtime behind one small adapter: LiteRT or tflite-runtime, who it is, and running a model with it."""

from runtime.delegate import Delegate
from runtime.errors import (
    ComputeError,
    DelegateError,
    MalformedModelError,
    MemoryShortError,
    ModelLoadError,
    OperatorRefusedError,
    RuntimeMissingError,
    TfliteRuntimeError,
)
from runtime.identity import identify, same_bits_promised
from runtime.loading import TfliteRuntime, load_runtime
from runtime.runner import Port, Runner

__all__ = [
    "ComputeError",
    "Delegate",
    "DelegateError",
    "MalformedModelError",
    "MemoryShortError",
    "ModelLoadError",
    "OperatorRefusedError",
    "Port",
    "Runner",
    "RuntimeMissingError",
    "TfliteRuntime",
    "TfliteRuntimeError",
    "identify",
    "load_runtime",
    "same_bits_promised",
]
