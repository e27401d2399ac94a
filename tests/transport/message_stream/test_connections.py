"""One contract for every pair of ends, ours and grpc's; and a listener that outlives whoever connects."""

from __future__ import annotations

import errno
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pytest

from examples.local_boards import local_fleet
from tests.credentials import OPERATOR
from tests.transport.message_stream.by_hand import PATH, breaks_later, comes_true, ended, in_thread
from transport.address import Address
from transport.channel import server_credentials
from transport.credentials import Credentials
from transport.errors import ConnectError, StreamBrokenError
from transport.message_stream import ListenerLimits, MessageStream, StreamLimits, StreamListener, open_stream
from transport.message_stream.stream import MessageTooLargeError

LOCAL = Address("127.0.0.1", 0)
MAX_BYTES = 6 * 10**6
LIMITS = StreamLimits(MAX_BYTES)
SIZES = [0, 1, 4, 100, 2**14 - 5, 2**14, 65_535, 65_536, 2**17, 2**20, 5 * 10**6, 3, 0, 0, 70_000]
OPTIONS = [("grpc.max_receive_message_length", MAX_BYTES), ("grpc.max_send_message_length", -1)]
PAIRS = pytest.mark.parametrize(
    "pair", ["ours-ours", "ours-grpc", "grpc-ours", "ours-ours-tls", "ours-grpc-tls", "grpc-ours-tls"]
)
NAME = "pi1"  # of who listens, as its certificate says
Handler = Callable[[MessageStream], None]


def body(number: int, size: int) -> bytes:
    return bytes([number % 256]) * size


def echo(stream: MessageStream) -> None:
    """Gives every message back, late: a queue and a thread lie between, as in a board."""
    waiting: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()

    def work() -> None:
        while (message := waiting.get()) is not None:
            stream.taken(len(message))
            stream.post([message[:1], message[1:]], 20)
        stream.finish(20)

    worker = in_thread(work)
    try:
        stream.run(waiting.put, lambda: waiting.put(None))
    finally:
        stream.abort()
        waiting.put(None)
        worker.join()


@contextmanager
def our_server(
    handler: Handler = echo, limits: StreamLimits = LIMITS, credentials: Credentials | None = None, **options: Any
) -> Iterator[StreamListener]:
    listener = StreamListener(LOCAL, PATH, handler, limits, credentials, **options)
    listener.start()
    yield listener
    listener.stop()
    listener.abort()
    assert listener.join(10)


@contextmanager
def grpc_server(credentials: Credentials | None = None) -> Iterator[Address]:
    class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            if details.method == PATH:
                return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
            return None

    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=OPTIONS)
        server.add_generic_rpc_handlers((Echo(),))
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", server_credentials(credentials))
        server.start()
        yield Address("127.0.0.1", port)
        server.stop(None).wait()


def connect(
    address: Address, path: str = PATH, limits: StreamLimits = LIMITS, credentials: Credentials | None = None
) -> MessageStream:
    return open_stream(address, path, limits, credentials=credentials, name=NAME, timeout_s=5)


def through_our_client(address: Address, bodies: list[bytes], credentials: Credentials | None = None) -> list[bytes]:
    found: list[bytes] = []
    stream = connect(address, credentials=credentials)

    def take(message: memoryview) -> None:
        stream.taken(len(message))
        found.append(bytes(message))

    reading = in_thread(lambda: stream.run(take))
    for number, data in enumerate(bodies):
        stream.post([data], 20) if number % 2 else stream.send([data])
    stream.half_close(20)
    assert ended(reading, 30)
    stream.close()
    return found


def grpc_channel(address: Address, credentials: Credentials | None) -> grpc.Channel:
    if credentials is None:
        return grpc.insecure_channel(str(address), options=OPTIONS)
    pem = credentials.pem
    own = grpc.ssl_channel_credentials(pem.authority, pem.key, pem.certificate)
    return grpc.secure_channel(str(address), own, [*OPTIONS, ("grpc.ssl_target_name_override", NAME)])


def through_grpc(address: Address, bodies: list[bytes], credentials: Credentials | None = None) -> list[bytes]:
    with grpc_channel(address, credentials) as channel:
        return list(channel.stream_stream(PATH)(iter(bodies), timeout=60))


