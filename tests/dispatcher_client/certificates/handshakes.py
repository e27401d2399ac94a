"""A real TLS handshake between two credentials directories, through memory."""

from __future__ import annotations

import ssl
from pathlib import Path

_ROUNDS = 10  # TLS 1.3 needs three


def shake_hands(server: Path, client: Path, server_name: str) -> None:
    """Has both ends verify each other, as boards and clients do. Raises: ssl.SSLError: one of them refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = context(ssl.PROTOCOL_TLS_SERVER, server).wrap_bio(to_server, to_client, server_side=True)
    asking = context(ssl.PROTOCOL_TLS_CLIENT, client).wrap_bio(to_client, to_server, server_hostname=server_name)
    waiting = [asking, serving]
    for _ in range(_ROUNDS):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    asking.write(b"frame")
    assert serving.read() == b"frame"


def context(protocol: ssl._SSLMethod, directory: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    assert made.check_hostname == (protocol is ssl.PROTOCOL_TLS_CLIENT)
    made.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    made.load_verify_locations(directory / "authority.pem")
    return made
