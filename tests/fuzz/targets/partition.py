"""TFLite files: all that is done with one before a runtime sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from partitioning import Graph, extract_partition, list_cuts, plan_partitions
from partitioning.errors import PartitioningError
from partitioning.runtime_floor import read_runtime_floor
from tests.fuzz.target import Run, Target
from tests.partitioning import sample_models

_MODELS = (
    sample_models.relu_chain(["x", "y", "z"]),
    sample_models.table_lookup(),
    sample_models.loop(),
    sample_models.accumulator(),
    sample_models.bit_of_everything(),
)


def _seeds() -> Iterator[bytes]:
    return (model.build() for model in _MODELS)


def _start(_scratch: Path) -> AbstractContextManager[Run]:
    return nullcontext(_read)


def _read(data: bytes) -> None:
    graph = Graph.from_bytes(data)
    assert graph.aliases is not None
    read_runtime_floor(graph)
    for cut in list_cuts(graph):
        assert cut.crossing_bytes is not None
        for spec in plan_partitions(graph, [cut.cut_index]):
            extract_partition(graph, spec)


TARGET = Target("partition", _start, (PartitioningError,), _seeds, (b"TFL3", b"\xff\xff\xff\x7f"), max_bytes=2**14)
