"""A board installs from a wheelhouse alone, by hashes, with the pip that its Python brings."""

from __future__ import annotations

import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deploy.wheelhouse import WheelhouseError, build

TARGET = f"cp3{sys.version_info.minor}-{platform.machine()}"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wheels")
    build(made, [TARGET])
    return made / TARGET


def installed(place: Path, extra: str, venv: Path) -> Path:
    """The interpreter of an environment that has nothing but what is in a wheelhouse."""
    wheels = venv.with_name("wheels")
    with tarfile.open(place / f"wheels-{extra}.tar") as archive:
        archive.extractall(wheels, filter="data")
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    asked = ["--no-index", "--require-hashes", f"--find-links={wheels}"]
    asked += ["--requirement", str(place / f"requirements-{extra}.txt")]
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *asked]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    return venv / "bin" / "python"


@pytest.mark.parametrize(
    ("extra", "module", "option"),
    [("node", "node_service", "--sensors-root"), ("client", "dispatcher_client", "deploy")],
)
def test_host_installs_from_it_without_an_index(
    wheels: Path, tmp_path: Path, extra: str, module: str, option: str
) -> None:
    python = installed(wheels, extra, tmp_path / "venv")
    shown = subprocess.run(
        [str(python), "-m", module, "--help"], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert option in shown.stdout


def test_same_sources_give_the_same_wheelhouse(wheels: Path, tmp_path: Path) -> None:
    """A board that has it is left alone when it is made anew."""
    build(tmp_path, [TARGET])
    names = sorted(path.name for path in wheels.iterdir())
    assert names == ["requirements-client.txt", "requirements-node.txt", "wheels-client.tar", "wheels-node.tar"]
    for name in names:
        assert (tmp_path / TARGET / name).read_bytes() == (wheels / name).read_bytes()


@pytest.mark.parametrize("target", ["cp311-armv7l", "cp27-x86_64", "pi5"])
def test_kinds_of_boards_without_wheels_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(WheelhouseError, match=f"{target} is no kind of board: expected as cp311-aarch64"):
        build(tmp_path, ["cp311-aarch64", target])
    assert list(tmp_path.iterdir()) == []
