"""Checks that every index in a TFLite file points at something, so that what reads the graph later need not doubt it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from partitioning.errors import ModelFormatError
from partitioning.subgraphs import called_subgraphs
from partitioning.tflite_schema import indices


def check_references(model: Any) -> None:
    """Raises ModelFormatError, naming the first place, if an index of the schema's `ModelT` points outside its list.

    Constants in another file are refused as well: a partition is one file.
    """
    for subgraph in model.subgraphs:
        tensors = subgraph.tensors or []
        for raw in tensors:
            _require("a tensor names buffer", [raw.buffer], len(model.buffers))
            _require("blockwise scales name tensor", blockwise_tensors(raw).values(), len(tensors))
            if getattr(raw, "externalBuffer", 0):
                raise ModelFormatError(
                    "the model keeps constants in another file (external buffers), which cannot be split. Convert it into one file."
                )
        for raw in subgraph.operators or []:
            _require("an operator names operator code", [raw.opcodeIndex], len(model.operatorCodes))
            for ports in (raw.inputs, raw.outputs, raw.intermediates):
                given = [t for t in indices(ports) if t != -1]  # -1 is an optional tensor left out
                _require("an operator names tensor", given, len(tensors))
            _require("an operator names subgraph", called_subgraphs(raw), len(model.subgraphs))
        for ends in (subgraph.inputs, subgraph.outputs):
            _require("a graph names tensor", indices(ends), len(tensors))
    _require("metadata names buffer", [m.buffer for m in model.metadata or []], len(model.buffers))


def blockwise_tensors(raw: Any) -> dict[str, int]:
    """Field -> tensor index, where a tensor (schema `TensorT`) has its scales in further tensors; else nothing."""
    details = raw.quantization.details if raw.quantization is not None else None
    fields = vars(details) if details is not None else {}
    return {f: int(fields[f]) for f in ("scales", "zeroPoints") if "blockSize" in fields and fields[f] >= 0}


def _require(what: str, chosen: Iterable[int], count: int) -> None:
    for index in chosen:
        if not 0 <= index < count:
            raise ModelFormatError(
                f"the TFLite file is corrupt: {what} {index}, it has {count} of them. Convert or copy it again."
            )
