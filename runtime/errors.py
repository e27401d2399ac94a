"""Errors of the runtime adapter, sorted by what has to change: the installation, the model, or the tensors."""

from __future__ import annotations


class TfliteRuntimeError(Exception):
    """Base of everything this package raises on purpose."""


class RuntimeMissingError(TfliteRuntimeError):
    """No usable TFLite runtime is installed."""


class ModelLoadError(TfliteRuntimeError):
    """The runtime refuses the model: too new for it, corrupt, or too big for the memory."""


class MalformedModelError(ModelLoadError):
    """The model file is damaged, or made to harm: it is refused before a runtime sees it."""

    @classmethod
    def because(cls, fault: str) -> MalformedModelError:
        """Args: fault: a sentence about "it", the file."""
        return cls(f"the model file is malformed: {fault} Convert or copy it again.")


class OperatorRefusedError(ModelLoadError):
    """The model has operators that are not the runtime's own, and nobody allowed them."""


class MemoryShortError(ModelLoadError):
    """The model needs more memory than there is."""


class DelegateError(TfliteRuntimeError):
    """A delegate is not there, cannot be loaded, or refuses its options."""


class ComputeError(TfliteRuntimeError):
    """The runtime refused to run the model on these tensors."""
