"""What a peer says beside its messages: settings, pings, headers, resets; every frame but DATA and WINDOW_UPDATE."""

from __future__ import annotations

import time
from collections.abc import Callable

from hyperframe.frame import (
    ContinuationFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from transport.errors import StreamBrokenError
from transport.message_stream import wire
from transport.message_stream.credit import SendCredit
from transport.message_stream.writer import MessageWriter

# A peer that has announced a silence is believed for no longer.
_MOST_SILENCE_S = 60.0


class PeerControl:
    """Does what a peer's control frames ask for, and keeps what they said. For the thread that reads.

    Attributes:
        headers: those that opened the stream, a request or a response; None until they have come.
        unfinished: the part that has come of headers which CONTINUATION frames must complete; None between headers.
        last_refused: the highest number of a second stream, which is not served; 0 if none was opened.
        silent_until_s: by time.monotonic(), when a silence ends that it has announced.
    """

    def __init__(
        self,
        coder: wire.HeaderCoder,
        send_credit: SendCredit,
        writer: MessageWriter,
        answer: Callable[[bytes], None],
        *,
        is_client: bool,
    ) -> None:
        """Args: answer: sends a small frame; must not wait. is_client: this end is, and the peer a server."""
        self._coder = coder
        self._send_credit = send_credit
        self._writer = writer
        self._answer = answer
        self._is_client = is_client
        self.headers: dict[str, str] | None = None
        self.unfinished: bytearray | None = None
        self.last_refused = 0
        self.silent_until_s = 0.0
        self._headers_of = 0  # the stream
        self._headers_end = False  # the stream's messages

    def take(self, frame: Frame, flags: int) -> bool:
        """Whether the stream's messages end with this frame.

        Raises: StreamBrokenError: it ended the stream with an error, or sent what HTTP/2 or gRPC forbid.
        """
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            return self._take_headers(frame, ends_stream=bool(flags & wire.END_STREAM))
        if isinstance(frame, SettingsFrame):
            self._apply_settings(frame)
        elif isinstance(frame, PingFrame):
            if "ACK" not in frame.flags:
                silence_s = wire.read_announced_silence(frame.opaque_data)
                if silence_s is not None:
                    self.silent_until_s = time.monotonic() + min(silence_s, _MOST_SILENCE_S)
                self._answer(wire.ping(frame.opaque_data, is_answer=True))
        elif isinstance(frame, PushPromiseFrame):
            raise StreamBrokenError("it promised a stream that nobody asked for")
        elif isinstance(frame, RstStreamFrame):
            if frame.stream_id == wire.STREAM_ID:
                raise StreamBrokenError(f"it reset the stream: {wire.error_name(frame.error_code)}")
        elif isinstance(frame, GoAwayFrame) and frame.error_code != wire.NO_ERROR:
            why = bytes(frame.additional_data).decode(errors="replace")
            raise StreamBrokenError(f"it went away: {wire.error_name(frame.error_code)} {why}".rstrip())
        return False

    def _apply_settings(self, frame: SettingsFrame) -> None:
        if "ACK" in frame.flags:
            return
        window = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE)
        if window is not None:
            self._send_credit.set_initial(window)
        largest = frame.settings.get(SettingsFrame.MAX_FRAME_SIZE)
        if largest is not None:
            if not 2**14 <= largest <= wire.MAX_FRAME_BYTES:
                raise StreamBrokenError(f"it asked for frames of up to {largest} bytes")
            self._writer.max_frame_bytes = largest
        self._answer(wire.settings_ack())

    def _take_headers(self, frame: HeadersFrame | ContinuationFrame, *, ends_stream: bool) -> bool:
        if isinstance(frame, HeadersFrame):
            self.unfinished, self._headers_of, self._headers_end = bytearray(), frame.stream_id, ends_stream
        elif self.unfinished is None or frame.stream_id != self._headers_of:
            raise StreamBrokenError("it went on with headers that it had not begun")
        self.unfinished += frame.data
        if len(self.unfinished) > wire.MAX_CONTROL_BYTES:
            raise StreamBrokenError("it sent too many headers")
        if "END_HEADERS" not in frame.flags:
            return False
        block, self.unfinished = bytes(self.unfinished), None
        headers = self._coder.decode(block)  # of any stream: they change HPACK's state
        if frame.stream_id == wire.STREAM_ID:
            self._note_headers(headers)
            return self._headers_end
        if self._is_client or frame.stream_id % 2 == 0 or self.headers is None:
            raise StreamBrokenError(f"it opened stream {frame.stream_id}")
        # A second one of a general client.
        self.last_refused = max(self.last_refused, frame.stream_id)
        self._answer(wire.reset(frame.stream_id, wire.REFUSED_STREAM))
        return False

    def _note_headers(self, headers: dict[str, str]) -> None:
        if self._is_client:
            http_status = headers.get(":status", "200")
            if http_status != "200":
                raise StreamBrokenError(f"it answered with HTTP status {http_status}")
            grpc_status = headers.get("grpc-status", "0" if not self._headers_end else "")
            if grpc_status != "0":
                raise StreamBrokenError(
                    f"it ended the stream: gRPC status {grpc_status or 'missing'} {headers.get('grpc-message', '')}".rstrip()
                )
        self.headers = self.headers or headers
