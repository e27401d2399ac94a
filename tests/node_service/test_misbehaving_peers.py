"""Peers that misbehave, against a real node service: whatever they send or do not send, good streams go on, bit for bit."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoard, LocalBoards
from protos.v1.data_plane_pb2 import Header
from tests.bundles import split_file
from tests.credentials import OPERATOR
from tests.node_service.stubs import opening
from tests.partitioning.sample_models import relu_chain
from tests.transport.message_stream.by_hand import REQUEST, data, grpc_message, headers, raw_frame
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.errors import StreamBrokenError
from transport.frame import pack_frame, unpack_frame
from transport.message_stream import MessageStream, StreamLimits, open_stream
from transport.message_stream.wire import PREFACE, settings
from transport.tensor_codec import encode_tensor

TIMEOUT_S = 15
# As many as a port scanner or a broken client leaves behind.
SILENT = 400
SEED = 29
LIMITS = StreamLimits(2**20)
WIDTH = 64
GRPC_REQUEST = [(name, DATA_PLANE_STREAM if name == ":path" else value) for name, value in REQUEST]
BEGINNING = PREFACE + settings(2**16 - 1, is_client=True) + headers(GRPC_REQUEST)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """y = max(x, 0), in one part."""
    directory = tmp_path_factory.mktemp("relu")
    model = directory / "relu.tflite"
    model.write_bytes(relu_chain(["x", "y"], WIDTH).build())
    return split_file(directory / "bundle", model)


@pytest.fixture(scope="module", params=["tls", "plaintext"])
def security(request: pytest.FixtureRequest) -> str:
    """With TLS, strangers get no further than the handshake; in plaintext they reach what lies behind it."""
    return str(request.param)


@pytest.fixture(scope="module")
def boards(security: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBoards]:
    more = ("--insecure",) if security == "plaintext" else ()
    with LocalBoards(1, tmp_path_factory.mktemp("stores"), ("--threads", "1", *more)) as running:
        yield running


@pytest.fixture
def board(boards: LocalBoards) -> Iterator[LocalBoard]:
    """A board that must be there afterwards, and may not have met a defect."""
    (one,) = boards.boards
    yield one
    assert one.process.poll() is None, "".join(one.log)
    log = "".join(one.log)
    assert "defect" not in log and "Traceback" not in log, log


@pytest.fixture
def chain(boards: LocalBoards, board: LocalBoard, bundle: Bundle, security: str) -> Iterator[Dispatcher]:
    """A good stream, open before and after whatever a test does; and another can be opened after it."""
    with Dispatcher(bundle, boards.named, insecure=security == "plaintext", check_sample=False) as opened:
        require_right(opened)
        yield opened
        require_right(opened)
    require_new_stream(boards, bundle, security)


def require_right(chain: Dispatcher, frames: int = 20) -> None:
    """Frames through a chain come back bit for bit."""
    inputs = np.random.default_rng(SEED).normal(size=(frames, 1, WIDTH)).astype(np.float32)
    for given, answer in zip(inputs, chain.stream(iter(inputs))):
        assert np.asarray(answer).tobytes() == np.maximum(given, 0).tobytes()


def require_new_stream(boards: LocalBoards, bundle: Bundle, security: str) -> None:
    with Dispatcher(bundle, boards.named, insecure=security == "plaintext", check_sample=False) as another:
        require_right(another)


def ports(board: LocalBoard) -> tuple[Address, Address]:
    control = Address.parse(board.address)
    return control, control.data_plane


def say(address: Address, content: bytes) -> bytes:
    """What the board answers until it closes; it must do that, or take all, in time."""
    answer = b""
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as sock:
        try:
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)
            while got := sock.recv(2**16):
                answer += got
        except TimeoutError:
            raise
        except OSError:
            pass  # it need not read to the end, and may hang up
    return answer


@pytest.mark.parametrize("is_data", [False, True], ids=["control", "data"])
def test_random_bytes_change_nothing(chain: Dispatcher, board: LocalBoard, is_data: bool) -> None:
    rng = random.Random(SEED)
    for size in (1, 9, 24, 100, 2**16):
        for begins in (b"", PREFACE):
            for _ in range(4):
                say(ports(board)[is_data], begins + rng.randbytes(size))
    require_right(chain)


@pytest.mark.parametrize("is_data", [False, True], ids=["control", "data"])
@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /boardline.v1.DataPlane/Stream HTTP/1.1", b"PRI *"])
def test_http_1_is_turned_away(chain: Dispatcher, board: LocalBoard, request_line: bytes, is_data: bool) -> None:
    answer = say(ports(board)[is_data], request_line + b"\r\nHost: board\r\nContent-Length: 5\r\n\r\nhello")
    assert b"HTTP/1.1 200" not in answer


def nonsense() -> Iterator[tuple[str, bytes]]:
    """HTTP/2 that no client sends, after a request as it should be."""
    rng = random.Random(SEED)
    yield "unknown kind", raw_frame(200, b"x" * 100)
    yield "settings of a stream", raw_frame(4, b"", 0, stream_id=1)
    yield "settings of odd length", raw_frame(4, b"12345", 0, stream_id=0)
    yield "ping of three bytes", raw_frame(6, b"abc", 0, stream_id=0)
    yield "window of nothing", raw_frame(8, bytes(4), 0)
    yield "window beyond all", raw_frame(8, b"\x7f\xff\xff\xff", 0) * 2
    yield "push", raw_frame(5, b"\0\0\0\2", 4)
    yield "continuation of nothing", raw_frame(9, b"abc", 4)
    yield "headers without an end", raw_frame(1, b"", 0) + data(b"abc")
    yield "headers of no HPACK", raw_frame(1, b"\xff" * 50, 4)
    yield "data of another stream", data(b"abc", stream_id=7)
    yield "a message of 4 GiB", data(b"\0\xff\xff\xff\xff")
    yield "a compressed message", data(grpc_message(b"abc", compressed=1))
    yield "more padding than bytes", raw_frame(0, b"\xff", 8)
    yield "a frame of 16 MiB that does not come", b"\xff\xff\xff\0\0\0\0\0\1"
    yield "a control frame of 16 MiB", b"\xff\xff\xff\4\0\0\0\0\0" + bytes(2**16)
    yield "a message that is no frame", data(grpc_message(rng.randbytes(1000)))
    yield "a frame of many fields", data(grpc_message(b"\x08\x00" * 10_000))
    yield "many pings", raw_frame(6, b"boardlin", 0, stream_id=0) * 3000
    for number in range(10):
        pieces = (raw_frame(rng.randrange(12), rng.randbytes(rng.randrange(40)), rng.randrange(256)) for _ in range(20))
        yield f"random frames {number}", b"".join(pieces)


@pytest.mark.parametrize("is_data", [False, True], ids=["control", "data"])
def test_nonsense_in_http_2_ends_its_own_stream_only(chain: Dispatcher, board: LocalBoard, is_data: bool) -> None:
    for what, content in nonsense():
        begun_s = time.monotonic()
        say(ports(board)[is_data], BEGINNING + content)
        assert time.monotonic() - begun_s < TIMEOUT_S, what
    require_right(chain)


@contextlib.contextmanager
def silent_connections(address: Address, count: int) -> Iterator[list[socket.socket]]:
    """Connections that send nothing. Their system takes them whether or not the board does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * count)), hard))
    with contextlib.ExitStack() as opened:
        sockets = []
        for _ in range(count):
            sock = opened.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((address.host, address.port))
            sockets.append(sock)
        yield sockets
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("is_data", [False, True], ids=["control", "data"])
def test_hundreds_of_silent_connections_hinder_nobody(
    chain: Dispatcher, boards: LocalBoards, board: LocalBoard, bundle: Bundle, security: str, is_data: bool
) -> None:
    with silent_connections(ports(board)[is_data], SILENT):
        require_right(chain, frames=200)
        require_new_stream(boards, bundle, security)
        require_right(chain)


