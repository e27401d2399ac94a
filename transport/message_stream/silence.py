"""When a peer that gives no sign of life is given up: soon if it stands still, not while a slow link keeps it from answering."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from transport.errors import StreamBrokenError
from transport.message_stream import tcp_info, wire
from transport.message_stream.writer import MessageWriter

# A peer that is silent for so long is given up. It is asked for a sign of life after a third and, as one ping may be lost on
# its way, after two thirds of it.
SILENCE_S = 0.75
MOST_SILENCES = 3
_PING = wire.ping(b"boardlin", is_answer=False)


class PeerSilence:
    """Hears of every third of `silence_s` without a byte from the peer, on the thread that reads."""

    def __init__(
        self,
        sock: socket.socket,
        writer: MessageWriter,
        control: Callable[[bytes], None],
        silence_s: float,
        announced_until_s: Callable[[], float],
    ) -> None:
        """Args:
        control: sends a frame.
        announced_until_s: by time.monotonic: until then the peer has said that it may be unable to answer.
        """
        self._socket = sock
        self._writer = writer
        self._control = control
        self._silence_s = silence_s
        self._announced_until_s = announced_until_s
        self._acked_bytes = 0
        self._pinged_bytes: int | None = None  # acknowledged once the peer's system has the first ping of a silence
        self._silences_with_ping = 0  # that it had when they began, and the one in which it got it

    def show_life(self) -> None:
        """Asks the peer, and so says that this end lives."""
        self._control(_PING)

    def heard_nothing(self, times: int) -> bool:
        """For so many thirds in a row; whether that counts. Raises: StreamBrokenError: the peer is given up."""
        acked_bytes, before = tcp_info.acked_bytes(self._socket), self._acked_bytes
        self._acked_bytes = acked_bytes
        if times == 1:
            self._pinged_bytes, self._silences_with_ping = None, 0
        if time.monotonic() < self._announced_until_s():
            return False
        # A frozen process' system takes bytes itself, as many as it has room for. A peer that takes some and has not got the
        # ping is behind a slow link, as the ping is; one that got it so long ago would have answered.
        stands_still = acked_bytes <= before + len(_PING)
        self._silences_with_ping += self._pinged_bytes is not None and acked_bytes >= self._pinged_bytes
        if (times >= MOST_SILENCES and stands_still) or self._silences_with_ping >= MOST_SILENCES:
            raise StreamBrokenError(f"no sign of life for {times * self._silence_s / MOST_SILENCES:.2g} s")
        self._control(_PING)
        if self._pinged_bytes is None and self._writer.has_given_all():
            self._pinged_bytes = tcp_info.given_bytes(self._socket)
        return True
