"""The daemon as a process: what it refuses to start with, and how it drains and stops."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from examples.local_boards import LocalBoard, local_fleet
from protos.v1.data_plane_pb2 import Error, Frame
from tests.node_service.stubs import TIMEOUT_S, frames_to, opening, serve_stage
from tests.node_service.test_data_plane import frame
from transport.credentials import ENVIRONMENT_VARIABLE

MakeBundle = Callable[..., Bundle]


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node_service", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != ENVIRONMENT_VARIABLE}
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--listen", "127.0.0.1:0"], 1, ["no credentials", "certs init", "--credentials", "--insecure"]),
        (["--listen", "127.0.0.1:0", "--credentials", "nowhere"], 1, ["nowhere has no credentials", "certs issue"]),
        (["--insecure", "--credentials", "nowhere"], 1, ["--credentials and plaintext exclude each other"]),
        (["--insecure", "--metrics-tls"], 1, ["--metrics-tls and --insecure exclude each other"]),
        (["--insecure", "--listen", "nonsense"], 1, ["not HOST:PORT", "10.0.0.11:50051"]),
        (["--listen", "127.0.0.1:0", "--runtime", "torch"], 2, ["'torch' is not one of auto, litert, tflite"]),
        (["--listen", "127.0.0.1:0", "--threads", "0"], 2, ["greater than or equal to 1"]),
        (["--insecure", "--listen", "127.0.0.1:0", "--runtime", "tflite"], 1, ["tflite-runtime", "pip install"]),
    ],
)
def test_service_refuses_to_start_with_the_reason(
    tmp_path: Path, arguments: list[str], status: int, words: list[str]
) -> None:
    done = start("--store", str(tmp_path), *arguments)
    assert done.returncode == status
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_service_refuses_to_start_when_the_store_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = start("--insecure", "--store", str(tmp_path / "file"), "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "cannot be used" in done.stderr


def test_service_refuses_to_start_when_the_port_is_taken(tmp_path: Path) -> None:
    board = LocalBoard("first", tmp_path / "first")
    try:
        done = start("--insecure", "--store", str(tmp_path / "second"), "--listen", board.address)
    finally:
        assert board.stop() == 0
    assert done.returncode == 1
    assert f"cannot listen on {board.address}" in done.stderr


def test_service_serves_off_loopback_when_plaintext_is_asked_for_by_name(tmp_path: Path) -> None:
    board = LocalBoard("open", tmp_path, ["--insecure", "--listen", "0.0.0.0:0"])
    assert board.stop() == 0
    assert any("plaintext was asked for" in line for line in board.log)


class OpenStream:
    """A stream to one board that the test feeds by hand."""

    def __init__(self, address: str, bundle: Bundle) -> None:
        self._messages: queue.Queue[bytes | None] = queue.Queue()
        self._context = frames_to(address)
        channel = self._context.__enter__()
        call = channel.stream_stream("/boardline.v1.DataPlane/Stream")
        self._replies = call(iter(self._messages.get, None), timeout=TIMEOUT_S)
        self.send(opening(bundle.deployment_id, ("only", address, 0)))
        assert self.receive().header.HasField("opened")

    def send(self, message: bytes | None) -> None:
        self._messages.put(message)

    def receive(self) -> Frame:
        return Frame.FromString(next(self._replies))

    def rest(self) -> Iterator[Frame]:
        return map(Frame.FromString, self._replies)

    def close(self) -> None:
        self.send(None)
        self._context.__exit__(None, None, None)


def test_first_signal_drains_and_tells_the_dispatcher(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8", 1)
    board = LocalBoard("only", store_root)
    serve_stage(board.address, bundle, 0)
    (x,), (y,) = (values.values() for values in bundle.load_sample())
    stream = OpenStream(board.address, bundle)
    stream.send(frame(1, x))
    assert stream.receive().payload == y.tobytes()
    board.process.send_signal(signal.SIGTERM)
    (last,) = stream.rest()
    assert last.header.error.code == Error.REFUSED
    assert "draining" in last.header.error.message
    stream.close()
    assert board.stop() == 0


def test_signal_that_comes_after_the_drain_does_not_turn_success_into_failure(store_root: Path) -> None:
    board = LocalBoard("only", store_root)
    board.process.send_signal(signal.SIGTERM)
    while True:  # again and again until the process has gone
        try:
            board.process.wait(0.001)
            break
        except subprocess.TimeoutExpired:
            board.process.send_signal(signal.SIGTERM)
    assert board.stop() == 0


def test_second_signal_stops_at_once(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8", 1)
    board = LocalBoard("only", store_root, ["--drain-timeout-s", "1000"])
    serve_stage(board.address, bundle, 0)
    stream = OpenStream(board.address, bundle)
    # A frame that the board cannot finish: its reply is never read, and neither are hundreds behind it.
    (x,) = bundle.load_sample()[0].values()
    for request_id in range(1, 50):
        stream.send(frame(request_id, np.asarray(x)))
    board.process.send_signal(signal.SIGTERM)
    board.process.send_signal(signal.SIGTERM)
    assert board.process.wait(TIMEOUT_S) == 0
    stream.close()
    board.stop()


def test_board_is_called_what_its_certificate_says_unless_it_is_given_a_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node_service", "--listen", "127.0.0.1:0", "--store", str(tmp_path / "store")]
    process = subprocess.Popen(
        [*command, "--credentials", str(local_fleet().board("pi7"))], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr as lines:
        assert any("pi7 serves on" in line for line in itertools.islice(lines, 20))
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
