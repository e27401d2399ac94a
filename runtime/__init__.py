"""The TFLite runtime behind one small adapter: LiteRT or tflite-runtime, who it is, and running a model with it."""

from runtime.errors import (
    ComputeError,
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
