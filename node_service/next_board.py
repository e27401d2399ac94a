"""The hop behind this one: opens the stream to the next board, sends frames, gives its replies back undecoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node_service.errors import PeerUnavailableError, RelayedError
from protos.v1.data_plane_pb2 import Header, Hop, Opened, OpenStream
from transport.address import Address
from transport.cancellations import Cancellations
from transport.channel import DATA_PLANE_STREAM
from transport.credentials import Credentials
from transport.errors import ConnectError, StreamBrokenError, StreamStalledError
from transport.frame import BytesLike, frame_parts, unpack_frame
from transport.message_stream import MessageStream, StreamLimits, open_stream

# An earlier frame that is not taken for so long: the board behind has stopped, though its system still answers.
_SEND_TIMEOUT_S = 120.0


class NextBoard:
    """An open stream to the board that serves the next stage.

    Attributes: is_open: it was opened; it may have broken since.
    """

    def __init__(self, hop: Hop, *, credentials: Credentials | None, limits: StreamLimits) -> None:
        """Raises: AddressError."""
        self._hop = hop
        self._address = Address.parse(hop.address)
        self._credentials = credentials
        self._limits = limits
        self._stream: MessageStream | None = None
        self._cancellations: Cancellations | None = None
        self._is_over = False
        self.is_open = False

    @property
    def stream(self) -> MessageStream:
        """The stream, once it is open."""
        assert self._stream is not None, "not open"
        return self._stream

    def open(self, opening: OpenStream) -> Opened:
        """Opens the stream and the hops behind it; what the next board says of itself and of them.

        Raises: PeerUnavailableError: it cannot be reached or does not answer in time. RelayedError: it, or a board behind it,
            refuses. FrameError: it answers with something else.
        """
        timeout_s = opening.timeout_s
        try:
            self._stream = open_stream(
                self._address.data_plane,
                DATA_PLANE_STREAM,
                self._limits,
                credentials=self._credentials,
                name=self._hop.certificate_name or self._hop.board,
                timeout_s=timeout_s,
            )
            if self._is_over:
                self._stream.abort()
            self._stream.post(frame_parts(Header(open=opening)), timeout_s)
            answer = self._stream.receive(timeout_s)
        except TimeoutError:
            raise self._unavailable(f"did not open its stream within {timeout_s:.2g} s") from None
        except StreamBrokenError as error:
            raise self._broken(error) from error
        except ConnectError as error:
            raise self._unavailable(f"did not open its stream: {error}") from error
        if answer is None:
            raise self._unavailable("ended the stream at once")
        header, _ = unpack_frame(answer)
        if header.HasField("error"):
            raise RelayedError(header.error)
        if not header.HasField("opened"):
            raise self._unavailable("answered the opening of the stream with something else")
        self._stream.establish()
        if header.opened.takes_cancellations:
            self._cancellations = Cancellations(self._stream)
        self.is_open = True
        return header.opened

    def send(self, parts: Sequence[BytesLike]) -> None:
        """Sends a frame; waits while the one before it is on its way. Raises: PeerUnavailableError."""
        try:
            self.stream.post(parts, _SEND_TIMEOUT_S)
        except (StreamBrokenError, StreamStalledError) as error:
            raise self._broken(error) from error

    def cancel(self, request_ids: Sequence[int]) -> None:
        """Says that nobody waits for these requests, if the board understands that; never waits."""
        if self._cancellations is not None:
            self._cancellations.tell(request_ids)

    def relay(self, on_reply: Callable[[memoryview], None]) -> None:
        """Gives each reply to `on_reply`, until the next board ends the stream.

        Args: on_reply: must return at once; `stream.taken` is its to call.
        Raises: PeerUnavailableError: it broke.
        """
        try:
            self.stream.run(on_reply)
        except StreamBrokenError as error:
            raise self._broken(error) from error

    def finish(self) -> None:
        """Says that no more frames come. Raises: PeerUnavailableError: it does not take those that came."""
        try:
            self.stream.half_close(_SEND_TIMEOUT_S)
        except StreamStalledError as error:
            raise self._broken(error) from error

    def abort(self) -> None:
        """Ends the stream at once, or as soon as it is connected; does nothing to one that has ended."""
        self._is_over = True
        if self._stream is not None:
            self._stream.abort()

    def close(self) -> None:
        """Frees the connection; nobody uses it any more."""
        if self._stream is not None:
            self._stream.close()

    def _broken(self, error: Exception) -> PeerUnavailableError:
        return self._unavailable(f"broke the stream: {error}")

    def _unavailable(self, what: str) -> PeerUnavailableError:
        return PeerUnavailableError(
            self._hop.board,
            f"{self._hop.address} {what}. Is its node service running, and reachable from the board before it?",
        )
