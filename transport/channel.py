"""gRPC at its edge: the options that both ends of a hop share, and channels to a board."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes every refused handshake to stderr, past all loggers

import grpc
import grpc.aio

from transport.address import Address
from transport.credentials import Credentials, Identity, Pem, Right

# What a board speaks; raised when an old peer could misread a new one.
PROTOCOL_VERSION = 1
DATA_PLANE_STREAM = "/boardline.v1.DataPlane/Stream"
DEFAULT_MAX_FRAME_BYTES = 256 * 2**20

# A message of the data plane is a frame's payload and its header.
HEADER_ROOM_BYTES = 2**16
# What opens a stream, and the answer to it: 64 hops of three times the usual length.
MAX_OPENING_BYTES = 2**14
# Requests of the control plane; uploads come in chunks of 1 MiB.
MAX_REQUEST_BYTES = 2**23
# A peer that vanished or froze is noticed after a silence of this length and as long again for its answer to a ping.
_KEEPALIVE_MS = 5_000
# A process that stands still lets its system take the connection and says nothing: so long it has for its first words. gRPC's
# threads answer without Python's lock.
_CONNECT_MS = 1_500
# Of the time to open a chain, what each board leaves to the boards behind it.
OPENING_SHARE = 0.8


def grpc_options(
    max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES, max_receive_bytes: int | None = None
) -> list[tuple[str, Any]]:
    """Options for channels and servers alike. Args: max_receive_bytes: of a message; None: as may be sent.

    Of an option that is given twice gRPC takes the first: what a server wants otherwise has a parameter here.

    Keepalive finds a peer that vanished without closing; a server must permit what its clients send, or it hangs up on
    them. Compression stays off: tensors have codecs of their own. One connection per channel, so that streams to one
    board do not share a flow-control window.
    """
    limit = max_frame_bytes + HEADER_ROOM_BYTES
    return [
        ("grpc.max_receive_message_length", limit if max_receive_bytes is None else max_receive_bytes),
        ("grpc.max_send_message_length", limit),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),  # it is that limit, too
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_MS),  # the default of 60 s overrides keepalive_timeout_ms
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]


def open_channel(
    address: Address,
    *,
    credentials: Credentials | None,
    name: str,
    max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES,
) -> grpc.aio.Channel:
    """A channel to a board; connecting happens with its first call.

    Args:
        credentials: None for plaintext, which somebody asked for by name.
        name: what the board's certificate must be valid for.
    """
    options = grpc_options(max_frame_bytes)
    if credentials is None:
        return grpc.aio.insecure_channel(str(address), options=options)
    pem = credentials.pem
    own = grpc.ssl_channel_credentials(pem.authority, pem.key, pem.certificate)
    return grpc.aio.secure_channel(str(address), own, options=[*options, ("grpc.ssl_target_name_override", name)])


def server_credentials(credentials: Credentials) -> grpc.ServerCredentials:
    """For a gRPC server: clients must show a certificate of the same authority. Files that change are read again."""
    pem, asking = credentials.pem, threading.Lock()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Asked at each connection. Only what is new may be told: gRPC takes the place of what other connections' handshakes are
        being made from, which corrupts its memory where many come at once (seen with 400, grpcio 1.85.1).
        """
        nonlocal pem
        with asking:
            if credentials.pem == pem:
                return None
            pem = credentials.pem
            return _configuration(pem)

    return grpc.dynamic_ssl_server_credentials(_configuration(pem), changed, require_client_authentication=True)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.authority)


def peer_identity(auth_context: Mapping[str, Sequence[bytes]]) -> Identity | None:
    """Who calls, from a call's `auth_context()`; None in plaintext."""
    if "x509_common_name" not in auth_context:
        return None
    (name,) = auth_context["x509_common_name"]
    names = {value.decode("utf-8", "replace") for value in auth_context.get("x509_subject_alternative_name", ())}
    return Identity(
        name.decode("utf-8", "replace"), frozenset(right for right in Right if right.uri in names), float("inf")
    )
