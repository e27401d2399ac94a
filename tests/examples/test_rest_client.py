"""The REST client, as a user starts it, before a gateway and node services of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from examples.local_boards import LocalBoards
from examples.local_gateway import LocalGateway
from examples.rest_client import infer
from tests.dispatcher_client.whole_model import random_inputs, run_whole

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def bundles(zoo_bundle: Callable[..., Bundle]) -> list[Bundle]:
    return [zoo_bundle("residual", "int8"), zoo_bundle("yolo_neck", "float32"), zoo_bundle("two_inputs", "int8")]


@pytest.fixture(scope="module")
def url(boards: LocalBoards, bundles: list[Bundle]) -> Iterator[str]:
    """A gateway's, which serves these bundles."""
    paths = [str(bundle.path) for bundle in bundles]
    with LocalGateway(paths, ",".join(boards.addresses), boards.credentials) as gateway:
        yield f"http://{gateway.http}"


def ask(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.rest_client", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("index", [0, 1])
def test_answers_are_the_whole_models_bytes(url: str, bundles: list[Bundle], index: int) -> None:
    x = random_inputs(bundles[index], 3)
    (array,) = x.values()
    outputs = infer(url, bundles[index].manifest.model_name, array)
    assert {name: y.tobytes() for name, y in outputs.items()} == run_whole(bundles[index], x)


def test_it_prints_what_it_was_told(url: str, bundles: list[Bundle], tmp_path: Path) -> None:
    (array,) = random_inputs(bundles[0], 3).values()
    np.save(tmp_path / "x.npy", array)
    done = ask(url, bundles[0].manifest.model_name, tmp_path / "x.npy")
    (output,) = bundles[0].manifest.outputs
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output.alias} int8[{', '.join(map(str, output.shape))}]: [[")


def test_what_is_wrong_is_said(url: str, bundles: list[Bundle], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 3), np.int8))
    np.save(tmp_path / "real.npy", np.zeros((1, 3), np.float32))
    residual, two_inputs = bundles[0].manifest.model_name, bundles[2].manifest.model_name
    for arguments, said in [
        ((url, residual, tmp_path / "x.npy"), "400: "),
        ((url, residual, tmp_path / "real.npy"), "Cannot cast"),
        ((url, "nothing", tmp_path / "x.npy"), "404: "),
        ((url, two_inputs, tmp_path / "x.npy"), "has 2 inputs"),
        (("http://127.0.0.1:9", residual, tmp_path / "x.npy"), "refused"),
    ]:
        done = ask(*arguments)
        assert (done.returncode, done.stdout) == (1, "") and said in done.stderr, (done, said)
        assert "Traceback" not in done.stderr