def test_half_a_request_holds_nobody_up(
    chain: Dispatcher, boards: LocalBoards, board: LocalBoard, bundle: Bundle, security: str
) -> None:
    """Each has begun as it should, and goes no further: some in the request, some before the first message."""
    with contextlib.ExitStack() as opened:
        for number in range(40):
            address = ports(board)[1]
            sock = opened.enter_context(socket.create_connection((address.host, address.port), TIMEOUT_S))
            sock.sendall(BEGINNING[: len(BEGINNING) * (number % 4 + 1) // 4])
        require_right(chain, frames=200)
        require_new_stream(boards, bundle, security)


class Recorder:
    """Stands before a board's port, and keeps what one client sends."""

    def __init__(self, target: Address) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(TIMEOUT_S)
        self.address = Address("127.0.0.1", self._listening.getsockname()[1])
        self.recorded = bytearray()
        self._target = target
        self._thread = threading.Thread(target=self._relay)
        self._thread.start()

    def _relay(self) -> None:
        client, _ = self._listening.accept()
        with client, socket.create_connection((self._target.host, self._target.port), TIMEOUT_S) as board:
            back = threading.Thread(target=_copy, args=(board, client, lambda got: None))
            back.start()
            _copy(client, board, self.recorded.extend)
            back.join()

    def close(self) -> None:
        self._thread.join()
        self._listening.close()


def _copy(source: socket.socket, target: socket.socket, note: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while got := source.recv(2**16):
            note(got)
            target.sendall(got)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def exchanged(stream: MessageStream, messages: list[bytes]) -> list[bytes]:
    """Sends messages, each after the answer to the one before, and returns the answers' payloads."""
    payloads = []
    for message in messages:
        stream.send([message])
        answer = stream.receive(TIMEOUT_S)
        assert answer is not None
        header, tensors = unpack_frame(answer)
        assert not header.HasField("error"), header.error
        payloads.append(b"".join(bytes(tensor.data) for tensor in tensors))
    return payloads


def test_replayed_stream_disturbs_none(chain: Dispatcher, board: LocalBoard, bundle: Bundle, security: str) -> None:
    """In plaintext who records a stream may send it again, and gets what the first one got; with TLS nobody understands it."""
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32).reshape(1, WIDTH)
    expected = np.maximum(x, 0).tobytes()
    messages = [
        opening(bundle.deployment_id, (board.name, board.address, 0)),
        pack_frame(Header(request_id=1), [encode_tensor(x)]),
    ]
    recorder = Recorder(ports(board)[1])
    stream = open_stream(
        recorder.address,
        DATA_PLANE_STREAM,
        LIMITS,
        credentials=None if security == "plaintext" else OPERATOR,
        name=board.name,
        timeout_s=TIMEOUT_S,
    )
    try:
        assert exchanged(stream, messages)[1] == expected
    finally:
        stream.close()
        recorder.close()
    say(ports(board)[1], bytes(recorder.recorded[: len(recorder.recorded) // 2]))
    address, answer = ports(board)[1], b""
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as again:
        again.sendall(recorder.recorded)
        with contextlib.suppress(ConnectionResetError):
            while expected not in answer and (got := again.recv(2**16)):
                answer += got
    assert (expected in answer) == (security == "plaintext")
    with pytest.raises(StreamBrokenError):
        stream.send([messages[1]])  # the one that was recorded is over, whatever was sent again
    require_right(chain)
