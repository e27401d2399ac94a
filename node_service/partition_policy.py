"""Whether this board takes a partition of which is known what it holds and needs. Nothing here may import grpc."""

from __future__ import annotations

from collections.abc import Collection

from runtime import MemoryShortError, OperatorRefusedError
from runtime.model_check import Findings

_MIB = 2**20


def require_operators(findings: Findings, allowed: Collection[str]) -> None:
    """Raises OperatorRefusedError, naming every operator that is neither the runtime's own nor allowed."""
    refused = sorted(set(findings.foreign_operators) - set(allowed))
    if refused:
        raise OperatorRefusedError(
            f"the partition has operators that are not the runtime's own: {', '.join(refused)}. Convert the model without them, or "
            f"start the board's node service with --allow-operators {','.join(refused)}."
        )


def require_memory(findings: Findings, available_bytes: int, others_bytes: int = 0) -> None:
    """Checks one of a partition's files.

    Args:
        available_bytes: 0: that is not known.
        others_bytes: what the files before it take, all of which are loaded together.
    Raises: MemoryShortError: the files and their tensors alone are more than there is.
    """
    need_bytes = others_bytes + findings.need_bytes
    if available_bytes and need_bytes > available_bytes:
        raise MemoryShortError(
            f"the partition needs {need_bytes / _MIB:.4g} MiB at the least, and {available_bytes / _MIB:.4g} MiB of this "
            "board's memory are free. Cut smaller, unload a deployment, or use another board."
        )
