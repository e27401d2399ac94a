"""The files that a board needs of a partition: its one file, or those of its strips."""

from __future__ import annotations

import hashlib

from protos.v1.manifest_pb2 import ModelFile, Partition


def partition_files(partition: Partition) -> list[ModelFile]:
    """In the order of use; those that a share uses twice once."""
    if not partition.HasField("share"):
        return [partition.file]
    files = [action.compute.file for action in partition.share.actions if action.HasField("compute")]
    return list({file.sha256: file for file in files}.values())


def partition_bytes(partition: Partition) -> int:
    """Size of its files."""
    return sum(file.size_bytes for file in partition_files(partition))


def partition_s(partition: Partition) -> float:
    """Measured seconds of one run of each of its files; 0 if any was not measured."""
    times_s = [file.time_s for file in partition_files(partition)]
    return sum(times_s) if all(times_s) else 0.0


def partition_sha256(partition: Partition) -> str:
    """Names what a board runs: its file's hash; of a share, a hash of all that it does."""
    if not partition.HasField("share"):
        return partition.file.sha256
    return hashlib.sha256(as_loaded(partition).share.SerializeToString(deterministic=True)).hexdigest()


def as_loaded(partition: Partition) -> Partition:
    """A copy without measured times and the plan of a share: what names a deployment, and what boards are asked to load."""
    content = Partition()
    content.CopyFrom(partition)
    content.file.ClearField("time_s")
    if not content.file.ByteSize():
        content.ClearField("file")
    if not content.HasField("share"):
        return content
    content.share.ClearField("segments")
    for action in content.share.actions:
        if action.HasField("compute"):
            action.compute.file.ClearField("time_s")
    return content
