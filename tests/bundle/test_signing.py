"""A signature is of these very bytes and this key; what is signed is whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bundle import Bundle, BundleError, SignatureError, open_bundle
from bundle.signing import sign_bundle, verify_bundle_signature
from tests.bundle.signing_keys import write_keys

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def copied(zoo_bundle: MakeBundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo_bundle("mlp", "int8", 2).path, tmp_path / "bundle"))


def test_signed_bundle_is_verified_with_the_public_key(copied: Path, tmp_path: Path) -> None:
    key, public = write_keys(tmp_path)
    with pytest.raises(SignatureError, match=r"is not signed.*converter sign"):
        verify_bundle_signature(open_bundle(copied), public)
    path = sign_bundle(open_bundle(copied), key)
    assert path == copied / "manifest.sig"
    assert len(path.read_bytes()) == 64
    first = path.read_bytes()
    verify_bundle_signature(open_bundle(copied), public)
    sign_bundle(open_bundle(copied), key)
    assert path.read_bytes() == first  # Ed25519 signs the same bytes alike


def test_signature_is_refused_when_anything_changed(copied: Path, tmp_path: Path) -> None:
    key, public = write_keys(tmp_path)
    other = write_keys(tmp_path, "other")[1]
    signature = sign_bundle(open_bundle(copied), key)
    with pytest.raises(SignatureError, match="another key signed it"):
        verify_bundle_signature(open_bundle(copied), other)
    manifest = copied / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")  # the same content in other bytes
    with pytest.raises(SignatureError, match=r"manifest\.json was changed|manifest was changed"):
        verify_bundle_signature(open_bundle(copied), public)
    signature.write_bytes(b"short")
    with pytest.raises(SignatureError, match="has 5 bytes"):
        verify_bundle_signature(open_bundle(copied), public)


def test_damaged_bundle_is_not_signed(copied: Path, tmp_path: Path) -> None:
    file = copied / open_bundle(copied).splittings[0].partitions[1].file.path
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with pytest.raises(BundleError, match="damaged or was changed"):
        sign_bundle(open_bundle(copied), write_keys(tmp_path)[0])
    assert not (copied / "manifest.sig").exists()


@pytest.mark.parametrize("content", [None, b"", b"nonsense", "public", "elliptic"])
def test_key_that_cannot_be_used_is_named(copied: Path, tmp_path: Path, content: bytes | str | None) -> None:
    key, public = write_keys(tmp_path)
    if content == "elliptic":
        key, public = write_keys(tmp_path, private=ec.generate_private_key(ec.SECP256R1()))
    elif content == "public":
        key, public = public, key
    else:
        for path in (key, public):
            path.unlink()
            if isinstance(content, bytes):
                path.write_bytes(content)
    with pytest.raises(SignatureError, match=r"no usable Ed25519 private key in PEM.*openssl genpkey"):
        sign_bundle(open_bundle(copied), key)
    (copied / "manifest.sig").write_bytes(bytes(64))
    with pytest.raises(SignatureError, match="no usable Ed25519 public key"):
        verify_bundle_signature(open_bundle(copied), public)


def test_signature_is_what_openssl_makes(copied: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.fail("openssl is needed for this test: apt-get install openssl")
    key, public = write_keys(tmp_path)
    command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(key), "-in", str(copied / "manifest.json")]
    subprocess.run([*command, "-out", str(copied / "manifest.sig")], check=True, capture_output=True)
    verify_bundle_signature(open_bundle(copied), public)


def test_missing_library_is_named(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = write_keys(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(SignatureError, match="pip install cryptography"):
        sign_bundle(open_bundle(copied), key)


def test_commands_sign_and_verify(copied: Path, tmp_path: Path) -> None:
    key, public = write_keys(tmp_path)
    converter = [sys.executable, "-m", "converter"]
    refused = subprocess.run(
        [*converter, "verify", str(copied), "--public-key", str(public)], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "is not signed" in refused.stderr
    signed = subprocess.run(
        [*converter, "sign", str(copied), "--key", str(key)], capture_output=True, text=True, check=True
    )
    assert signed.stdout.strip() == str(copied / "manifest.sig")
    subprocess.run([*converter, "verify", str(copied), "--public-key", str(public)], capture_output=True, check=True)
