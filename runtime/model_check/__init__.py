"""Looks at a model file without a runtime: whether it is whole, what operators it has, what memory it needs."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import MalformedModelError
from runtime.model_check.memory_need import arena_bytes
from runtime.model_check.operators import OWN_OPERATORS, foreign_operators
from runtime.model_check.references import check_references
from runtime.model_check.structure import verified_model

__all__ = ["OWN_OPERATORS", "Findings", "examine", "examine_file"]


@dataclass(frozen=True)
class Findings:
    """What is known of a model that is whole.

    Attributes:
        foreign_operators: that are not the runtime's own.
        need_bytes: memory that it takes at the least: the file, whose constants are packed or read, and its arena.
    """

    foreign_operators: tuple[str, ...]
    need_bytes: int


def examine_file(path: Path) -> Findings:
    """As `examine`; of the file, only what is looked at comes into memory. Raises: OSError."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise MalformedModelError.because("it is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            return examine(data)


def examine(data: memoryview) -> Findings:
    """Looks at a model. Raises: MalformedModelError, which says where it is wrong."""
    model = verified_model(data)
    check_references(model, len(data))
    return Findings(foreign_operators(model), len(data) + arena_bytes(model))
