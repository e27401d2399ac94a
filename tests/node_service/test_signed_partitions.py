"""A board that trusts one signer loads what that signer signed, as it was signed, and nothing else; after a restart, too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle, open_bundle
from bundle.signing import sign_bundle
from dispatcher_client import BoardRefusedError, Dispatcher
from examples.local_boards import LocalBoard, LocalBoards
from node_service.errors import SignatureRefusedError
from node_service.signed_partitions import SignedPartitions
from protos.v1.control_plane_pb2 import LoadStageRequest
from tests.bundle.signing_keys import write_keys
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.node_service.stubs import load_request

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path)


def signed_copy(bundle: Bundle, place: Path, key: Path) -> Bundle:
    shutil.copytree(bundle.path, place)
    sign_bundle(open_bundle(place), key)
    return open_bundle(place)


def request_for(bundle: Bundle, stage_index: int = 0) -> LoadStageRequest:
    request = load_request(bundle, stage_index)
    request.manifest, request.manifest_signature = bundle.manifest_bytes, bundle.signature
    return request


def test_stage_of_a_signed_manifest_is_taken(zoo_bundle: MakeBundle, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    bundle = signed_copy(zoo_bundle("mlp", "int8", 2), tmp_path / "signed", keys[0])
    signed = SignedPartitions(keys[1])
    for index in range(2):
        request = request_for(bundle, index)
        request.threads = 3  # the board's own matter
        signed.require_signed(request)
        request.partition.file.ClearField("time_s")
        signed.require_signed(request)


def _no_signature(request: LoadStageRequest) -> None:
    request.ClearField("manifest_signature")


def _other_hash(request: LoadStageRequest) -> None:
    request.partition.file.sha256 = "0" * 64


def _other_tensor(request: LoadStageRequest) -> None:
    request.partition.arriving[0].shape[0] += 1


def _other_place(request: LoadStageRequest) -> None:
    request.stage_index = 1


def _no_such_place(request: LoadStageRequest) -> None:
    request.stage_index = 2**32 - 1


def _other_deployment(request: LoadStageRequest) -> None:
    request.deployment_id = "another-0123456789ab"


def _other_floor(request: LoadStageRequest) -> None:
    request.runtime_floor = ""


def _other_manifest(request: LoadStageRequest) -> None:
    request.manifest = request.manifest.replace(b"mlp", b"plm")


def _no_manifest(request: LoadStageRequest) -> None:
    request.manifest = b"\xff" * 10**6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_signature, "none came with the request.*converter sign"),
        (_other_hash, "not in the signed manifest"),
        (_other_tensor, "not in the signed manifest"),
        (_other_place, "stage 1 of .* is not in the signed manifest"),
        (_no_such_place, "not in the signed manifest"),
        (_other_deployment, "not in the signed manifest"),
        (_other_floor, "not in the signed manifest"),
        (_other_manifest, "another key signed it"),
        (_no_manifest, "another key signed it"),
    ],
)
def test_anything_else_is_refused(
    zoo_bundle: MakeBundle,
    tmp_path: Path,
    keys: tuple[Path, Path],
    change: Callable[[LoadStageRequest], None],
    words: str,
) -> None:
    bundle = signed_copy(zoo_bundle("mlp", "int8", 2), tmp_path / "signed", keys[0])
    request = request_for(bundle)
    if change is _other_floor:
        assert request.runtime_floor
    change(request)
    with pytest.raises(SignatureRefusedError, match=words):
        SignedPartitions(keys[1]).require_signed(request)


def test_signed_nonsense_is_refused(zoo_bundle: MakeBundle, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    """A key that signs other things, too."""
    place = tmp_path / "signed"
    bundle = signed_copy(zoo_bundle("mlp", "int8", 2), place, keys[0])
    nonsense = Bundle(place, bundle.manifest, b"[1, 2]")
    sign_bundle(nonsense, keys[0])
    request = request_for(bundle)
    request.manifest, request.manifest_signature = b"[1, 2]", (place / "manifest.sig").read_bytes()
    with pytest.raises(SignatureRefusedError):
        SignedPartitions(keys[1]).require_signed(request)


def test_key_that_cannot_be_read_ends_the_service_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no-key\.pem is no usable Ed25519 public key"):
        LocalBoard("board", tmp_path / "store", ("--require-signature", str(tmp_path / "no-key.pem")))


def test_boards_load_what_was_signed_only_and_load_it_again_after_a_restart(
    zoo_bundle: MakeBundle, tmp_path: Path, store_root: Path, keys: tuple[Path, Path]
) -> None:
    unsigned = zoo_bundle("residual", "int8")
    signed = signed_copy(unsigned, tmp_path / "signed", keys[0])
    stranger = signed_copy(zoo_bundle("residual", "float32"), tmp_path / "strange", write_keys(tmp_path, "stranger")[0])
    x = random_inputs(unsigned, 1)
    options = ("--threads", "1", "--require-signature", str(keys[1]))
    with LocalBoards(3, store_root, options) as running:
        for refused, words in ((unsigned, "none came with the request"), (stranger, "another key signed it")):
            with pytest.raises(BoardRefusedError, match=words):
                Dispatcher(refused, running.named, recovers=False).open()
        with Dispatcher(signed, running.named, recovers=False) as chain:
            assert named(chain, chain.infer(x)) == run_whole(unsigned, x)
    with LocalBoards(3, store_root, options) as again:
        assert "cannot be loaded again" not in "".join("".join(board.log) for board in again.boards)
        assert "loaded stage" in "".join(again.boards[0].log)
    other = ("--threads", "1", "--require-signature", str(write_keys(tmp_path, "newer")[1]))
    with LocalBoards(1, store_root, other) as again:
        assert "cannot be loaded again: this board takes signed partitions only" in "".join(again.boards[0].log)


def test_signing_later_makes_no_other_stage_on_boards_that_take_any(
    zoo_bundle: MakeBundle, tmp_path: Path, store_root: Path, keys: tuple[Path, Path]
) -> None:
    unsigned = zoo_bundle("mlp", "int8", 2)
    signed = signed_copy(unsigned, tmp_path / "signed", keys[0])
    with LocalBoards(2, store_root) as running:
        for bundle in (unsigned, signed):
            with Dispatcher(bundle, running.named, recovers=False):
                pass
        assert sum("loaded stage" in line for line in running.boards[0].log) == 1
