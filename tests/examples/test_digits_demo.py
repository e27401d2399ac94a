"""`make demo` as a newcomer runs it: what it prints, that it is quiet and ends cleanly, and that a second run is quick."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

# A first run trains and converts: half a minute on two cores, several times that on a busy machine.
TIMEOUT_S = 280


def run_demo(work: Path) -> tuple[str, float]:
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "examples.digits_demo", str(work)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "", "progress vanishes on a pipe, and no library may chatter"
    return done.stdout, time.monotonic() - begun_s


def figure(name: str, output: str) -> float:
    found = re.search(rf"{name}[^\n]*?(\d+\.\d+)", output)
    assert found, output
    return float(found.group(1))


def test_demo_shows_equal_accuracy_and_equal_bits_and_is_quick_the_second_time(tmp_path: Path) -> None:
    first, first_s = run_demo(tmp_path)
    assert figure("float model", first) > 0.95
    assert figure("whole int8 model", first) == figure("int8 chain", first) > 0.95
    assert "bit-identical to the whole model: 450 of 450 answers" in first
    assert re.search(r"throughput \d+\.\d+ images/s, \d+% of the bound", first)
    assert "latency ms: p50" in first
    for board in ("board1", "board2", "board3"):
        assert board in first
    second, second_s = run_demo(tmp_path)
    assert "done by an earlier run" in second
    assert second_s < first_s  # no training, no conversion
