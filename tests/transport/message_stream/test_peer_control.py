"""What a peer says beside its messages: it is done or refused, and what HTTP/2 or gRPC forbid breaks the stream."""

from __future__ import annotations

import socket

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.transport.message_stream.by_hand import (
    LIMITS,
    PATH,
    REQUEST,
    RESPONSE,
    Peer,
    breaks_later,
    check_that_it_breaks,
    client_and_peer,
    data,
    ended,
    grpc_message,
    headers,
    opened,
    raw_frame,
    server_and_peer,
    tcp_pair,
)
from transport.errors import StreamBrokenError
from transport.message_stream import MessageStream


def test_continued_headers_are_put_together_and_other_frames_ignored() -> None:
    here, there = tcp_pair()
    peer = Peer(there)
    block = headers(REQUEST)[9:]
    first, second = HeadersFrame(1, data=block[:7]), ContinuationFrame(1, data=block[7:20])
    third = ContinuationFrame(1, data=block[20:], flags=["END_HEADERS"])
    peer.send(opened()[: 24 + 9], *(f.serialize() for f in (first, second, third)))
    peer.send(PriorityFrame(1, depends_on=0, stream_weight=3).serialize(), raw_frame(0xFE, b"x"))
    stream, path = MessageStream.accept(here, LIMITS, 5)
    assert path == PATH
    peer.send(raw_frame(0xBE, b"anything", 0xFF, 7), data(grpc_message(b"yes")))
    assert bytes(stream.receive(5) or b"") == b"yes"
    stream.close()
    peer.close()


def test_second_stream_is_refused_and_the_first_lives() -> None:
    with server_and_peer() as (stream, peer):
        block = headers(REQUEST)[9:]
        peer.send(HeadersFrame(3, data=block[:5]).serialize())
        peer.send(ContinuationFrame(3, data=block[5:], flags=["END_HEADERS"]).serialize())
        peer.send(data(b"z" * 9000, stream_id=3), WindowUpdateFrame(3, window_increment=7).serialize())
        peer.send(data(b"", "END_STREAM", stream_id=3), RstStreamFrame(3, error_code=8).serialize())
        peer.send(data(grpc_message(b"first")))
        assert bytes(stream.receive(5) or b"") == b"first"
        reset = peer.until(RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (3, 7)


def test_window_update_of_another_stream_raises_no_credit() -> None:
    with server_and_peer() as (stream, peer):
        peer.send(WindowUpdateFrame(3, window_increment=2**31 - 1).serialize(), data(grpc_message(b"x")))
        assert stream.receive(5) is not None
        assert stream._send_credit._stream == 2**16 - 1


WRONG = {
    "setting of a window": raw_frame(4, b"\0\4\xff\xff\xff\xff", 0, 0),
    "setting of frames": SettingsFrame(0, settings={5: 100}).serialize(),
    "settings of a stream": raw_frame(4, b"", 0, 1),
    "settings in part": raw_frame(4, b"\0\4\xff", 0, 0),
    "push": PushPromiseFrame(1, promised_stream_id=2, data=headers(REQUEST)[9:], flags=["END_HEADERS"]).serialize(),
    "reset": RstStreamFrame(1, error_code=8).serialize(),
    "gone": GoAwayFrame(0, error_code=2, additional_data=b"\xffwhy").serialize(),
    "headers in headers": HeadersFrame(1, data=b"\x82").serialize() * 2,
    "data in headers": HeadersFrame(1, data=b"\x82").serialize() + data(b""),
    "continued from nothing": ContinuationFrame(1, data=b"\x82", flags=["END_HEADERS"]).serialize(),
    "continued elsewhere": HeadersFrame(1, data=b"\x82").serialize() + ContinuationFrame(3, data=b"").serialize(),
    "headers of an even stream": headers(REQUEST, stream_id=2),
    "endless headers": HeadersFrame(1, data=b"").serialize() + ContinuationFrame(1, data=bytes(40_000)).serialize() * 2,
    "not HPACK": raw_frame(1, b"\xff\xff\xff\xff\xff\xff", 0x4),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("is_client", [True, False])
def test_control_frames_that_are_forbidden_break_the_stream(what: str, is_client: bool) -> None:
    check_that_it_breaks(WRONG[what], is_client)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (headers([(":status", "404")]), "HTTP status 404"),
        (headers([*RESPONSE, ("grpc-status", "12"), ("grpc-message", "no such")], "END_STREAM"), "12 no such"),
        (headers(RESPONSE) + headers([("a", "b")], "END_STREAM"), "status missing"),
        (headers(RESPONSE) + data(b"", "END_STREAM"), "without a gRPC status"),
        (data(b""), "not open"),
        (headers(REQUEST, stream_id=3), "opened stream 3"),
    ],
)
def test_client_is_told_how_the_server_ended(sent: bytes, words: str) -> None:
    with client_and_peer() as (stream, peer):
        peer.send(SettingsFrame(0).serialize(), sent)
        with pytest.raises(StreamBrokenError, match=words):
            stream.run(lambda m: stream.taken(len(m)))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not speak HTTP/2"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(30), "not speak HTTP/2"),
        (b"", "before its request"),
        (opened()[:30], "midst of a frame"),
        (opened()[:33], "before its request"),
        (opened()[:33] + headers([(":method", "GET"), (":path", "/")]), "not gRPC"),
        (opened()[:33] + data(b"x"), "not open"),
        (opened()[:33] + headers(REQUEST, stream_id=3), "opened stream 3"),
    ],
)
def test_who_is_no_client_is_refused(sent: bytes, words: str) -> None:
    here, there = tcp_pair()
    there.sendall(sent)
    there.shutdown(socket.SHUT_WR)
    with here, there, pytest.raises(StreamBrokenError, match=words):
        MessageStream.accept(here, LIMITS, 5)


def test_client_that_sends_no_request_has_little_time() -> None:
    here, there = tcp_pair()
    there.sendall(opened()[:40])
    with here, there, pytest.raises(StreamBrokenError, match="no request in time"):
        MessageStream.accept(here, LIMITS, 0.1)


def test_peers_settings_hold_in_the_midst_of_a_message() -> None:
    with server_and_peer() as (stream, peer):
        reading = breaks_later(lambda: stream.run(lambda m: None))
        frames = peer.frames()
        body = bytes(range(256)) * 1024
        stream.post([body], 5)
        got = b""

        def take(least: int) -> None:
            nonlocal got
            while len(got) < least:
                frame = next(frames)
                if isinstance(frame, DataFrame):
                    got += frame.data

        take(65535)
        # Below zero by 15 535, and back by updates and by a setting.
        peer.send(
            SettingsFrame(0, settings={4: 50_000}).serialize(), WindowUpdateFrame(0, window_increment=2**20).serialize()
        )
        peer.send(WindowUpdateFrame(1, window_increment=15_535 + 10).serialize())
        take(65545)
        assert len(got) == 65545
        peer.send(SettingsFrame(0, settings={4: 60_000, 5: 2**20}).serialize())
        take(75545)
        peer.send(WindowUpdateFrame(1, window_increment=2**20).serialize())
        take(len(body) + 5)
        assert got == grpc_message(body)
        peer.close()
        assert ended(reading)
