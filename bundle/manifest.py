"""The manifest as text: protobuf's JSON mapping of the contract, checked when read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from google.protobuf import json_format

from bundle.errors import BundleError
from protos.v1.manifest_pb2 import Manifest, Partition
from protos.v1.tensor_pb2 import TensorSpec

FORMAT_VERSION = 1


def render_manifest(manifest: Manifest) -> str:
    """The manifest as JSON, with the contract's field names."""
    return json_format.MessageToJson(manifest, preserving_proto_field_name=True, indent=2) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Reads and checks a manifest.

    Raises: BundleError: not JSON, fields that the contract does not know, another format version, or parts that do not fit
        together.
    """
    try:
        manifest = json_format.Parse(text, Manifest(), ignore_unknown_fields=True)
        if manifest.format_version in (0, FORMAT_VERSION):  # of another version's fields, the number is the news
            manifest = json_format.Parse(text, Manifest())
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
    """Names the bundle's version: its model's name and a hash of everything the boards depend on.

    Measured times are not part of it: the same parts of the same model are the same deployment, split however often.
    """
    digest = hashlib.sha256()
    for partition in manifest.partitions:
        content = Partition()
        content.CopyFrom(partition)
        content.file.ClearField("time_s")
        digest.update(content.SerializeToString(deterministic=True))
    return f"{manifest.model_name}-{digest.hexdigest()[:12]}"


def _check_chain(manifest: Manifest) -> None:
    if not manifest.partitions:
        raise BundleError("manifest.json names no partitions. Split the model again.")
    stop_op = 0
    arriving = list(manifest.inputs)
    for index, partition in enumerate(manifest.partitions):
        if partition.start_op != stop_op or partition.stop_op <= partition.start_op:
            raise BundleError(
                f"partition {index} holds operators {partition.start_op} to {partition.stop_op}, expected to start at "
                f"{stop_op}. The manifest was changed by hand or damaged; split the model again."
            )
        # Frames name no tensors, so the order counts too.
        if list(partition.arriving) != arriving:
            raise BundleError(
                f"partition {index} does not take what the one before it sends. The manifest was changed by hand or "
                "damaged; split the model again."
            )
        available = _names(partition.arriving)
        missing = _names(partition.inputs) - available | _names(partition.leaving) - available - _names(
            partition.outputs
        )
        if missing:
            raise BundleError(
                f"partition {index} needs tensors that do not arrive there: {', '.join(sorted(missing))}. The manifest was "
                "changed by hand or damaged; split the model again."
            )
        stop_op = partition.stop_op
        arriving = list(partition.leaving)
    if _names(arriving) != _names(manifest.outputs):
        raise BundleError("the last partition does not give the model's outputs; split the model again.")


def _names(specs: Iterable[TensorSpec]) -> set[str]:
    return {spec.name for spec in specs}
