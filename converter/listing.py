"""Cuts and bundles as rows: for tables and, the same rows, for JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bundle import Bundle, BundleSplitting
from bundle.partition_files import partition_bytes, partition_s, partition_sha256
from converter.split_model import LoadedModel
from partitioning.cut_names import name_components
from planner.plot import Segment
from protos.v1.manifest_pb2 import Partition
from protos.v1.tensor_pb2 import DType, TensorSpec


def list_model_cuts(model: LoadedModel) -> list[dict[str, Any]]:
    """One row per position between two operators, legal or not."""
    layer_at: dict[int, str] = {op_index: name for name, op_index in model.layer_ops.items()}
    rows = []
    for cut in model.cuts:
        # An operator that only sets a variable computes no tensor.
        before = model.graph.tensors[cut.before.outputs[0]].name if cut.before.outputs else ""
        rows.append(
            {
                "index": cut.cut_index,
                "operator_before": cut.before.kind,
                "operator_after": cut.after.kind,
                # Where the layers are known, a name that none of them has would mislead; the cut lies inside a layer.
                "layer": layer_at.get(cut.cut_index - 1, "") if layer_at else _likely_layer(before),
                "tensor": before,
                "crossing": [
                    {
                        "name": t.name,
                        "dtype": t.dtype.name if t.dtype is not None else t.type_name.lower(),
                        "shape": list(t.shape),
                        "bytes": t.size_bytes,
                    }
                    for t in cut.crossing
                ],
                "bytes": cut.crossing_bytes,
                "obstacle": cut.obstacle,
            }
        )
    return rows


def list_splittings(bundle: Bundle) -> list[dict[str, Any]]:
    """One row per splitting of a bundle: the deployment that it makes, and its partitions' rows."""
    return [
        {"deployment_id": splitting.deployment_id, "partitions": list_partitions(splitting)}
        for splitting in bundle.splittings
    ]


def segments_of(bundle: Bundle) -> dict[str, list[Segment]]:
    """The partitions of each splitting for a picture, by the deployment that it makes."""
    found = {}
    for splitting in bundle.splittings:
        last = len(splitting.leaders) - 1
        found[splitting.deployment_id] = [
            Segment(
                _title(index, partition),
                partition.start_op,
                partition.stop_op,
                partition.stop_op if index < last else None,
            )
            for index, partition in enumerate(splitting.leaders)
        ]
    return found


def _title(index: int, partition: Partition) -> str:
    time_ms = partition_s(partition) * 1e3
    return f"part {index}" + (f"\n{time_ms:.2f} ms" if time_ms else "")


def list_partitions(splitting: BundleSplitting) -> list[dict[str, Any]]:
    """One row per partition of a splitting."""
    return [
        {
            "part": index,
            "start_op": partition.start_op,
            "stop_op": partition.stop_op,
            "operators": partition.stop_op - partition.start_op,
            "size_bytes": partition_bytes(partition),
            "time_ms": round(partition_s(partition) * 1e3, 3),
            "sha256": partition_sha256(partition),
            "arriving": [_tensor_row(t) for t in partition.arriving],
            "leaving": [_tensor_row(t) for t in partition.leaving],
            "carried": sorted({t.name for t in partition.arriving} & {t.name for t in partition.leaving}),
        }
        for index, partition in enumerate(splitting.partitions)
    ]


def short_tensor(row: dict[str, Any]) -> str:
    """A tensor in few letters: `int8 8x8x16`."""
    return f"{row['dtype']} {'x'.join(map(str, row['shape']))}"


def summarize(rows: list[dict[str, Any]]) -> str:
    """Several tensors in few letters, equal ones counted: `2 x int8 1x8x8x16`."""
    counted = Counter(short_tensor(row) for row in rows)
    return ", ".join(text if n == 1 else f"{n} x {text}" for text, n in counted.items())


def _tensor_row(spec: TensorSpec) -> dict[str, Any]:
    row: dict[str, Any] = {"name": spec.name, "dtype": DType.Name(spec.dtype).lower(), "shape": list(spec.shape)}
    if spec.HasField("quantization"):
        row["scale"] = spec.quantization.scale
        row["zero_point"] = spec.quantization.zero_point
    return row


def _likely_layer(tensor_name: str) -> str:
    """A file without layer names: the scope that the converter left in the tensor's name, its last but one component."""
    components = name_components(tensor_name.split(";")[0])
    return components[-2] if len(components) > 1 else "".join(components)
