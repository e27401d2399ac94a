"""A board's environment has what a wheelhouse holds, and nothing else."""

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


def installed(place: Path, extra: str, release: Path) -> Path:
    """The interpreter of an environment as the role `release` makes it."""
    making = [sys.executable, "-m", "venv", "--without-pip", str(release / "venv")]
    subprocess.run(making, check=True, timeout=120)
    with tarfile.open(place / f"{extra}.tar.gz") as archive:
        archive.extractall(release, filter="data")
    return release / "venv" / "bin" / "python"


@pytest.mark.parametrize(
    ("extra", "module", "option"),
    [("node", "node_service", "--sensors-root"), ("client", "dispatcher_client", "deploy")],
)
def test_host_has_all_that_it_imports(wheels: Path, tmp_path: Path, extra: str, module: str, option: str) -> None:
    python = installed(wheels, extra, tmp_path)
    shown = subprocess.run(
        [str(python), "-m", module, "--help"], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert option in shown.stdout
    subprocess.run([str(python), "-c", "import zeroconf"], timeout=60, check=True)  # boards are announced, and found


def test_what_nothing_imports_stays_at_home(wheels: Path) -> None:
    with tarfile.open(wheels / "node.tar.gz") as archive:
        paths = [Path(name) for name in archive.getnames()]
    assert not [path for path in paths if "tests" in path.parts or path.suffix == ".pyi" or "WebGpu" in path.name]
    assert [path for path in paths if path.match("ai_edge_litert/interpreter.py")]


@pytest.fixture(scope="module")
def for_32_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wheels")
    build(made, ["cp311-armv7l"])
    return made / "cp311-armv7l"


def test_32_bit_boards_get_what_has_wheels(for_32_bits: Path, tmp_path: Path) -> None:
    """NumPy and a few more are the image's."""
    with tarfile.open(for_32_bits / "node.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    listed = (tmp_path / "requirements.txt").read_text().splitlines()
    wanted = {line.partition("==")[0] for line in listed if not line.startswith(" ")}
    assert {"tflite-runtime", "grpcio", "boardline"} < wanted
    assert wanted.isdisjoint({"numpy", "cffi", "lz4", "zfpy", "ai-edge-litert"})
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    machines = {path.read_bytes()[18] for path in packages.rglob("*.so")}
    assert machines == {0x28}  # ELF's number of 32-bit ARM


def test_same_sources_give_the_same_wheelhouse(for_32_bits: Path, tmp_path: Path) -> None:
    """A board that has it is left alone when it is made anew."""
    build(tmp_path, ["cp311-armv7l"])
    names = sorted(path.name for path in for_32_bits.iterdir())
    assert names == ["client.tar.gz", "node.tar.gz"]
    for name in names:
        assert (tmp_path / "cp311-armv7l" / name).read_bytes() == (for_32_bits / name).read_bytes()


@pytest.mark.parametrize("target", ["cp39-armv7l", "cp27-x86_64", "pi5"])
def test_kinds_of_boards_without_wheels_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(WheelhouseError, match=f"{target} is no kind of board: expected as cp311-aarch64"):
        build(tmp_path, ["cp311-aarch64", target])
    assert list(tmp_path.iterdir()) == []
