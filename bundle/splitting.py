"""One way to split the model, as the boards know it: its partitions, and the name of the deployment they make."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from protos.v1.manifest_pb2 import Manifest, Partition


@dataclass(frozen=True)
class BundleSplitting:
    """A splitting of a bundle. On the boards each splitting is a deployment of its own."""

    index: int
    deployment_id: str
    partitions: Sequence[Partition]

    @property
    def cut_indices(self) -> tuple[int, ...]:
        """Where the model is cut, in order."""
        return tuple(partition.stop_op for partition in self.partitions[:-1])


def list_splittings(manifest: Manifest) -> tuple[BundleSplitting, ...]:
    """All splittings of a manifest, in its order."""
    return tuple(
        BundleSplitting(index, deployment_id(manifest, index), splitting.partitions)
        for index, splitting in enumerate(manifest.splittings)
    )


def deployment_id(manifest: Manifest, splitting_index: int = 0) -> str:
    """Names a splitting's version: its model's name and a hash of everything the boards depend on.

    Measured times are not part of it: the same parts of the same model are the same deployment, split however often and
    beside whatever other splittings.
    """
    digest = hashlib.sha256()
    for partition in manifest.splittings[splitting_index].partitions:
        content = Partition()
        content.CopyFrom(partition)
        content.file.ClearField("time_s")
        digest.update(content.SerializeToString(deterministic=True))
    return f"{manifest.model_name}-{digest.hexdigest()[:12]}"
