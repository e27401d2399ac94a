"""Errors of frames and tensors on the wire."""

from __future__ import annotations


class TransportError(Exception):
    """Base of everything this package raises on purpose."""


class FrameError(TransportError):
    """A frame breaks the protocol: unreadable, out of bounds, or not what the deployment expects.

    `request_id` is the frame's, where its header could be read; else 0.
    """

    request_id: int = 0


class TensorError(TransportError):
    """An array does not fit the tensor it is meant for, or cannot be quantised."""


class CodecUnavailableError(TransportError):
    """A codec's library is not installed, or the codec cannot hold the dtype."""


class PlaintextRefusedError(TransportError):
    """There are no credentials, and plaintext was not asked for by name."""


class CredentialsError(TransportError):
    """Certificate, key and authority cannot be used."""


class AddressError(TransportError):
    """An address is not HOST:PORT."""


class AnnouncementError(TransportError):
    """What a board announces of itself breaks the form. The message says what of it: "its name is ..."."""


class StreamBrokenError(TransportError):
    """The peer broke the stream, or fell silent. The message is a clause that says what it did: "it closed the connection"."""


class StreamStalledError(TransportError):
    """The peer takes nothing more for now."""


class ConnectError(TransportError):
    """No connection: nobody listens there, or no answer came in time."""


class UntrustedPeerError(ConnectError):
    """Who answers is not who was expected, or does not accept who asks. The message is a clause: "its certificate ..."."""


class NoRoomError(TransportError):
    """As many streams are open as may be, in all or from one address."""
