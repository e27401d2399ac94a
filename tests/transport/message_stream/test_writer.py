"""Writing to a socket that takes little at a time, from many threads, without a lost or torn frame."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hyperframe.frame import DataFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.message_stream.by_hand import Peer, comes_true, ended, in_thread, tcp_pair
from transport.errors import StreamBrokenError, StreamStalledError
from transport.message_stream import wire
from transport.message_stream.credit import SendCredit
from transport.message_stream.writer import MessageWriter, _after, _Outgoing

MEGABYTES = 2**30


@pytest.fixture
def ends() -> Iterator[tuple[MessageWriter, SendCredit, Peer]]:
    """A writer with all the credit there is, on a socket of small buffers; and its peer."""
    here, there = tcp_pair(2**14)
    credit, peer = SendCredit(), Peer(there)
    writer = MessageWriter(here, credit)
    yield writer, credit, peer
    end(writer, here)
    peer.close()


def end(writer: MessageWriter, sock: socket.socket) -> None:
    writer.end(StreamBrokenError("the test is over"))
    if sock.fileno() >= 0:
        sock.shutdown(socket.SHUT_RDWR)
    writer.close()


def give_all(credit: SendCredit) -> None:
    credit.give(MEGABYTES, to_stream=True)
    credit.give(MEGABYTES, to_stream=False)


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 30), max_size=40))
def test_outgoing_gives_the_prefix_and_every_byte_in_order(parts: list[bytes], sizes: list[int]) -> None:
    whole = wire.message_prefix(sum(map(len, parts))) + b"".join(parts)
    outgoing, taken = _Outgoing(parts), b""
    for size in itertools.chain(sizes, itertools.repeat(7)):
        if not outgoing.left:
            break
        taken += b"".join(outgoing.take(min(size, outgoing.left)))
    assert taken == whole


@given(st.lists(st.binary(max_size=9), max_size=6), st.integers(0, 60))
def test_after_leaves_what_was_not_sent(buffers: list[bytes], n_bytes: int) -> None:
    whole = b"".join(buffers)
    n_bytes = min(n_bytes, len(whole))
    assert b"".join(_after([memoryview(b) for b in buffers], n_bytes)) == whole[n_bytes:]


Ends = tuple[MessageWriter, SendCredit, Peer]


def test_small_frame_that_finds_the_socket_full_goes_as_soon_as_there_is_room(ends: Ends) -> None:
    writer, credit, peer = ends
    give_all(credit)
    size = 0
    while not writer._unsent:  # fills the buffers to the last byte, with nobody left who writes
        writer.control(wire.ping(b"12345678", is_answer=False))
        size += 1
    frames = peer.frames()
    for _ in range(size):  # nobody calls the writer meanwhile
        assert isinstance(next(frames), PingFrame)


def test_post_stalls_in_time_while_an_earlier_message_waits_for_credit_and_goes_on_with_it(ends: Ends) -> None:
    writer, credit, peer = ends
    writer.max_frame_bytes = wire.MAX_FRAME_BYTES
    message = bytes(wire.DEFAULT_WINDOW_BYTES)
    received = bytearray()
    reading = in_thread(lambda: received.extend(itertools.islice(data_bytes(peer), 3 * (len(message) + 5))))
    writer.post([message], 5)
    with pytest.raises(StreamStalledError):
        writer.post([message], 0.05)
    with pytest.raises(StreamStalledError):
        writer.send_last(b"", 0.05)
    give_all(credit)
    writer.post([message], 5)
    writer.send([message])
    assert ended(reading)
    assert bytes(received) == 3 * (wire.message_prefix(len(message)) + message)


def data_bytes(peer: Peer) -> Iterator[int]:
    for frame in peer.frames():
        if isinstance(frame, DataFrame):
            yield from frame.data


def test_small_frames_go_while_a_message_waits_for_credit(ends: Ends) -> None:
    writer, _, peer = ends
    writer.post([bytes(wire.DEFAULT_WINDOW_BYTES)], 5)
    in_thread(lambda: writer.control(wire.ping(b"12345678", is_answer=True)))
    assert peer.until(PingFrame).opaque_data == b"12345678"


def test_nothing_goes_after_the_last_frame(ends: Ends) -> None:
    writer, _, peer = ends
    writer.send([b"abc"])
    for _ in range(2):
        writer.send_last(wire.data_header(0, wire.END_STREAM), 1)
    attempts: list[Callable[[], object]] = [lambda: writer.send([b"x"]), lambda: writer.post([b"x"], 1)]
    for refused in attempts:
        with pytest.raises(StreamBrokenError, match="no more messages"):
            refused()
    peer.socket.settimeout(0.1)
    frames = peer.frames()
    found = [next(frames), next(frames)]
    with pytest.raises(TimeoutError):
        next(frames)
    assert [(type(f), set(f.flags)) for f in found] == [(DataFrame, set()), (DataFrame, {"END_STREAM"})]


@pytest.mark.parametrize("wants", ["credit", "socket"])
def test_end_wakes_everyone_who_writes(wants: str) -> None:
    here, there = tcp_pair(2**14)
    credit, outcomes = SendCredit(), []
    writer = MessageWriter(here, credit)
    if wants == "socket":
        give_all(credit)
    writer.post([bytes(2**22)], 1)

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except (StreamBrokenError, StreamStalledError) as error:
            outcomes.append(type(error))

    works: list[Callable[[], object]] = [
        lambda: writer.send([b"x"]),
        lambda: writer.post([bytes(2**22)], 20),
        lambda: writer.send_last(b"", 20),
        lambda: writer.control(b""),
    ]
    threads = [in_thread(partial(attempt, work)) for work in works * 3]
    end(writer, here)
    assert all(ended(thread, 5) for thread in threads)
    assert set(outcomes) <= {StreamBrokenError}
    with pytest.raises(StreamBrokenError):
        writer.send([b"x"])
    there.close()


def test_a_message_that_is_left_over_as_the_stream_ends_keeps_nobody_waiting() -> None:
    for _ in range(50):  # a race: the end may come at any place of `post`
        here, there = tcp_pair()
        credit = SendCredit()
        writer = MessageWriter(here, credit)
        barrier = threading.Barrier(2)

        def post(writer: MessageWriter = writer, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                writer.post([bytes(2**17)], 1)
            except StreamBrokenError:
                return

        thread = in_thread(post)
        barrier.wait()
        end(writer, here)
        assert ended(thread, 5)
        assert writer._turn.acquire(timeout=5)
        there.close()


def test_handing_over_after_the_end_is_refused(ends: Ends) -> None:
    writer, credit, _ = ends
    credit.take(wire.DEFAULT_WINDOW_BYTES, waits=False)
    write = writer._write

    def ends_meanwhile(outgoing: _Outgoing, *, waits: bool) -> bool:
        done = write(outgoing, waits=waits)
        writer.end(StreamBrokenError("it is gone"))
        return done

    writer._write = ends_meanwhile  # type: ignore[method-assign]
    with pytest.raises(StreamBrokenError, match="gone"):
        writer.post([b"x"], 1)
    assert not writer._turn.locked()


def test_many_threads_and_small_buffers_tear_no_frame(ends: Ends) -> None:
    writer, credit, peer = ends
    give_all(credit)
    messages, pings, stop = 40, [0], threading.Event()
    bodies = [bytes([n]) * (n * 3001 % 70_000) for n in range(messages * 2)]

    def send(mine: list[bytes]) -> None:
        for n, body in enumerate(mine):
            writer.post([body[:1000], body[1000:]], 20) if n % 2 else writer.send([body])

    def control() -> None:
        while not stop.is_set():
            if writer.waiting < 500:
                pings[0] += 1
                writer.control(wire.ping(struct_of(pings[0]), is_answer=True))
            else:
                stop.wait(0.001)

    received, numbers = bytearray(), []
    expected_bytes = sum(len(b) + 5 for b in bodies)

    def read() -> None:
        for frame in peer.frames():
            if isinstance(frame, DataFrame):
                received.extend(frame.data)
            elif isinstance(frame, PingFrame):
                numbers.append(int.from_bytes(frame.opaque_data, "big"))
            if len(received) == expected_bytes and stop.is_set() and len(numbers) == pings[0]:
                return

    reading = in_thread(read)
    controlling = in_thread(control)
    senders = [in_thread(partial(send, bodies[i::2])) for i in range(2)]
    assert all(ended(thread, 60) for thread in senders)
    assert comes_true(lambda: len(received) == expected_bytes, 30)
    stop.set()
    assert ended(controlling)
    writer.control(b"")
    assert comes_true(lambda: numbers == list(range(1, pings[0] + 1)), 20)  # none lost, in order
    found, rest = [], memoryview(received)
    while rest:
        n = int.from_bytes(rest[1:5], "big")
        found.append(bytes(rest[5 : 5 + n]))
        rest = rest[5 + n :]
    assert sorted(found) == sorted(bodies)
    reading.join(0)


def struct_of(number: int) -> bytes:
    return number.to_bytes(8, "big")
