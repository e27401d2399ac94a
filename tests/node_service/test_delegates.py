"""A board with a real delegate: it serves, measures and tries with it, and refuses to start without it."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.deployment import deploy
from dispatcher_client.placement import place_chains
from dispatcher_client.status import read_status
from examples.local_boards import LocalBoard
from fleet.board_control import BoardControl
from fleet.errors import BoardRefusedError
from fleet.inventory import Board, Inventory
from protos.v1.control_plane_pb2 import Profile, ProfileHeader, ProfileKey
from tests.bundles import split_file
from tests.credentials import OPERATOR
from tests.external_delegate import first_relu
from tests.node_service.stubs import TIMEOUT_S
from tests.partitioning import sample_models
from transport.address import Address

MODEL = sample_models.relu_chain(["x", "y", "z"]).build()
X = np.array([[-1, 1]], np.float32)


def arguments(*delegates: str) -> list[str]:
    return [part for text in delegates for part in ("--delegate", text)]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBoard]:
    """A board whose own delegate adds a half, and that may have others."""
    library = first_relu()
    named = (f"half={library},offset=0.5", f"zero={library}", f"unable={library},prepare=refuse")
    running = LocalBoard("board", tmp_path_factory.mktemp("store"), arguments(*named))
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("bundle")
    (place / "relus.tflite").write_bytes(MODEL)
    return split_file(place / "parts", place / "relus.tflite")


def board_of(local: LocalBoard, delegate: str | None = None) -> Board:
    return Board(local.name, Address.parse(local.address), delegate=delegate)


def answer_of(bundle: Bundle, board: Board, *, check_sample: bool = True) -> list[float]:
    with Dispatcher(bundle, [board], credentials=OPERATOR, check_sample=check_sample) as chain:
        return ask(chain)


def ask(chain: Dispatcher) -> list[float]:
    answer = chain.infer(X)
    assert isinstance(answer, np.ndarray)
    return np.ravel(answer).tolist()


@pytest.mark.parametrize(("delegate", "expected"), [(None, [0.5, 1.5]), ("none", [0, 1]), ("zero", [0, 1])])
def test_stage_is_computed_with_the_delegate_that_boards_yaml_names(
    shifted: LocalBoard, bundle: Bundle, delegate: str | None, expected: list[float]
) -> None:
    assert answer_of(bundle, board_of(shifted, delegate)) == expected


def test_chain_with_a_delegate_opens_with_a_warning_and_no_promise(
    shifted: LocalBoard, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with Dispatcher(bundle, [board_of(shifted)], credentials=OPERATOR) as chain:
        promise = chain.promise
    assert promise is not None
    assert not promise.fleet_is_uniform
    assert not promise.fleet_matches_bundle
    assert "delegates compute in their own way (board: ai-edge-litert" in promise.text
    assert "with the delegate libfirst_relu.so" in promise.text
    assert "differs from the bundle's (z by up to 0.5)" in caplog.text


def test_chain_without_the_delegate_keeps_its_promise(shifted: LocalBoard, bundle: Bundle) -> None:
    with Dispatcher(bundle, [board_of(shifted, "none")], credentials=OPERATOR) as chain:
        assert chain.promise is not None
        assert chain.promise.fleet_matches_bundle


@pytest.mark.parametrize(
    ("delegate", "words"),
    [
        ("gpu", "this board has no delegate 'gpu': expected one of half, unable, zero, none"),
        ("unable", "with the delegate unable refuses the model"),
    ],
)
def test_stage_is_refused_before_frames_when_its_delegate_is_not_to_be_had(
    shifted: LocalBoard, bundle: Bundle, delegate: str, words: str
) -> None:
    with pytest.raises(BoardRefusedError, match=words):
        answer_of(bundle, board_of(shifted, delegate))


def test_status_and_deployed_stages_tell_which_delegate_is_in_use(shifted: LocalBoard, bundle: Bundle) -> None:
    async def look() -> tuple[str, dict[str, object]]:
        (stage,) = await deploy(
            bundle, place_chains(bundle, [board_of(shifted, "zero")], None), credentials=OPERATOR, timeout_s=TIMEOUT_S
        )
        (row,) = await read_status([board_of(shifted)], credentials=OPERATOR, timeout_s=TIMEOUT_S)
        return stage.runtime.delegate, row

    deployed, row = asyncio.run(look())
    digest = hashlib.sha256(first_relu().read_bytes()).hexdigest()[:12]
    assert deployed == f"libfirst_relu.so {digest}"
    assert row["delegate"] == f"libfirst_relu.so {digest} offset=0.5"
    assert [s["delegate"] for s in row["stages"]] == [deployed]  # type: ignore[attr-defined]


def test_stage_is_loaded_with_its_delegate_again_after_a_restart(store_root: Path, bundle: Bundle) -> None:
    options = arguments(f"zero={first_relu()}", f"half={first_relu()},offset=0.5")

    async def in_use(local: LocalBoard) -> list[str]:
        async with BoardControl(board_of(local), credentials=OPERATOR, timeout_s=TIMEOUT_S) as control:
            return [s.delegate for s in (await control.describe()).stages]

    local = LocalBoard("board", store_root, options)
    assert answer_of(bundle, board_of(local, "half")) == [0.5, 1.5]
    before = asyncio.run(in_use(local))
    assert local.stop() == 0
    local = LocalBoard("board", store_root, options)
    assert asyncio.run(in_use(local)) == before
    assert before[0].endswith("offset=0.5")
    assert local.stop() == 0


def test_stage_is_not_served_after_a_restart_without_its_delegate(store_root: Path, bundle: Bundle) -> None:
    local = LocalBoard("board", store_root, arguments(f"half={first_relu()},offset=0.5"))
    assert answer_of(bundle, board_of(local, "half")) == [0.5, 1.5]
    assert local.stop() == 0
    local = LocalBoard("board", store_root)
    with pytest.raises(BoardRefusedError, match=r"board.* no delegate 'half': expected one of none"):
        answer_of(bundle, board_of(local, "half"))
    assert local.stop() == 0
    assert "cannot be loaded again: this board has no delegate 'half'" in "".join(local.log)


def test_stage_that_moves_to_another_board_is_computed_with_the_delegate_of_that_one(
    store_root: Path, shifted: LocalBoard, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    failing = LocalBoard("failing", store_root, arguments(f"two={first_relu()},offset=2"))
    inventory = Inventory((board_of(failing, "two"), board_of(shifted, "half")), spares=(shifted.name,))
    with Dispatcher(bundle, inventory, credentials=OPERATOR) as chain:
        before = ask(chain)
        failing.process.kill()
        after = ask(chain)
    failing.stop()
    assert (before, after) == ([2, 3], [0.5, 1.5])
    assert "where it takes part, identical bits are not promised" in caplog.text


def test_profiles_are_measured_and_kept_by_delegate(shifted: LocalBoard) -> None:
    sha256 = hashlib.sha256(MODEL).hexdigest()

    async def measure() -> tuple[list[Profile], list[Profile]]:
        async with BoardControl(board_of(shifted), credentials=OPERATOR, timeout_s=TIMEOUT_S) as control:
            made = []
            for name in ("", "zero", "none"):
                key = ProfileKey(sha256=sha256, delegate=name)
                header = ProfileHeader(key=key, size_bytes=len(MODEL), confidence=0.9, budget_s=0.2)
                made.append(await control.profile(header, MODEL, TIMEOUT_S))
            header.key.delegate = "unable"
            with pytest.raises(BoardRefusedError, match="the delegate unable refuses the model"):
                await control.profile(header, MODEL, TIMEOUT_S)
            clean = [p for p in made if not p.flags]
            return made, await control.find_profiles([p.key for p in clean]) if clean else []

    made, kept = asyncio.run(measure())
    assert [p.key.delegate for p in made] == ["half", "zero", "none"]
    digest = hashlib.sha256(first_relu().read_bytes()).hexdigest()[:12]
    with_half, with_zero = f"libfirst_relu.so {digest} offset=0.5", f"libfirst_relu.so {digest}"
    assert [p.runtime.delegate for p in made] == [with_half, with_zero, ""]
    assert kept == [p for p in made if not p.flags]


@pytest.mark.parametrize(
    ("delegate", "words"),
    [
        ("acc=/no/such.so", "/no/such.so is no file"),
        ("acc={library},speed=high", "it has no such option"),
        ("acc=/etc/hostname", "cannot be loaded from /etc/hostname"),
        ("acc={library} acc={library},offset=1", "several delegates are called acc"),
    ],
)
def test_service_refuses_to_start_when_a_delegate_cannot_be_had(tmp_path: Path, delegate: str, words: str) -> None:
    texts = delegate.format(library=first_relu()).split()
    command = [sys.executable, "-m", "node_service", "--insecure", "--listen", "127.0.0.1:0", "--store", str(tmp_path)]
    ended = subprocess.run([*command, *arguments(*texts)], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "serves on" not in ended.stderr
    assert "Traceback" not in ended.stderr