@contextmanager
def pair_of(pair: str) -> Iterator[Callable[[list[bytes]], list[bytes]]]:
    client, server, *tls = pair.split("-")
    through = through_our_client if client == "ours" else through_grpc
    here, there = (OPERATOR, Credentials(local_fleet().board(NAME))) if tls else (None, None)
    if server == "grpc":
        with grpc_server(there) as address:
            yield lambda bodies: through(address, bodies, here)
    else:
        with our_server(credentials=there) as listener:
            yield lambda bodies: through(listener.address, bodies, here)


@PAIRS
def test_messages_of_every_size_come_back_in_order_and_the_stream_ends_in_good_order(pair: str) -> None:
    bodies = [body(n, size) for n, size in enumerate(SIZES)]
    with pair_of(pair) as exchange:
        assert exchange(bodies) == bodies
        assert exchange([]) == []


@PAIRS
def test_many_small_messages_flow_both_ways_at_once(pair: str) -> None:
    bodies = [n.to_bytes(4, "big") * (n % 50) for n in range(2000)]
    with pair_of(pair) as exchange:
        assert exchange(bodies) == bodies


@pytest.mark.parametrize("server", ["ours", "grpc"])
def test_unknown_method_is_refused_to_our_client(server: str) -> None:
    with our_server() if server == "ours" else grpc_server() as found:
        stream = connect(found.address if isinstance(found, StreamListener) else found, "/no.such/Method")
        with pytest.raises(StreamBrokenError, match="gRPC status 12"):
            stream.receive(5)
        stream.close()


def test_unknown_method_is_unimplemented_to_a_grpc_client() -> None:
    with our_server() as listener, grpc.insecure_channel(str(listener.address)) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream("/no.such/Method")(iter([b"x"]), timeout=10))
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert "/no.such/Method" in caught.value.details()


@pytest.mark.parametrize("size", [1001, 10**5, 5 * 10**6])
def test_message_that_is_too_large_exhausts_a_grpc_clients_resources(size: int) -> None:
    with our_server(limits=StreamLimits(1000)) as listener:
        with pytest.raises(grpc.RpcError) as caught:
            through_grpc(listener.address, [body(255, size)])
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"a message of {size} bytes" in caught.value.details()


def test_message_that_is_too_large_is_a_typed_error_of_our_client() -> None:
    with grpc_server() as address:
        stream = connect(address, limits=StreamLimits(1000))
        stream.send([bytes(1001)])
        with pytest.raises(MessageTooLargeError):
            stream.receive(5)
        stream.close()


def test_our_client_is_told_by_our_server_that_its_message_was_too_large() -> None:
    with our_server(limits=StreamLimits(1000)) as listener:
        stream = connect(listener.address)
        stream.post([bytes(10**6)], 1)
        with pytest.raises(StreamBrokenError, match=r"gRPC status 8 .* 1000000 bytes"):
            stream.receive(5)
        stream.close()


def test_grpc_client_that_cancels_breaks_the_stream() -> None:
    errors: list[str] = []

    def handle(stream: MessageStream) -> None:
        with pytest.raises(StreamBrokenError) as caught:
            stream.run(lambda m: None)
        errors.append(str(caught.value))

    with our_server(handle) as listener, grpc.insecure_channel(str(listener.address)) as channel:
        hold = threading.Event()
        call = channel.stream_stream(PATH)(iter(lambda: hold.wait(10) or b"", b""), timeout=20)
        assert comes_true(lambda: bool(listener._threads))
        next(iter([call.initial_metadata()]))
        call.cancel()
        assert comes_true(lambda: bool(errors))
        hold.set()
    assert "CANCEL" in errors[0] or "closed" in errors[0]


def test_abort_of_the_listener_ends_streams_that_wait_for_anything() -> None:
    def handle(stream: MessageStream) -> None:
        sending = breaks_later(lambda: stream.send([bytes(2**22)]))
        try:
            stream.run(lambda m: None)
        finally:
            stream.abort()
            assert ended(sending)

    with our_server(handle) as listener:
        streams = [connect(listener.address) for _ in range(5)]
        assert comes_true(lambda: len(listener._threads) == 5)
        assert not listener.join(0.05)
        listener.stop()
        listener.abort()
        assert listener.join(10)
        for stream in streams:
            stream.close()


