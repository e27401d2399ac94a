"""Reading a socket: pieces as they come, silence, deadlines, and every way in which a connection ends."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.message_stream.by_hand import ended, in_thread, tcp_pair
from transport.errors import StreamBrokenError
from transport.message_stream.reader import SocketReader

_BIT_BYTES = 2**12
_ETHERNET_BYTES = 1448


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = tcp_pair()
    with here, there:
        yield here, there


def no_silence(times: int) -> bool:
    raise AssertionError(times)


@settings(max_examples=20)
@given(st.binary(min_size=1, max_size=40_000), st.lists(st.integers(1, 20_000), max_size=20), st.booleans())
def test_bytes_come_as_they_were_sent(sent: bytes, sizes: list[int], into: bool) -> None:
    here, there = tcp_pair()
    with here, there:
        there.sendall(sent)
        there.close()
        reader, read = SocketReader(here, 10, no_silence), bytearray()
        for n, size in enumerate(sizes):
            size = min(size, len(sent) - len(read))
            if (n % 2 == 0) == into:
                piece = bytearray(size)
                reader.into(memoryview(piece))
                read += piece
            else:
                read += reader.exactly(min(size, 2**13))
        assert read == sent[: len(read)]


def test_end_before_the_first_byte_is_no_error_of_the_stream_and_one_in_the_midst_is(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    there.sendall(b"abc")
    there.shutdown(socket.SHUT_WR)
    reader = SocketReader(here, 10, no_silence)
    with pytest.raises(StreamBrokenError, match="midst of a frame"):
        reader.exactly(4)
    assert bytes(reader.exactly(2)) == b"ab"
    with pytest.raises(StreamBrokenError, match="midst of a message"):
        reader.into(memoryview(bytearray(2)))
    with pytest.raises(EOFError):
        reader.exactly(1)


def test_reset_connection_is_a_typed_error(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    there.close()
    with pytest.raises(StreamBrokenError, match="reset"):
        SocketReader(here, 10, no_silence).exactly(1)


def test_silences_are_counted_anew_after_every_byte(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    heard: list[int] = []

    def on_silence(times: int) -> bool:
        heard.append(times)
        if times == 2:
            there.sendall(b"x")
        return True

    reader = SocketReader(here, 0.02, on_silence)
    reader.into(memoryview(bytearray(3)))
    assert heard == [1, 2] * 3


def test_deadline_is_for_all_that_is_read_however_it_trickles(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    reader = SocketReader(here, 0.01, no_silence)
    stop: list[bool] = []

    def trickle() -> None:
        while not stop:
            there.send(b"x")

    thread = in_thread(trickle)
    with pytest.raises(TimeoutError), reader.within(0.1):
        reader.discard()
    stop.append(True)
    assert ended(thread)


def test_end_within_reaches_a_wait_that_has_begun(pair: tuple[socket.socket, socket.socket]) -> None:
    here, _ = pair
    silences: list[int] = []

    def silent(times: int) -> bool:
        silences.append(times)
        reader.end_within(0.05)
        return True

    reader = SocketReader(here, 0.05, silent)
    with pytest.raises(TimeoutError):
        reader.exactly(1)
    assert silences == [1]


def test_large_message_that_comes_bit_by_bit_wakes_its_reader_seldom() -> None:
    here, there = tcp_pair(segment_bytes=_ETHERNET_BYTES)
    reader, target = SocketReader(here, 10, no_silence), bytearray(2**20)
    sent, rest = os.urandom(len(target)), bytearray()
    woken: list[int] = []

    def read() -> None:
        target[:4] = reader.exactly(4)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        reader.into(memoryview(target)[4:])
        woken.append(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)
        rest.extend(reader.exactly(3))

    with here, there:
        reading = in_thread(read)
        for start in range(0, len(sent), _BIT_BYTES):
            there.sendall(sent[start : start + _BIT_BYTES])
            time.sleep(0.001)
        there.sendall(b"end")  # few bytes are had at once again
        assert ended(reading)
    assert (bytes(target), bytes(rest)) == (sent, b"end")
    assert woken[0] < len(sent) / _BIT_BYTES / 2, "it slept and woke up for most of what came"


@pytest.mark.parametrize("buffer_bytes", [None, 2**12, 2**16, 2**20])
@pytest.mark.parametrize("write_bytes", [100, 1000, 2**14, 2**20])
@pytest.mark.parametrize("segment_bytes", [None, _ETHERNET_BYTES])
def test_reader_never_waits_for_more_than_the_other_side_may_send(
    buffer_bytes: int | None, segment_bytes: int | None, write_bytes: int
) -> None:
    here, there = tcp_pair(buffer_bytes, segment_bytes)
    with here, there:
        reader_timeout_s = 20.0
        reader = SocketReader(here, reader_timeout_s, no_silence)
        sent, messages, longest_s = os.urandom(2**20 + 4321), [], [0.0]

        def read() -> None:
            for _ in range(4):
                messages.append(bytearray(len(sent)))
                begun_s = time.monotonic()
                reader.into(memoryview(messages[-1]))
                longest_s.append(time.monotonic() - begun_s)

        reading = in_thread(read)
        for _ in range(4):
            for start in range(0, len(sent), write_bytes):
                there.sendall(sent[start : start + write_bytes])
        reading.join(2 * reader_timeout_s)
        assert all(message == sent for message in messages)
        assert max(longest_s) < reader_timeout_s, "it had to be woken by the time-out"
