"""What a target is, and where they are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[bytes], None]
_TARGETS = "tests.fuzz.targets"


@dataclass(frozen=True)
class Target:
    """One reader of bytes from outside.

    Attributes:
        start: gets an empty directory and gives, for as long as its block runs, what takes one input after the other.
        allowed: what it may raise; anything else is a defect, as is an input that breaks a bound of `bounds`.
        seeds: valid inputs, few and small.
        tokens: words of the format, which mutations put in.
        max_bytes: of an input.
    """

    name: str
    start: Callable[[Path], AbstractContextManager[Run]]
    allowed: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    tokens: tuple[bytes, ...] = ()
    max_bytes: int = 4096


def target_names() -> list[str]:
    """Every target, without importing one: coverage is built into what is imported later."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).with_name("targets"))]))


def load_target(name: str) -> Target:
    """The target of that name; a name with dots is a module elsewhere."""
    found: Target = importlib.import_module(name if "." in name else f"{_TARGETS}.{name}").TARGET
    assert found.name == name
    return found
