"""The manifest as text: protobuf's JSON mapping of the contract, checked when read."""

from __future__ import annotations

import hashlib

from google.protobuf import json_format

from bundle.errors import BundleError
from protos.v1.manifest_pb2 import Manifest

FORMAT_VERSION = 1


def render_manifest(manifest: Manifest) -> str:
    """The manifest as JSON, with the contract's field names."""
    return json_format.MessageToJson(manifest, preserving_proto_field_name=True, indent=2) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Reads and checks a manifest.

    Raises: BundleError: not JSON, fields that the contract does not know, another format version, or parts that do not fit
        together.
    """
    manifest = Manifest()
    try:
        json_format.Parse(text, manifest)
    except json_format.ParseError as error:
        raise BundleError(
            f"manifest.json does not follow protos/v1/manifest.proto: {error}. Split the model again."
        ) from error
    if manifest.format_version != FORMAT_VERSION:
        raise BundleError(
            f"manifest.json has format version {manifest.format_version}, this version reads {FORMAT_VERSION}. "
            "Split the model again, or use the version that made the bundle."
        )
    _check_chain(manifest)
    return manifest


def deployment_id(manifest: Manifest) -> str:
    """Names the bundle's version: its model's name and a hash of everything the boards depend on."""
    digest = hashlib.sha256()
    for partition in manifest.partitions:
        digest.update(partition.SerializeToString(deterministic=True))
    return f"{manifest.model_name}-{digest.hexdigest()[:12]}"


def _check_chain(manifest: Manifest) -> None:
    if not manifest.partitions:
        raise BundleError("manifest.json names no partitions. Split the model again.")
    stop_op = 0
    arriving = {t.name for t in manifest.inputs}
    for index, partition in enumerate(manifest.partitions):
        if partition.start_op != stop_op or partition.stop_op <= partition.start_op:
            raise BundleError(
                f"partition {index} holds operators {partition.start_op} to {partition.stop_op}, expected to start at "
                f"{stop_op}. The manifest was changed by hand or damaged; split the model again."
            )
        if {t.name for t in partition.arriving} != arriving:
            raise BundleError(
                f"partition {index} does not take what the one before it sends. The manifest was changed by hand or "
                "damaged; split the model again."
            )
        stop_op = partition.stop_op
        arriving = {t.name for t in partition.leaving}
    if arriving != {t.name for t in manifest.outputs}:
        raise BundleError("the last partition does not give the model's outputs; split the model again.")
