"""Inputs on disk: those in the repository, those that runs have found, and which of them are worth keeping."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import Run, Target

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
# Small inputs that reach much, and inputs that once broke a bound.
COMMITTED, REGRESSIONS = _HERE / "corpus", _HERE / "regressions"
# What runs on this machine have found.
KEPT, FAILURES = _ROOT / ".cache" / "fuzz" / "corpus", _ROOT / ".cache" / "fuzz" / "failures"
_OURS = tuple(
    f"{_ROOT / package}/"
    for package in "bundle dispatcher_client fleet node_service partitioning terminal transport".split()
)
_Arc = tuple[str, int, int]


def read_inputs(directory: Path) -> dict[str, bytes]:
    """File name -> bytes, in order of names; empty if there is no such directory."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())} if directory.is_dir() else {}


def write_input(directory: Path, data: bytes) -> Path:
    """Writes an input under its hash; where."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


def known_inputs(target: Target) -> dict[str, bytes]:
    """Everything that the repository has for a target: seeds, corpus and regressions."""
    seeds = {f"seed{index}": data for index, data in enumerate(target.seeds())}
    return {**seeds, **read_inputs(COMMITTED / target.name), **read_inputs(REGRESSIONS / target.name)}


def minimised(target: Target, run: Run, inputs: Iterable[bytes], reached: Iterable[bytes] = ()) -> list[bytes]:
    """Inputs that together reach every line of ours, after every other, that all do; the small ones first.

    Args: reached: inputs that are kept anyway.
    """
    known: set[_Arc] = set()
    for data in reached:
        known |= arcs(target, run, data)
    chosen = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        news = arcs(target, run, data) - known
        if news:
            known |= news
            chosen.append(data)
    return chosen


def arcs(target: Target, run: Run, data: bytes) -> set[_Arc]:
    """(file, line before, line) of our packages that an input goes through, in this thread and those that it starts."""
    found: set[_Arc] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS):
            return None
        before = 0

        def step(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal before
            if event == "line":
                found.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step

    usual = sys.gettrace()
    threading.settrace(enter)
    sys.settrace(enter)
    try:
        with contextlib.suppress(*target.allowed):
            run(data)
    finally:
        sys.settrace(usual)
        threading.settrace(usual)
    return found
