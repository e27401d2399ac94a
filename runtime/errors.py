"""Errors of the runtime adapter, sorted by what has to change: the installation, the model, or the tensors."""

from __future__ import annotations


class TfliteRuntimeError(Exception):
    """Base of everything this package raises on purpose."""


class RuntimeMissingError(TfliteRuntimeError):
    """No usable TFLite runtime is installed."""


class ModelLoadError(TfliteRuntimeError):
    """The runtime refuses the model: too new for it, corrupt, or too big for the memory."""


class ComputeError(TfliteRuntimeError):
    """The runtime refused to run the model on these tensors."""
