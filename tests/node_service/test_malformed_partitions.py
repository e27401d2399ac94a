"""Real boards and partitions that crash the runtime: the service survives, and what it serves stays bit-exact."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from protos.v1 import control_plane_pb2 as control
from protos.v1.manifest_pb2 import ModelFile, Partition
from tests.bundles import zoo_file
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.node_service.model_files import crashing_model, custom_model
from tests.node_service.stubs import channel_to, control_stub, put

MakeBundle = Callable[..., Bundle]
_SEED, _MOST, _WANTED = 7, 250, 3


@pytest.fixture(scope="module")
def crashers(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Mutants of a real model that pass all checks of their structure and that the runtime dies of or hangs on."""
    target = tmp_path_factory.mktemp("crashers")
    source = zoo_file("gru", "float32")
    arguments = [str(source), str(target), str(_WANTED), str(_MOST), str(_SEED)]
    command = [sys.executable, "-m", "tests.node_service.malformed_models", *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250).stdout
    found = [path.read_bytes() for path in sorted(target.glob("*-SIG*.tflite"))]
    assert found, f"this runtime survives all of them ({told}): search longer, or with another seed"
    return found


def load(address: str, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    with channel_to(address) as channel:
        stub = control_stub(channel)
        put(stub, sha256, data)
        partition = Partition(file=ModelFile(path="x", sha256=sha256, size_bytes=len(data)))
        stub.LoadStage(control.LoadStageRequest(deployment_id="evil", partition=partition), timeout=90)


def test_old_deployment_serves_bit_exactly_while_partitions_crash_their_trials(
    store_root: Path, zoo_bundle: MakeBundle, crashers: list[bytes]
) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 3)
    expected = run_whole(bundle, x)
    truncated = zoo_file("gru", "float32").read_bytes()[:-64]
    refusals = [
        *((data, "crashed with SIG") for data in [crashing_model(), *crashers]),
        (truncated, "the model file is malformed"),
        (custom_model("FlexErf"), "FlexErf"),
    ]
    with LocalBoards(3, store_root) as running:
        with Dispatcher(bundle, running.named, recovers=False) as chain:
            for data, words in refusals:
                with pytest.raises(grpc.RpcError) as caught:
                    load(running.addresses[0], data)
                assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
                assert words in caught.value.details()
                assert str(store_root) not in caught.value.details()
                assert named(chain, chain.infer(x)) == expected
        assert all(board.process.poll() is None for board in running.boards)
    assert len(list((store_root / "board1" / "checked").iterdir())) == 1
    with LocalBoards(3, store_root) as again, Dispatcher(bundle, again.named, recovers=False) as chain:
        assert named(chain, chain.infer(x)) == expected
        assert "evil" not in "".join("".join(board.log) for board in again.boards)
