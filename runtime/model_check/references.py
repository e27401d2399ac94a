"""Whether the numbers in a model name what it has: tensors, buffers, operators, subgraphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runtime.errors import MalformedModelError
from runtime.model_check.layout import TYPES
from runtime.model_check.structure import Table

_SCHEMA_VERSION = 3
_MOST_DIMENSIONS = 32
_OPTIONS = ("BuiltinOptions", "BuiltinOptions2")
_SUBGRAPH_ENDINGS = ("Subgraph", "SubgraphIndex", "SubgraphIndices")


def check_references(model: Table, file_bytes: int) -> None:
    """Raises MalformedModelError, which names a number that names nothing, a graph that calls itself, or data beyond the file."""
    if model.number("Version") != _SCHEMA_VERSION:
        raise MalformedModelError.because(
            f"it is of schema version {model.number('Version')}; expected {_SCHEMA_VERSION}."
        )
    if model.count("ExternalBufferGroups") or model.count("ExternalBuffers"):
        raise MalformedModelError.because("its weights are in other files; a partition must hold its own.")
    n_buffers, n_codes, n_subgraphs = (model.count(f) for f in ("Buffers", "OperatorCodes", "Subgraphs"))
    if not n_subgraphs or not n_codes or not n_buffers:
        raise MalformedModelError.because("it holds no graph, no operators or no buffers.")
    for index, buffer in enumerate(model.tables("Buffers")):
        _check_outside(f"buffer {index}", buffer.number("Offset"), buffer.number("Size"), file_bytes)
    for metadata in model.tables("Metadata"):
        _check_indices("a metadata entry names buffer", [metadata.number("Buffer")], n_buffers)
    n_tensors, calls = [], []
    for index, graph in enumerate(model.tables("Subgraphs")):
        n_tensors.append(graph.count("Tensors"))
        _check_tensors(f"of graph {index}", graph, n_buffers)
        calls.append(_check_graph(f"graph {index}", graph, n_codes, n_subgraphs, file_bytes))
    _check_calls(calls)
    for signature in model.tables("SignatureDefs"):
        graph_index = signature.number("SubgraphIndex")
        _check_indices("a signature names graph", [graph_index], n_subgraphs)
        for field in ("Inputs", "Outputs"):
            named = [entry.number("TensorIndex") for entry in signature.tables(field)]
            _check_indices("a signature names tensor", named, n_tensors[graph_index])


def _check_tensors(where: str, graph: Table, n_buffers: int) -> None:
    for index, tensor in enumerate(graph.tables("Tensors")):
        _check_indices(f"tensor {index} {where} names buffer", [tensor.number("Buffer")], n_buffers)
        if tensor.number("Type") not in TYPES:
            raise MalformedModelError.because(
                f"tensor {index} {where} is of type {tensor.number('Type')}, which is not known."
            )
        for field in ("Shape", "ShapeSignature"):
            if tensor.count(field) > _MOST_DIMENSIONS:
                raise MalformedModelError.because(f"tensor {index} {where} has {tensor.count(field)} dimensions.")
            if any(n < -1 for n in tensor.numbers(field)):
                raise MalformedModelError.because(
                    f"tensor {index} {where} has a negative dimension: {list(tensor.numbers(field))}."
                )


def _check_graph(where: str, graph: Table, n_codes: int, n_subgraphs: int, file_bytes: int) -> set[int]:
    """The graphs that it calls."""
    n_tensors = graph.count("Tensors")
    for field in ("Inputs", "Outputs"):
        _check_indices(f"{where} names tensor", graph.numbers(field), n_tensors)
    called: set[int] = set()
    for index, operator in enumerate(graph.tables("Operators")):
        what = f"operator {index} of {where}"
        _check_indices(f"{what} names kind", [operator.number("OpcodeIndex")], n_codes)
        for field in ("Inputs", "Outputs", "Intermediates"):
            given = [n for n in operator.numbers(field) if n != -1]  # one that is left out
            _check_indices(f"{what} names tensor", given, n_tensors)
        large = operator.number("LargeCustomOptionsOffset"), operator.number("LargeCustomOptionsSize")
        _check_outside(what, *large, file_bytes)
        called.update(_called(operator))
        _check_indices(f"{what} calls graph", called, n_subgraphs)
    return called


def _called(operator: Table) -> Iterator[int]:
    for field in _OPTIONS:
        options = operator.union(field)
        if options is not None:
            for ending in _SUBGRAPH_ENDINGS:
                yield from options.indices(ending)


def _check_calls(calls: list[set[int]]) -> None:
    """The runtime prepares graphs that call one another in a loop until its stack is full."""
    state = [0] * len(calls)  # 1: on the way, 2: done
    for start in range(len(calls)):
        waiting = [start]
        while waiting:
            index = waiting[-1]
            if state[index] == 0:
                state[index] = 1
                if any(state[n] == 1 for n in calls[index]):
                    raise MalformedModelError.because(f"graph {index} calls itself, directly or through others.")
                waiting.extend(n for n in calls[index] if state[n] == 0)
            else:
                state[index] = 2
                waiting.pop()


def _check_outside(what: str, offset: int, size: int, file_bytes: int) -> None:
    """Large constants lie behind the flatbuffer; an offset of 0 or 1 is none."""
    if offset > 1 and offset + size > file_bytes:
        raise MalformedModelError.because(f"{what} ends at byte {offset + size}, and the file at {file_bytes}.")


def _check_indices(what: str, indices: Iterable[int], count: int) -> None:
    for index in indices:
        if not 0 <= index < count:
            raise MalformedModelError.because(f"{what} {index}, and there are {count}.")
