"""A bundle's signature: Ed25519 over the bytes of its manifest, which names every file by its hash.

Plain Ed25519, so that `openssl pkeyutl` and keys in hardware make and check the same signature.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bundle.directory import MANIFEST_NAME, SIGNATURE_NAME, Bundle
from bundle.errors import BundleError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SIGNATURE_BYTES = 64
_MAKE_KEY = "openssl genpkey -algorithm ed25519 -out KEY.pem; openssl pkey -in KEY.pem -pubout -out PUBLIC.pem"


def sign_bundle(bundle: Bundle, key_path: Path) -> Path:
    """Writes the signature beside the manifest; where.

    Every file is compared with the manifest before: what is signed is whole.
    Raises: BundleError: a file is missing or damaged, or the signature cannot be written. SignatureError: no usable key.
    """
    key = _private_key(key_path)
    bundle.file_path(bundle.manifest.whole)
    for splitting in bundle.splittings:
        for file in splitting.files:
            bundle.file_path(file)
    bundle.load_sample()
    path = bundle.path / SIGNATURE_NAME
    _replace(path, key.sign(bundle.manifest_bytes))
    return path


def verify_bundle_signature(bundle: Bundle, public_key_path: Path) -> None:
    """Raises SignatureError unless the bundle's manifest was signed with the key."""
    if not bundle.signature:
        raise SignatureError(
            f"{bundle.path} is not signed: it has no {SIGNATURE_NAME}. Sign it: python -m converter sign BUNDLE --key KEY.pem"
        )
    verify_manifest(bundle.manifest_bytes, bundle.signature, load_public_key(public_key_path))


def verify_manifest(manifest: bytes, signature: bytes, key: Ed25519PublicKey) -> None:
    """Raises SignatureError unless the signature is the key's, of these bytes."""
    from cryptography.exceptions import InvalidSignature

    if len(signature) != _SIGNATURE_BYTES:
        raise SignatureError(f"the signature has {len(signature)} bytes, an Ed25519 signature has {_SIGNATURE_BYTES}.")
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        raise SignatureError(
            f"the signature is not of this {MANIFEST_NAME} and this key: the manifest was changed, or another key signed it. Sign "
            "the bundle again, or use the public key that belongs to the signer's."
        ) from None


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Raises: SignatureError: no such file, no Ed25519 public key, or the package `cryptography` is missing."""
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with _naming_faults(path, "public"):
        key = load_pem_public_key(path.read_bytes())
        if isinstance(key, Ed25519PublicKey):
            return key
        raise ValueError(f"it is of another kind, {type(key).__name__}")


def _private_key(path: Path) -> Ed25519PrivateKey:
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with _naming_faults(path, "private"):
        key = load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, Ed25519PrivateKey):
            return key
        raise ValueError(f"it is of another kind, {type(key).__name__}")


@contextlib.contextmanager
def _naming_faults(path: Path, kind: str) -> Iterator[None]:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        raise SignatureError(
            f"{path} is no usable Ed25519 {kind} key in PEM: {error}. Make keys: {_MAKE_KEY}"
        ) from error


def _require_library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:  # of 32-bit ARM there are wheels from Python 3.11 on
        raise SignatureError(
            "signatures need the package cryptography. Install it: pip install cryptography"
        ) from error


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error}.") from error
