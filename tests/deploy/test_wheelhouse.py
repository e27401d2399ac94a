"""A board installs from a wheelhouse alone, by hashes, with the pip that its Python brings."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.wheelhouse import WheelhouseError, build

TARGET = f"cp3{sys.version_info.minor}-{platform.machine()}"


def test_board_installs_from_it_without_an_index(tmp_path: Path) -> None:
    build(tmp_path / "wheels", [TARGET])
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    python, place = tmp_path / "venv" / "bin" / "python", tmp_path / "wheels" / TARGET
    asked = [
        "--no-index",
        "--require-hashes",
        f"--find-links={place}",
        "--requirement",
        str(place / "requirements.txt"),
    ]
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *asked]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert installed.returncode == 0, installed.stderr
    help_ = [str(python), "-m", "node_service", "--help"]
    shown = subprocess.run(help_, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "--sensors-root" in shown.stdout


@pytest.mark.parametrize("target", ["cp311-armv7l", "cp27-x86_64", "pi5"])
def test_kinds_of_boards_without_wheels_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(WheelhouseError, match=f"{target} is no kind of board: expected as cp311-aarch64"):
        build(tmp_path, ["cp311-aarch64", target])
    assert list(tmp_path.iterdir()) == []
