"""The wheel, installed as a board and an application install it: without TensorFlow, without the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoard, LocalBoards
from tests.bundles import make_bundle

ROOT = Path(__file__).parents[2]
SUPPORTED = ("3.9", "3.10", "3.11", "3.12", "3.13")
TIMEOUT_S = 240


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def uv() -> str:
    """uv, which set this environment up."""
    return str(Path(sys.executable).with_name("uv"))


def python_versions(config: pytest.Config) -> list[str]:
    """The interpreters to test on: this one, or with --all-pythons each supported one of this machine."""
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not config.getoption("--all-pythons"):
        return [current]
    found = [
        v
        for v in SUPPORTED
        if subprocess.run([uv(), "python", "find", v], capture_output=True, check=False).returncode == 0
    ]
    return found or [current]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "python_version" in metafunc.fixturenames:
        metafunc.parametrize("python_version", python_versions(metafunc.config))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is left in the checkout."""
    work = tmp_path_factory.mktemp("build")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            target = work / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    run(uv(), "build", "--quiet", "--wheel", "--out-dir", work, work / "source")
    (built,) = work.glob("*.whl")
    return built


def install(where: Path, python_version: str, *requirements: str) -> Path:
    """A clean environment with these requirements; its interpreter."""
    run(uv(), "venv", "--quiet", "--python", python_version, where)
    python = where / "bin" / "python"
    run(uv(), "pip", "install", "--quiet", "--python", python, *requirements)
    return python


def installed(python: Path) -> set[str]:
    return {line.split("==")[0].lower() for line in run(uv(), "pip", "freeze", "--python", python).splitlines()}


def serve_and_compare(python: Path, bundle: Bundle, tmp_path: Path, arguments: list[str]) -> list[str]:
    """Runs a bundle on two node services of that environment; the answers to compare and the runtimes' names."""
    inputs, expected = bundle.load_sample()
    nodes: list[LocalBoard] = []
    try:
        for index in range(2):
            nodes.append(LocalBoard(f"board{index + 1}", tmp_path / f"store{index}", arguments, python=str(python)))
        boards = LocalBoards(0, tmp_path)
        boards.boards = nodes
        with Dispatcher(bundle, boards.named, check_sample=False) as chain:
            answer = chain.infer(inputs)
            runtimes = [f"{s.description.runtime.runtime} {s.description.runtime.version}" for s in chain.stages]
    finally:
        statuses = [node.stop() for node in nodes]
    assert statuses == [0, 0]
    assert isinstance(answer, np.ndarray)
    (whole,) = expected.values()
    assert answer.dtype == whole.dtype
    assert answer.shape == whole.shape
    return runtimes


def test_wheel_holds_the_packages_and_their_contracts(wheel: Path) -> None:
    import zipfile

    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "node_service/__main__.py",
        "node_service/py.typed",
        "fleet/boards.schema.json",
        "protos/v1/data_plane.proto",
        "protos/v1/data_plane_pb2.pyi",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "benchmarks/"))]


def test_board_needs_neither_tensorflow_nor_the_checkout(
    wheel: Path, tmp_path: Path, python_version: str, zoo_bundle: Callable[..., Bundle]
) -> None:
    python = install(tmp_path / "venv", python_version, f"boardline[node] @ {wheel.as_uri()}")
    assert not {"tensorflow", "keras", "h5py", "scikit-learn"} & installed(python)
    assert "serve" in run(tmp_path / "venv" / "bin" / "boardline-node", "--help", cwd=tmp_path).lower()
    runtimes = serve_and_compare(python, zoo_bundle("residual", "int8", 2), tmp_path, ["--threads", "1"])
    assert all(name.startswith("ai-edge-litert") for name in runtimes)


def test_application_needs_neither_tensorflow_nor_a_runtime(
    wheel: Path, tmp_path: Path, python_version: str, boards: LocalBoards, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "int8")
    python = install(tmp_path / "venv", python_version, f"boardline[client] @ {wheel.as_uri()}")
    assert not {"tensorflow", "keras", "ai-edge-litert", "tflite-runtime"} & installed(python)
    client = tmp_path / "venv" / "bin" / "boardline-client"
    inputs, _ = bundle.load_sample()
    np.savez(tmp_path / "x.npz", **inputs)  # type: ignore[arg-type]
    addresses = ",".join(boards.addresses)
    out = tmp_path / "y.npz"
    run(
        client,
        "infer",
        bundle.path,
        "--boards",
        addresses,
        "--input",
        tmp_path / "x.npz",
        "--output",
        out,
        cwd=tmp_path,
    )
    (answer,) = np.load(out).values()
    (expected,) = bundle.load_sample()[1].values()
    assert answer.tobytes() == expected.tobytes()
    run(client, "certs", "init", "fleet", "--fleet", "green", cwd=tmp_path)
    run(client, "certs", "issue", "fleet", "camera", "--right", "stream", cwd=tmp_path)
    assert "certificates of green" in run(client, "certs", "show", "fleet/camera", cwd=tmp_path)


def test_board_with_tflite_runtime_serves_the_same_bundle(wheel: Path, tmp_path: Path) -> None:
    # The runtime of 32-bit boards: no wheels for Python 3.12 and newer, and NumPy 1 only.
    version = "3.11" if sys.version_info >= (3, 12) else f"{sys.version_info.major}.{sys.version_info.minor}"
    bundle = make_bundle(tmp_path / "bundle", "residual", "int8", parts=2)
    python = install(
        tmp_path / "venv",
        version,
        f"boardline[grpc] @ {wheel.as_uri()}",
        "tflite-runtime==2.14.0",
        "numpy<2",
        "flatbuffers",
        "prometheus-client",
    )
    for choice in ("auto", "tflite"):
        runtimes = serve_and_compare(python, bundle, tmp_path / choice, ["--threads", "1", "--runtime", choice])
        assert runtimes == ["tflite-runtime 2.14.0"] * 2
    # There the same promise holds: parts against whole, bit for bit, on that runtime.
    assert run(python, "-c", _COMPARE, bundle.path, cwd=tmp_path).strip() == "identical"


_COMPARE = """
import sys
from bundle import open_bundle
from runtime import Runner, load_runtime

bundle, runtime = open_bundle(sys.argv[1]), load_runtime("tflite")
values = list(bundle.load_sample()[0].values())
(whole,) = Runner(runtime, bundle.file_path(bundle.manifest.whole)).run(values)
for partition in bundle.splittings[0].partitions:
    values = Runner(runtime, bundle.file_path(partition.file)).run(values)
print("identical" if values[0].tobytes() == whole.tobytes() else "different")
"""
