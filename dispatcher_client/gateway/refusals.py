"""What other servers offer for tensors and this one does not."""

from __future__ import annotations

from collections.abc import Collection

from dispatcher_client.gateway.errors import UnsupportedError


def refuse_shared_memory(name: str, parameters: Collection[str]) -> None:
    """Raises: UnsupportedError: a tensor is to be in shared memory."""
    if any(parameter.startswith("shared_memory_") for parameter in parameters):
        raise UnsupportedError(f"{name!r} is to be in shared memory, which this server lacks. Send it in the request.")


def refuse_classification(name: str, parameters: Collection[str]) -> None:
    """Raises: UnsupportedError: labels are asked for."""
    if "classification" in parameters:
        raise UnsupportedError(f"output {name!r} is to be classified, which this server does not. Ask for the tensor.")
