"""The commands, as a person runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "deploy.virtual_boards")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_images_in_the_cache_are_named(all_stand_ins: None, cache: Path) -> None:
    done = run("image", "--cache", str(cache))
    assert done.returncode == 0, done.stderr
    assert [Path(line).name.split("-")[0] for line in done.stdout.splitlines()] == ["amd64", "arm64"]


def test_unknown_architecture_is_an_error() -> None:
    done = run("image", "riscv64")
    assert done.returncode == 1
    assert "no virtual boards of the architecture riscv64; there are amd64, arm64." in done.stderr


def test_no_boards_are_an_error() -> None:
    done = run("up")
    assert done.returncode == 1
    assert "0 + 0 boards: expected 1 to 100" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_boards_stay_until_a_signal_and_then_are_gone(
    able: None, all_stand_ins: None, cache: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    inventory = tmp_path / "inventory.yml"
    asked = ["up", "--amd64", "1", "--arm64", "1", "--cache", str(cache), "--inventory", str(inventory), "--json"]
    with subprocess.Popen([*COMMAND, *asked], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("\n}\n"):
                line = process.stdout.readline()
                assert line, "it ended"
                text += line
            said = json.loads(text)
            assert [board["architecture"] for board in said["boards"]] == ["amd64", "arm64"]
            assert said["inventory"] == str(inventory)
            assert "10.77.0.12" in inventory.read_text()
            process.send_signal(ending)
            assert process.wait(60) == (0 if ending == signal.SIGINT else 128 + ending)
        finally:
            process.kill()
    assert not Path(said["namespace"]).exists()
    for board in said["boards"]:
        assert not Path(board["log"]).exists()
        assert not Path(f"/proc/{board['pid']}").exists()
