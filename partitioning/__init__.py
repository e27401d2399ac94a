"""Pure core of the converter: the graph of a TFLite file, its cuts, its partitions and their balance."""

from partitioning.balance import split_minimax
from partitioning.boundaries import PartitionSpec, plan_partitions
from partitioning.cut_names import resolve_cuts
from partitioning.cuts import Cut, list_cuts
from partitioning.errors import (
    CutError,
    InfeasibleSplitError,
    ModelFormatError,
    PartitioningError,
    TapError,
)
from partitioning.extraction import extract_partition
from partitioning.graph import Graph, Operator, Tensor

__all__ = [
    "Cut",
    "CutError",
    "Graph",
    "InfeasibleSplitError",
    "ModelFormatError",
    "Operator",
    "PartitionSpec",
    "PartitioningError",
    "TapError",
    "Tensor",
    "extract_partition",
    "list_cuts",
    "plan_partitions",
    "resolve_cuts",
    "split_minimax",
]
