"""One way to split the model, as the boards know it: its partitions, and the name of the deployment they make."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bundle.partition_files import as_loaded, partition_files
from bundle.plan import PlannedChain, PlannedSegment, PlannedStage, are_alike
from protos.v1.manifest_pb2 import Manifest, ModelFile, Partition
from protos.v1.tensor_pb2 import TensorSpec


@dataclass(frozen=True)
class BundleSplitting:
    """A splitting of a bundle. On the boards each splitting is a deployment of its own."""

    index: int
    deployment_id: str
    partitions: Sequence[Partition]

    @property
    def leaders(self) -> list[Partition]:
        """What frames pass, in order: the partitions without those of a group's other boards."""
        return [partition for partition in self.partitions if not partition.share.member]

    def group_of(self, leader: Partition) -> list[Partition]:
        """The partitions of a group, its leader's first."""
        first = list(self.partitions).index(leader)
        return list(self.partitions[first : first + leader.share.members])

    @property
    def cut_indices(self) -> tuple[int, ...]:
        """Where the model is cut, in order."""
        return tuple(partition.stop_op for partition in self.leaders[:-1])

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """How many boards serve what lies between two cuts, in order: 1 where none is shared."""
        return tuple(partition.share.members or 1 for partition in self.leaders)

    def is_made_for(self, chain: PlannedChain) -> bool:
        """Whether a plan's chain, whose cuts are indices, is cut and shared like this."""
        form = chain.cuts, chain.group_sizes
        return form == (self.cut_indices, self.group_sizes) and not any(self.other_shares(chain))

    def other_shares(self, chain: PlannedChain) -> Iterator[tuple[Partition, PlannedStage]]:
        """The stages of a plan's chain, cut like this splitting, that say of their groups other shares than are made; with the
        leaders' partitions."""
        for leader, stage in zip(self.leaders, chain.stages):
            made = planned_segments(leader)
            if stage.segments and made and not are_alike(stage.segments, made, leader.stop_op):
                yield leader, stage

    @property
    def files(self) -> list[ModelFile]:
        """All that boards need."""
        return [file for partition in self.partitions for file in partition_files(partition)]

    @property
    def leaving(self) -> Sequence[TensorSpec]:
        """The tensors of an answer, in the frame's order."""
        return self.leaders[-1].leaving


def list_splittings(manifest: Manifest) -> tuple[BundleSplitting, ...]:
    """All splittings of a manifest, in its order."""
    return tuple(
        BundleSplitting(index, deployment_id(manifest, index), splitting.partitions)
        for index, splitting in enumerate(manifest.splittings)
    )


def planned_segments(leader: Partition) -> tuple[PlannedSegment, ...]:
    """How a group shares a partition; empty where one board has all of it, or nobody has said."""
    return tuple(PlannedSegment(s.by, tuple(s.shares), s.stop_op) for s in leader.share.segments)


def deployment_id(manifest: Manifest, splitting_index: int = 0) -> str:
    """Names a splitting's version: its model's name and a hash of everything the boards depend on.

    Measured times, and the plan of a group's shares, are not part of it: the same parts of the same model are the same
    deployment, split however often and beside whatever other splittings.
    """
    digest = hashlib.sha256()
    for partition in manifest.splittings[splitting_index].partitions:
        digest.update(as_loaded(partition).SerializeToString(deterministic=True))
    return f"{manifest.model_name}-{digest.hexdigest()[:12]}"
