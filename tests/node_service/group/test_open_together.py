"""Streams of a group are opened at the same time, and given up together."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from node_service.errors import PeerUnavailableError
from node_service.group.open_together import open_together
from node_service.next_board import NextBoard
from protos.v1.data_plane_pb2 import Header, Hop, Opened, OpenStream
from tests.node_service.stubs import TIMEOUT_S
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.errors import StreamBrokenError
from transport.frame import frame_parts
from transport.message_stream import MessageStream, StreamLimits, StreamListener

LIMITS = StreamLimits(2**24)
OPENED = frame_parts(Header(opened=Opened()))


class Boards:
    """Three boards behind this one. Each answers once all have been asked to open; `refusing` ends its stream instead."""

    def __init__(self, refusing: int | None = None, silent: bool = False) -> None:
        self.asked = threading.Barrier(3)
        self.broken = [threading.Event() for _ in range(3)]
        self.listeners = []
        self.hops = {}
        for place in range(3):
            serve = partial(self._serve, place, refusing, silent)
            listener = StreamListener(Address("127.0.0.1", 0), DATA_PLANE_STREAM, serve, LIMITS, None)
            listener.start()
            self.listeners.append(listener)
            # Frames go to the port after a board's own.
            hop = Hop(board=f"pi{place}", address=f"127.0.0.1:{listener.address.port - 1}")
            self.hops[place] = NextBoard(hop, credentials=None, limits=LIMITS)

    def open(self) -> None:
        def open_one(place: int) -> None:
            self.hops[place].open(OpenStream(deployment_id="d", timeout_s=TIMEOUT_S))

        open_together(self.hops, open_one)

    def close(self) -> None:
        for hop in self.hops.values():
            hop.abort()
            hop.close()
        for listener in self.listeners:
            listener.stop()
            listener.abort()
            assert listener.join(TIMEOUT_S)

    def _serve(self, place: int, refusing: int | None, silent: bool, stream: MessageStream) -> None:
        assert stream.receive(TIMEOUT_S)
        self.asked.wait(TIMEOUT_S)
        try:
            if place == refusing:
                stream.finish(TIMEOUT_S)
            elif not silent:
                stream.post(OPENED, TIMEOUT_S)
            stream.run(lambda message: None)
        except StreamBrokenError:
            self.broken[place].set()


def test_all_are_asked_before_any_has_answered() -> None:
    boards = Boards()
    try:
        boards.open()
        assert all(hop.is_open for hop in boards.hops.values())
        assert not any(broken.is_set() for broken in boards.broken)
    finally:
        boards.close()


def test_those_under_way_are_given_up_when_one_fails() -> None:
    """The others would never answer: they hear at once that nobody waits for them."""
    boards = Boards(refusing=1, silent=True)
    try:
        with pytest.raises(PeerUnavailableError, match="ended the stream at once") as refused:
            boards.open()
        assert refused.value.board == "pi1"
        assert all(boards.broken[place].wait(TIMEOUT_S) for place in (0, 2))
        assert not any(hop.is_open for hop in boards.hops.values())
    finally:
        boards.close()


def test_those_that_are_open_stay_so_when_one_fails() -> None:
    boards = Boards()
    try:
        boards.open()
        others = {**boards.hops, 3: NextBoard(Hop(board="pi3", address="127.0.0.1:1"), credentials=None, limits=LIMITS)}

        def open_one(place: int) -> None:
            if place == 3:
                others[place].open(OpenStream(deployment_id="d", timeout_s=TIMEOUT_S))

        with pytest.raises(PeerUnavailableError) as refused:
            open_together(others, open_one)
        assert refused.value.board == "pi3"
        boards.hops[0].send(OPENED)
        assert not any(broken.is_set() for broken in boards.broken)
    finally:
        boards.close()
