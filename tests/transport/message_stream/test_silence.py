"""A peer that is silent is asked for a sign of life, and given up in time; one that is slow, or has said so, is not."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest
from hyperframe.frame import (
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.freezing import freeze
from tests.transport.message_stream.by_hand import (
    PATH,
    breaks_later,
    client_and_peer,
    comes_true,
    data,
    ended,
    grpc_message,
    in_thread,
    server_and_peer,
)
from transport.address import Address
from transport.errors import StreamBrokenError
from transport.message_stream import StreamLimits, open_stream, wire
from transport.message_stream.tcp_info import acked_bytes

QUICK = StreamLimits(2**24, silence_s=0.6)
END = data(b"", "END_STREAM")
PING = wire.ping(b"boardlin", is_answer=False)
_IN_SYSTEM_BYTES = 250_000
# A process that serves a stream and takes what comes.
_SERVE = f"""
from transport.address import Address
from transport.message_stream import StreamLimits, StreamListener

listener = StreamListener(
    Address("127.0.0.1", 0), "{PATH}", lambda stream: stream.run(lambda m: stream.taken(len(m))), StreamLimits(2**24), None
)
print(listener.address.port, flush=True)
listener.start()
listener._accepting.join()
"""


@pytest.mark.parametrize("full", [False, True])
def test_frozen_peer_is_given_up_after_the_silence(full: bool) -> None:
    with server_and_peer(QUICK, buffer_bytes=2**14) as (stream, peer):
        peer.send(
            SettingsFrame(0, settings={4: 2**30}).serialize(), WindowUpdateFrame(0, window_increment=2**30).serialize()
        )
        peer.send(data(grpc_message(b"x")))
        assert stream.receive(5)
        stuck = breaks_later(lambda: stream.send([bytes(2**23)])) if full else None
        began_s = time.monotonic()
        with pytest.raises(StreamBrokenError, match=r"no sign of life for 0\.[68] s"):
            stream.run(lambda m: None)
        assert 0.55 < time.monotonic() - began_s < 3
        assert stuck is None or ended(stuck)


def test_frozen_peer_is_given_up_while_a_message_is_waited_for() -> None:
    with server_and_peer(QUICK) as (stream, _peer):
        began_s = time.monotonic()
        with pytest.raises(StreamBrokenError, match="no sign of life"):
            stream.receive(30)
        assert 0.55 < time.monotonic() - began_s < 3


@pytest.mark.parametrize("how", ["answers", "shows life"])
def test_peer_that_lives_is_waited_for_until_the_time_out(how: str) -> None:
    with server_and_peer(QUICK) as (stream, peer):
        over = threading.Event()

        def live() -> None:
            with contextlib.suppress(OSError):  # closed at last
                if how == "answers":
                    for frame in peer.frames():
                        if isinstance(frame, PingFrame):
                            peer.send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
                while not over.wait(0.2):
                    peer.send(PING)

        living = in_thread(live)
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            stream.receive(2)
        assert time.monotonic() - began_s >= 2
        over.set()
        peer.close()
        assert ended(living)


def test_life_is_shown_without_being_asked() -> None:
    with client_and_peer() as (stream, peer):
        stream.show_life()
        assert peer.until(PingFrame).opaque_data == b"boardlin"


def test_one_lost_ping_drops_no_peer() -> None:
    with server_and_peer(QUICK) as (stream, peer):
        reading = breaks_later(lambda: stream.run(lambda m: None))
        pings = (f for f in peer.frames() if isinstance(f, PingFrame))
        for _ in range(3):
            assert next(pings)  # lost
            assert next(pings)
            peer.send(PingFrame(0, opaque_data=b"boardlin", flags=["ACK"]).serialize())
        assert reading.is_alive()
        peer.close()
        assert ended(reading)


@pytest.mark.parametrize("is_taken_back", [False, True])
def test_silence_that_was_announced_is_borne_and_no_longer(is_taken_back: bool) -> None:
    with server_and_peer(QUICK) as (stream, peer):
        began_s = time.monotonic()
        reading = breaks_later(lambda: stream.run(lambda m: None))
        peer.send(wire.ping(wire.announced_silence(1.2), is_answer=False))
        if is_taken_back:
            peer.send(wire.ping(wire.announced_silence(0.0), is_answer=False))
        assert ended(reading)
        lasted_s = time.monotonic() - began_s
        assert (0.55 < lasted_s < 1.2) if is_taken_back else (1.5 < lasted_s < 3.5)


def test_silence_is_announced_to_the_peer() -> None:
    with client_and_peer() as (stream, peer):
        stream.announce_silence(2.5)
        ping = next(f for f in peer.frames() if isinstance(f, PingFrame))
        assert wire.read_announced_silence(ping.opaque_data) == 2.5


def test_slow_peer_that_lives_is_not_given_up() -> None:
    with server_and_peer(QUICK) as (stream, peer):
        reading = breaks_later(lambda: stream.run(lambda m: None))
        frames, pause = peer.frames(), threading.Event()
        for _ in range(3):
            assert next(f for f in frames if isinstance(f, PingFrame))
            peer.send(PingFrame(0, opaque_data=b"boardlin", flags=["ACK"]).serialize())
        slow = data(grpc_message(bytes(8)))
        for n in range(len(slow)):  # a byte of a frame after each silence
            pause.wait(0.25)
            peer.send(slow[n : n + 1])
            if n > 6:
                break
        assert reading.is_alive()
        peer.close()
        assert ended(reading)


def test_peer_that_has_not_got_the_ping_yet_is_kept() -> None:
    """It is behind what this system holds: nothing waits unsent here, and the peer takes bytes, but slowly."""
    with server_and_peer(QUICK, buffer_bytes=2**13) as (stream, peer):
        stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        peer.send(
            SettingsFrame(0, settings={4: 2**30}).serialize(), WindowUpdateFrame(0, window_increment=2**30).serialize()
        )
        peer.send(data(grpc_message(b"x")))
        assert stream.receive(5)
        reading = breaks_later(lambda: stream.run(lambda m: None))
        stream.post([bytes(_IN_SYSTEM_BYTES)], 1)
        assert comes_true(stream._writer.has_given_all)
        pause, came, began_s = threading.Event(), bytearray(), time.monotonic()
        while PING not in came:
            came += peer.socket.recv(2**12)
            pause.wait(0.02)
        assert len(came) > _IN_SYSTEM_BYTES
        assert time.monotonic() - began_s > 2 * QUICK.silence_s
        assert reading.is_alive()
        peer.send(PingFrame(0, opaque_data=b"boardlin", flags=["ACK"]).serialize())
        assert ended(reading)  # it says nothing more


def test_frozen_process_is_given_up_though_its_system_takes_bytes() -> None:
    with subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = Address("127.0.0.1", int(process.stdout.readline()))
        stream = open_stream(address, PATH, QUICK, credentials=None, name="board", timeout_s=20)
        over = threading.Event()
        acked: list[tuple[float, int]] = []

        def go_on_sending() -> None:
            with contextlib.suppress(StreamBrokenError):
                while not over.wait(0.02):
                    stream.post([b"small"], 5)
                    acked.append((time.monotonic(), acked_bytes(stream._socket)))

        sending = in_thread(go_on_sending)
        try:
            freeze(process)
            frozen_s = time.monotonic()
            with pytest.raises(StreamBrokenError, match="no sign of life"):
                stream.run(lambda m: None)
            given_up_s = time.monotonic()
        finally:
            over.set()
            process.kill()
        assert ended(sending)
        assert given_up_s - frozen_s < 3  # nominally 0.8
        taken = [n for at_s, n in acked if frozen_s + 0.2 < at_s < given_up_s]
        assert taken[-1] > taken[0] + 100  # by its system, to the last
        stream.close()


def test_peer_on_a_slow_link_is_not_given_up_while_it_takes_bytes() -> None:
    with server_and_peer(StreamLimits(2**24, silence_s=0.3), buffer_bytes=2**13) as (stream, peer):
        peer.send(
            SettingsFrame(0, settings={4: 2**30}).serialize(), WindowUpdateFrame(0, window_increment=2**30).serialize()
        )
        peer.send(data(grpc_message(b"x")))
        assert stream.receive(5)
        reading = breaks_later(lambda: stream.run(lambda m: None))
        stream.post([bytes(2**20)], 1)
        pause, until_s = threading.Event(), time.monotonic() + 1.2
        while time.monotonic() < until_s:  # it takes, and says nothing
            peer.socket.recv(2**13)
            pause.wait(0.03)
        assert reading.is_alive()
        assert ended(reading)  # and is given up once it does not
