"""Keys for tests, made anew each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def write_keys(directory: Path, name: str = "key", private: Any = None) -> tuple[Path, Path]:
    """A private key's file and the public one's."""
    private = private or Ed25519PrivateKey.generate()
    key, public = directory / f"{name}.pem", directory / f"{name}-public.pem"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key, public
