"""Who gets in and who does not, and that bytes which somebody changes end the stream."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dispatcher_client.certificates import make_fleet
from tests.transport.message_stream.by_hand import PATH, in_thread
from tests.transport.message_stream.test_connections import echo
from transport.address import Address
from transport.credentials import Credentials, Right
from transport.errors import ConnectError, StreamBrokenError, UntrustedPeerError
from transport.message_stream import MessageStream, StreamLimits, StreamListener, open_stream

LIMITS = StreamLimits(2**24)
BOARDS = {"pi1": ["127.0.0.1"], "pi2": ["127.0.0.1"]}
CLIENTS = {"camera": Right.STREAM}
TIMEOUT_S = 10


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    made = make_fleet(tmp_path_factory.mktemp("fleet"), BOARDS, CLIENTS)
    return {name: Credentials(directory) for name, directory in made.items()}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    made = make_fleet(tmp_path_factory.mktemp("foreign"), BOARDS, CLIENTS)
    return {name: Credentials(directory) for name, directory in made.items()}


@pytest.fixture(scope="module")
def ended(fleet: dict[str, Credentials], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    """Of an authority of their own, 366 days old."""
    then = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=366)
    made = make_fleet(tmp_path_factory.mktemp("ended"), BOARDS, CLIENTS, now=then)
    return {name: Credentials(directory) for name, directory in made.items()}


@contextmanager
def listening(credentials: Credentials | None, handler: Callable[[MessageStream], None] = echo) -> Iterator[Address]:
    listener = StreamListener(Address("127.0.0.1", 0), PATH, handler, LIMITS, credentials)
    listener.start()
    try:
        yield listener.address
    finally:
        listener.stop()
        listener.abort()
        assert listener.join(TIMEOUT_S)


def asked(address: Address, credentials: Credentials | None, name: str = "pi1") -> bytes:
    """One message there and back."""
    stream = open_stream(address, PATH, LIMITS, credentials=credentials, name=name, timeout_s=TIMEOUT_S)
    try:
        stream.send([b"question"])
        answer = stream.receive(TIMEOUT_S)
        return b"" if answer is None else bytes(answer)
    finally:
        stream.close()


@pytest.mark.parametrize("name", ["pi1", "127.0.0.1"])
@pytest.mark.parametrize("client", ["camera", "pi2"])
def test_fleet_speaks_with_itself_by_name_and_by_address(fleet: dict[str, Credentials], client: str, name: str) -> None:
    with listening(fleet["pi1"]) as address:
        assert asked(address, fleet[client], name) == b"question"


def test_each_end_knows_who_the_other_is(fleet: dict[str, Credentials]) -> None:
    met = threading.Event()
    seen: list[object] = []

    def handle(stream: MessageStream) -> None:
        seen.append(stream.peer)
        met.set()

    with listening(fleet["pi1"], handle) as address:
        stream = open_stream(address, PATH, LIMITS, credentials=fleet["camera"], name="pi1", timeout_s=TIMEOUT_S)
        assert met.wait(TIMEOUT_S)
        assert stream.peer == fleet["pi1"].identity
        stream.close()
    assert seen == [fleet["camera"].identity]


def test_board_of_another_name_is_not_trusted(fleet: dict[str, Credentials]) -> None:
    with listening(fleet["pi2"]) as address, pytest.raises(UntrustedPeerError, match=r"not trusted as pi1.*pi1"):
        asked(address, fleet["camera"])


def test_client_is_no_board_whatever_it_is_called(fleet: dict[str, Credentials]) -> None:
    with listening(fleet["camera"]) as address, pytest.raises(UntrustedPeerError, match="certificate"):
        asked(address, fleet["pi2"], "camera")


def test_board_of_another_fleet_is_not_trusted(fleet: dict[str, Credentials], foreign: dict[str, Credentials]) -> None:
    with listening(foreign["pi1"]) as address, pytest.raises(UntrustedPeerError, match="not accepted"):
        asked(address, fleet["camera"])


def test_board_whose_certificate_has_ended_is_not_trusted(ended: dict[str, Credentials]) -> None:
    with listening(ended["pi1"]) as address, pytest.raises(UntrustedPeerError, match="expired"):
        asked(address, ended["camera"])


@pytest.mark.parametrize(
    ("who", "said"),
    [("foreign", "alert unknown ca"), ("ended", "alert certificate expired"), ("nobody", "alert certificate required")],
)
def test_client_that_is_not_of_the_fleet_gets_no_stream(
    who: str,
    said: str,
    fleet: dict[str, Credentials],
    foreign: dict[str, Credentials],
    ended: dict[str, Credentials],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It takes the board for what it says it is: it trusts the board's authority, and is not trusted in turn."""
    reached = threading.Event()
    stranger = {"foreign": foreign["camera"], "ended": ended["camera"], "nobody": None}[who]
    board = ended["pi1"] if who == "ended" else fleet["pi1"]
    with listening(board, lambda stream: reached.set()) as address:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if stranger is None else stranger.client
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((address.host, address.port)) as sock,
            context.wrap_socket(sock, server_hostname="pi1") as secure,
        ):
            secure.settimeout(TIMEOUT_S)
            with pytest.raises(ssl.SSLError, match=said):
                secure.recv(1)
    assert not reached.is_set()
    assert "a connection is refused" in caplog.text