def test_connections_beyond_the_limit_are_refused_and_room_comes_back() -> None:
    with our_server(connections=ListenerLimits(max_streams=1)) as listener:
        first = connect(listener.address)
        first.send([b"1"])
        assert first.receive(5)
        second = connect(listener.address)
        with pytest.raises(StreamBrokenError, match="gRPC status 8 1 streams are open"):
            second.receive(5)
        second.close()
        first.close()
        assert comes_true(lambda: not listener._threads)
        assert through_our_client(listener.address, [b"x"]) == [b"x"]


def test_listener_goes_on_after_the_system_had_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ECONNABORTED, "aborted")]
    with our_server() as listener:
        listening = listener._listening

        class Short:
            def accept(self) -> Any:
                if failures:
                    raise failures.pop()
                return listening.accept()

            def __getattr__(self, name: str) -> Any:
                return getattr(listening, name)

        listener._listening = Short()  # type: ignore[assignment]
        assert through_our_client(listener.address, [b"x"]) == [b"x"]  # the accept that has begun
        assert through_our_client(listener.address, [b"y"]) == [b"y"]
        assert not failures


def test_strangers_are_turned_away_quietly_and_the_listener_lives() -> None:
    with our_server() as listener:
        for garbage in (b"GET / HTTP/1.1\r\nHost: board\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(300), b""):
            with socket.create_connection((listener.address.host, listener.address.port)) as sock:
                sock.sendall(garbage)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(5)
                try:
                    while sock.recv(100):
                        pass
                except ConnectionResetError:
                    pass
        assert through_our_client(listener.address, [b"x"]) == [b"x"]


def test_listening_on_any_ipv6_address_takes_ipv4() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    listener = StreamListener(Address("::", 0), PATH, echo, LIMITS, None)
    listener.start()
    assert through_our_client(Address("127.0.0.1", listener.address.port), [b"x"]) == [b"x"]
    listener.stop()
    assert listener.join(5)


@pytest.mark.parametrize("host", ["127.0.0.1", "a" * 70, "no.such.host.invalid"])
def test_nobody_there_is_a_connect_error(host: str) -> None:
    with pytest.raises(ConnectError, match="cannot be reached"):
        open_stream(Address(host, 1), PATH, LIMITS, credentials=None, name="board", timeout_s=2)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plaintext", "tls"])
def test_both_ends_under_load_with_small_buffers_never_stop(is_secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight streams, messages of odd sizes both ways, two senders a stream, sockets that take less than a message."""
    make = socket.create_connection

    def small(*args: Any) -> socket.socket:
        sock = make(*args)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 2**15)
        return sock

    monkeypatch.setattr("transport.message_stream.connections.socket.create_connection", small)
    rounds = 40
    here, there = (OPERATOR, Credentials(local_fleet().board(NAME))) if is_secure else (None, None)

    def exercise(address: Address, number: int, done: list[int]) -> None:
        stream = connect(address, credentials=here)
        found: list[int] = []

        def take(message: memoryview) -> None:
            stream.taken(len(message))
            found.append(len(message))

        def send(own: list[int]) -> None:
            for size in own:
                stream.post([bytes(size)], 30)

        reading = in_thread(lambda: stream.run(take))
        sizes = [(number * 7919 + n * 104_729) % 40_000 for n in range(rounds)]
        senders = [in_thread(partial(send, sizes[i::2])) for i in range(2)]
        assert all(ended(thread, 60) for thread in senders)
        stream.half_close(30)
        assert ended(reading, 30)
        stream.close()
        assert sorted(found) == sorted(sizes)
        done.append(number)

    with our_server(credentials=there) as listener:
        listener._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**15)
        listener._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**15)
        done: list[int] = []
        threads = [in_thread(partial(exercise, listener.address, n, done)) for n in range(8)]
        assert all(ended(thread, 90) for thread in threads)
        assert sorted(done) == list(range(8))
