"""The converter's commands as tests run them, and what is asserted of a refusal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.zoo import cache

RESIDUAL = cache.model_path(cache.default_directory(), "residual", "int8")
INSTALLED = Path(sys.executable).with_name("boardline-converter")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Convert = Callable[..., Outcome]


def run_process(*command: object) -> Outcome:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def refused(outcome: Outcome, *says: str) -> None:
    """Asserts one line on stderr that says all this, nothing on stdout, and failure."""
    assert outcome.out == ""
    assert outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1
    for text in says:
        assert text in outcome.err
    assert outcome.code == 1


def text_file(path: Path) -> Path:
    path.write_text("this is no model")
    return path