def test_plaintext_is_no_tls_at_either_end(fleet: dict[str, Credentials]) -> None:
    with listening(fleet["pi1"]) as address, pytest.raises(StreamBrokenError):
        asked(address, None)
    with listening(None) as address, pytest.raises(ConnectError):
        asked(address, fleet["camera"])


def test_certificate_without_the_right_is_refused_by_name(
    fleet: dict[str, Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority issues none without it; one that is made elsewhere, or later, may have none."""
    monkeypatch.setattr(Right, "uri", property(lambda right: f"urn:unknown:{right.value}"))
    with (
        listening(fleet["pi1"]) as address,
        pytest.raises(StreamBrokenError, match=r"status 7.*camera has no right to stream"),
    ):
        asked(address, fleet["camera"])


def test_rotated_certificates_serve_the_next_connection_and_the_open_one_goes_on(tmp_path: Path) -> None:
    made = make_fleet(tmp_path / "fleet", BOARDS, CLIENTS)
    renewed = make_fleet(tmp_path / "renewed", BOARDS, CLIENTS)
    board, camera = Credentials(made["pi1"]), Credentials(made["camera"])
    with listening(board) as address:
        stream = open_stream(address, PATH, LIMITS, credentials=camera, name="pi1", timeout_s=TIMEOUT_S)
        stream.send([b"before"])
        assert bytes(stream.receive(TIMEOUT_S) or b"") == b"before"
        for name in ("pi1", "camera"):
            for file in sorted(renewed[name].iterdir()):
                file.replace(made[name] / file.name)
        stream.send([b"after"])
        assert bytes(stream.receive(TIMEOUT_S) or b"") == b"after"
        stream.close()
        assert asked(address, camera) == b"question"
        with pytest.raises(ConnectError):
            asked(address, Credentials(make_fleet(tmp_path / "third", BOARDS, CLIENTS)["camera"]))


class Meddler:
    """Passes bytes on between a client and a board, and changes one of those that the client sends from some moment on."""

    def __init__(self, board: Address) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listening.getsockname()[1])
        self._board = board
        self.changes = threading.Event()
        self._thread = in_thread(self._serve)

    def close(self) -> None:
        self._listening.close()
        self._thread.join(TIMEOUT_S)

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        with client, socket.create_connection((self._board.host, self._board.port)) as board:
            back = in_thread(lambda: self._pass(board, client, lambda data: data))
            self._pass(client, board, lambda data: bytes([*data[:-1], data[-1] ^ 1]) if self.changes.is_set() else data)
            back.join(TIMEOUT_S)

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        try:
            while data := source.recv(2**16):
                sink.sendall(change(data))
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_one_changed_bit_ends_the_stream(fleet: dict[str, Credentials]) -> None:
    messages: list[bytes] = []
    arrived = threading.Event()
    errors: queue.SimpleQueue[str] = queue.SimpleQueue()

    def take(stream: MessageStream) -> None:
        def note(message: memoryview) -> None:
            messages.append(bytes(message))
            arrived.set()

        try:
            stream.run(note)
        except StreamBrokenError as error:
            errors.put(str(error))

    with listening(fleet["pi1"], take) as address:
        meddler = Meddler(address)
        stream = open_stream(
            meddler.address, PATH, LIMITS, credentials=fleet["camera"], name="pi1", timeout_s=TIMEOUT_S
        )
        stream.send([b"as it is"])
        assert arrived.wait(TIMEOUT_S)
        meddler.changes.set()
        stream.send([bytes(1000)])
        assert "bad record mac" in errors.get(timeout=TIMEOUT_S)
        with pytest.raises(StreamBrokenError):
            stream.receive(TIMEOUT_S)
        stream.close()
        meddler.close()
    assert messages == [b"as it is"]


def test_half_finished_handshake_is_given_up(fleet: dict[str, Credentials]) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(ConnectError, match="did not finish the TLS handshake within"):
        open_stream(
            Address("127.0.0.1", silent.getsockname()[1]),
            PATH,
            LIMITS,
            credentials=fleet["camera"],
            name="pi1",
            timeout_s=0.2,
        )
