"""The manifest as text: protobuf's JSON mapping of the contract, checked when read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf import json_format

from bundle.errors import BundleError
from bundle.image_input import check_image_input
from bundle.labels import check_labels
from protos.v1.manifest_pb2 import Manifest, Partition
from protos.v1.tensor_pb2 import TensorSpec

FORMAT_VERSION = 2
_DAMAGED = "The manifest was changed by hand or damaged; split the model again."


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
    _check_splittings(manifest)
    _check_batch(manifest)
    _check_pictures(manifest)
    return manifest


def _check_batch(manifest: Manifest) -> None:
    specs = [*manifest.inputs, *manifest.outputs, *manifest.taps] if manifest.batch > 1 else []
    odd = [f"{spec.name} {list(spec.shape)}" for spec in specs if not _holds(spec.shape, manifest.batch)]
    if odd:
        raise BundleError(f"the batch is {manifest.batch}, and these do not hold as many: {', '.join(odd)}. {_DAMAGED}")


def _check_pictures(manifest: Manifest) -> None:
    try:
        if manifest.HasField("image_input"):
            check_image_input(manifest.image_input, manifest.inputs[0].shape if len(manifest.inputs) == 1 else [])
        check_labels(manifest.labels, manifest.outputs)
    except BundleError as error:
        raise BundleError(f"{error} {_DAMAGED}") from error


def _holds(shape: Sequence[int], batch: int) -> bool:
    return len(shape) > 0 and (shape[0] == -1 or shape[0] % batch == 0)


def _check_splittings(manifest: Manifest) -> None:
    if not manifest.splittings:
        raise BundleError("manifest.json names no splittings. Split the model again.")
    n_ops = [_check_chain(manifest, index) for index in range(len(manifest.splittings))]
    if len(set(n_ops)) > 1:
        raise BundleError(
            f"the splittings cover different numbers of operators: {', '.join(map(str, n_ops))}. {_DAMAGED}"
        )
    order = manifest.operator_order
    if order and not len(order) == len(set(order)) == n_ops[0]:
        raise BundleError(
            f"operator_order has {len(order)} operators, {len(set(order))} of them distinct, expected {n_ops[0]}. {_DAMAGED}"
        )


def _check_chain(manifest: Manifest, splitting_index: int) -> int:
    """The number of operators that a splitting covers."""
    partitions = manifest.splittings[splitting_index].partitions
    place = f"splitting {splitting_index}"
    if not partitions:
        raise BundleError(f"{place} names no partitions. Split the model again.")
    stop_op = 0
    arriving = list(manifest.inputs)
    for index, partition in enumerate(partitions):
        where = f"{place}, partition {index}"
        _check_share(partitions, index, where)
        if partition.share.member:
            continue  # frames pass the leader of its group only
        if partition.start_op != stop_op or partition.stop_op <= partition.start_op:
            raise BundleError(
                f"{where} holds operators {partition.start_op} to {partition.stop_op}, expected to start at {stop_op}. "
                f"{_DAMAGED}"
            )
        # Frames name no tensors, so the order counts too.
        if list(partition.arriving) != arriving:
            raise BundleError(f"{where} does not take what the one before it sends. {_DAMAGED}")
        available = _names(partition.arriving)
        missing = _names(partition.inputs) - available | _names(partition.leaving) - available - _names(
            partition.outputs
        )
        if missing:
            raise BundleError(
                f"{where} needs tensors that do not arrive there: {', '.join(sorted(missing))}. {_DAMAGED}"
            )
        stop_op = partition.stop_op
        arriving = list(partition.leaving)
    if _names(arriving) != _names([*manifest.outputs, *manifest.taps]):
        raise BundleError(f"the last partition of {place} does not give the model's outputs and taps. {_DAMAGED}")
    return stop_op


def _check_share(partitions: Sequence[Partition], index: int, where: str) -> None:
    """A group's partitions follow one another, each with its place, and are of the same operators."""
    partition = partitions[index]
    leader = partitions[index - partition.share.member] if partition.share.member <= index else partition
    is_shared, n_members = partition.HasField("share"), max(1, partition.share.members)
    others = partitions[index : index + n_members]
    if is_shared == partition.HasField("file"):
        raise BundleError(f"{where} has both a file and a share of a group's, or neither. {_DAMAGED}")
    if is_shared and (
        not partition.share.member < partition.share.members
        or (leader.start_op, leader.stop_op, leader.share.members, leader.share.member)
        != (partition.start_op, partition.stop_op, partition.share.members, 0)
    ):
        raise BundleError(
            f"{where} is share {partition.share.member} of {partition.share.members} of operators {partition.start_op} to "
            f"{partition.stop_op}, and is not where that group's partitions are. {_DAMAGED}"
        )
    follow = len(others) == n_members and all(p.share.member == place for place, p in enumerate(others))
    if not partition.share.member and not follow:
        raise BundleError(f"{where} leads a group of {partition.share.members}, whose others do not follow. {_DAMAGED}")


def _names(specs: Iterable[TensorSpec]) -> set[str]:
    return {spec.name for spec in specs}
