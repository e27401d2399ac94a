"""The command refuses what cannot be, before any board is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks.chain", *arguments]
    return subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--boards", "1.5"], "expected whole numbers"),
        (["--batch", "1,2.5"], "--batch 1,2.5: expected whole numbers"),
        (["--dtypes", "float64"], "no dtype float64"),
        (["--plot", "rows.jpeg"], "ends in '.jpeg', expected .svg, .png, .pdf"),
    ],
)
def test_senseless_options_are_refused(arguments: list[str], said: str) -> None:
    refused = command(*arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert said in " ".join(refused.stderr.split())
