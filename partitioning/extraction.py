"""Writes a range of a graph's operators as a TFLite file of its own, with the same tensors, scales and constants."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from partitioning.boundaries import PartitionSpec
from partitioning.graph import Graph
from partitioning.references import blockwise_tensors
from partitioning.subgraphs import reachable_subgraphs, with_subgraphs
from partitioning.tflite_schema import AlignedBufferT, indices, schema, write_model

# The one piece of metadata that still holds for a part: the oldest runtime that knows all operator versions.
_KEPT_METADATA = b"min_runtime_version"


def extract_partition(graph: Graph, spec: PartitionSpec) -> bytes:
    """The partition as a TFLite file.

    Its inputs and outputs are `spec.inputs` and `spec.outputs`, in that order and under the graph's unique names. Shapes,
    types and quantisation are those of the whole model, so the runtime's kernels get exactly the same operands.
    """
    source = graph.model
    main = source.subgraphs[0]
    chosen = {op.source_index for op in graph.operators[spec.start_op : spec.stop_op]}
    chosen |= constant_operators(graph, [main.operators[i] for i in chosen], spec.outputs)
    raws = [main.operators[i] for i in sorted(chosen)]
    names = {t.tensor_index: t.name for t in graph.tensors}
    return pack_operators(
        source, raws, spec.inputs, spec.outputs, names, f"operators {spec.start_op} to {spec.stop_op}"
    )


def pack_operators(
    model: Any, raws: Sequence[Any], inputs: Sequence[int], outputs: Sequence[int], names: Mapping[int, str], what: str
) -> bytes:
    """A TFLite file of some operators of a model's main graph, with the tensors, buffers and subgraphs that they use.

    Args:
        model: the schema's `ModelT`, which stays as it is.
        raws: the operators (`OperatorT`), in their order.
        inputs, outputs: tensor indices of the main graph.
        names: of tensors, by index; others keep theirs.
        what: for the file's description.
    """
    packer = _Packer(model)
    inner = reachable_subgraphs(model, list(raws))
    renumbered = {old: new for new, old in enumerate(inner, start=1)}
    packer.add_subgraph(model.subgraphs[0], raws, inputs, outputs, renumbered, names)
    for index in inner:
        subgraph = model.subgraphs[index]
        packer.add_subgraph(subgraph, subgraph.operators or [], subgraph.inputs, subgraph.outputs, renumbered, {})
    return write_model(packer.finish(what))


def constant_operators(graph: Graph, raws: Sequence[Any], outputs: Sequence[int]) -> set[int]:
    """File indices of the constant-folding operators that these operators or outputs need, directly or not."""
    operators = graph.model.subgraphs[0].operators
    needed: set[int] = set()
    waiting = [*outputs, *(t for raw in raws for t in indices(raw.inputs))]
    while waiting:
        source_index = graph.constant_producers.get(int(waiting.pop()))
        if source_index is not None and source_index not in needed:
            needed.add(source_index)
            waiting.extend(operators[source_index].inputs)
    return needed


class _Packer:
    """Collects operators with the tensors, buffers and operator codes that they use, renumbered from zero."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._buffers: list[Any] = [AlignedBufferT()]  # buffer 0 is the empty one by the schema's rule
        self._new_buffer: dict[int, int] = {0: 0}
        self._codes: list[Any] = []
        self._new_code: dict[int, int] = {}
        self._subgraphs: list[Any] = []

    def add_subgraph(
        self,
        subgraph: Any,
        raws: Sequence[Any],
        inputs: Any,
        outputs: Any,
        renumbered: dict[int, int],
        names: Mapping[int, str],
    ) -> None:
        """Adds a subgraph made of `raws` only, with the tensors they touch."""
        new_tensor: dict[int, int] = {-1: -1}
        tensors: list[Any] = []

        def tensor(old: int) -> int:
            old = int(old)
            if old not in new_tensor:
                new_tensor[old] = len(tensors)
                copied = self._copy_tensor(subgraph.tensors[old], names.get(old))
                tensors.append(copied)
                _renumber_scales(copied, tensor)
            return new_tensor[old]

        def all_of(old: Any) -> list[int]:
            return [tensor(t) for t in indices(old)]

        part = schema.SubGraphT(name=subgraph.name)
        part.inputs = all_of(inputs)
        part.operators = [self._copy_operator(raw, all_of, renumbered) for raw in raws]
        part.outputs = all_of(outputs)
        part.tensors = tensors
        self._subgraphs.append(part)

    def finish(self, what: str) -> Any:
        """The finished `ModelT`."""
        model = schema.ModelT(version=self._source.version)
        model.description = f"boardline partition: {what}"
        model.metadata = [self._copy_metadata(m) for m in self._source.metadata or [] if m.name == _KEPT_METADATA]
        model.subgraphs, model.operatorCodes, model.buffers = self._subgraphs, self._codes, self._buffers
        return model

    def _copy_operator(self, raw: Any, all_of: Any, renumbered: dict[int, int]) -> Any:
        raw = with_subgraphs(raw, renumbered.__getitem__)
        raw.opcodeIndex = self._code(raw.opcodeIndex)
        raw.inputs, raw.outputs = all_of(raw.inputs), all_of(raw.outputs)
        raw.intermediates = all_of(raw.intermediates)
        raw.debugMetadataIndex = -1
        return raw

    def _copy_tensor(self, tensor: Any, name: str | None) -> Any:
        tensor = copy.copy(tensor)
        tensor.buffer = self._buffer(tensor.buffer)
        tensor.name = tensor.name if name is None else name
        return tensor

    def _copy_metadata(self, metadata: Any) -> Any:
        metadata = copy.copy(metadata)
        metadata.buffer = self._buffer(metadata.buffer)
        return metadata

    def _buffer(self, old: int) -> int:
        # A tensor without data keeps a buffer of its own where it had one: sharing would make variables alias.
        if old not in self._new_buffer:
            self._new_buffer[old] = len(self._buffers)
            self._buffers.append(AlignedBufferT(self._source.buffers[old].data))
        return self._new_buffer[old]

    def _code(self, old: int) -> int:
        if old not in self._new_code:
            self._new_code[old] = len(self._codes)
            self._codes.append(self._source.operatorCodes[old])
        return self._new_code[old]


def _renumber_scales(tensor: Any, renumber: Callable[[int], int]) -> None:
    """Has a blockwise quantised tensor, a copy, find its scales at their new place; the original stays as it is."""
    references = blockwise_tensors(tensor)
    if references:
        tensor.quantization = copy.copy(tensor.quantization)
        tensor.quantization.details = copy.copy(tensor.quantization.details)
        for field, index in references.items():
            setattr(tensor.quantization.details, field, renumber(index))
