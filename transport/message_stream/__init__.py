"""gRPC streams of large messages, spoken directly: HTTP/2 for one stream on a connection of its own."""

from transport.message_stream.admission import ListenerLimits
from transport.message_stream.connections import StreamListener, connect_securely, open_stream
from transport.message_stream.silence import SILENCE_S
from transport.message_stream.stream import MessageStream, StreamLimits
from transport.message_stream.tls import TlsSession

__all__ = [
    "SILENCE_S",
    "ListenerLimits",
    "MessageStream",
    "StreamLimits",
    "StreamListener",
    "TlsSession",
    "connect_securely",
    "open_stream",
]
