"""Boards that take signed partitions only: a stage must be one of a manifest that was signed with the key they trust."""

from __future__ import annotations

from pathlib import Path

from bundle import BundleError
from bundle.manifest import parse_manifest
from bundle.partition_files import as_loaded
from bundle.signing import load_public_key, verify_manifest
from bundle.splitting import list_splittings
from node_service.errors import SignatureRefusedError
from protos.v1.control_plane_pb2 import LoadStageRequest


class SignedPartitions:
    """Knows whom to trust."""

    def __init__(self, public_key: Path) -> None:
        """Raises: SignatureRefusedError: the key cannot be read."""
        try:
            self._key = load_public_key(public_key)
        except BundleError as error:
            raise SignatureRefusedError(str(error)) from error

    def require_signed(self, request: LoadStageRequest) -> None:
        """Returns if the whole of what is to be loaded is in a manifest of a trusted signer: deployment, place, hash and tensors.

        Nothing of the manifest is read before its signature was checked.
        Raises: SignatureRefusedError.
        """
        if not request.manifest_signature:
            raise SignatureRefusedError(
                "this board takes signed partitions only (--require-signature), and none came with the request. Sign the bundle: "
                "python -m converter sign BUNDLE --key KEY.pem"
            )
        try:
            verify_manifest(request.manifest, request.manifest_signature, self._key)
            manifest = parse_manifest(request.manifest.decode())
        except (BundleError, UnicodeDecodeError) as error:
            raise SignatureRefusedError(f"this board takes signed partitions only: {error}") from error
        for splitting in list_splittings(manifest):
            if splitting.deployment_id == request.deployment_id and request.stage_index < len(splitting.partitions):
                signed = splitting.partitions[request.stage_index]
                if (
                    as_loaded(signed) == as_loaded(request.partition)
                    and request.runtime_floor == manifest.runtime_floor
                ):
                    return
        raise SignatureRefusedError(
            f"stage {request.stage_index} of {request.deployment_id} is not in the signed manifest as it is to be loaded. "
            "Deploy from the bundle that was signed."
        )
