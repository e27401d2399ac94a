"""Taps: tensors inside the model that leave with its outputs, and the names by which they are asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from partitioning.boundaries import partition_between
from partitioning.cut_names import name_components
from partitioning.errors import TapError
from partitioning.extraction import extract_partition
from partitioning.graph import Graph

_SUGGESTIONS = 5


@dataclass(frozen=True)
class LayerOutputs:
    """Where the Keras layers of a model are, of which a file alone knows less.

    Attributes:
        held: layer name -> op_index of the operator whose result is the layer's output.
        fused: layer name -> the layer into whose operator it was fused, or "" if no operator says which.
    """

    held: Mapping[str, int] = field(default_factory=dict)
    fused: Mapping[str, str] = field(default_factory=dict)


def with_taps(graph: Graph, taps: Sequence[int]) -> Graph:
    """The graph with these tensors, by index, leaving beside its outputs. Order and cuts of the operators stay."""
    return replace(graph, taps=tuple(taps))


def with_named_taps(graph: Graph, names: Sequence[str]) -> Graph:
    """As `with_taps`, by the tensors' own names. Raises: TapError: one is computed by no operator."""
    by_name = {graph.tensors[t].name: t for t in graph.producer}
    unknown = sorted(set(names) - set(by_name))
    if unknown:
        raise TapError(f"no operator of the model computes {', '.join(unknown)}. Split the model again.")
    return with_taps(graph, [by_name[name] for name in names])


def tapped_model(graph: Graph) -> bytes:
    """The whole model as one TFLite file that also gives the taps: what taps of partitions are compared with.

    Its outputs are those of `partition_between(graph, 0, len(graph.operators))`.
    """
    return extract_partition(graph, partition_between(graph, 0, len(graph.operators)))


def resolve_taps(graph: Graph, names: Sequence[str], layers: LayerOutputs | None = None) -> list[int]:
    """Tensor indices for names, in the given order.

    A name is a Keras layer's or that of a tensor that an operator computes. In a file without `layers`, a layer's name is
    looked for among the path components of tensor names.
    Raises: TapError: unknown or fused away (with near matches), an input or output of the model, repeated, a layer that has
        several outputs, or a tensor that cannot travel.
    """
    found: dict[int, str] = {}
    for name in names:
        tensor_index = _resolve(graph, name, layers or LayerOutputs())
        if tensor_index in found:
            raise TapError(f"taps {found[tensor_index]!r} and {name!r} name the same tensor. Drop one.")
        found[tensor_index] = name
    return list(found)


def _resolve(graph: Graph, name: str, layers: LayerOutputs) -> int:
    if any(name in (graph.tensors[t].name, graph.aliases.get(t)) for t in graph.inputs):
        raise TapError(f"{name!r} is an input of the model: the application has it already. Drop this tap.")
    exact = next((t for t in graph.producer if name in (graph.tensors[t].name, graph.aliases.get(t))), None)
    if exact is None and name in layers.fused:
        raise TapError(_fused(name, [into] if (into := layers.fused[name]) else [], graph, layers))
    tensor_index = exact
    if tensor_index is None:
        op_index = layers.held.get(name)
        tensor_index = _mentioned(graph, name) if op_index is None else _only_output(graph, name, op_index)
    if tensor_index is None:
        raise TapError(f"tap {name!r} is neither a layer nor a tensor of this model. {_near(graph, name, layers)}")
    if tensor_index in graph.outputs:
        raise TapError(f"{name!r} is an output of the model: it is in every answer already. Drop this tap.")
    tensor = graph.tensors[tensor_index]
    if tensor.dtype is None:
        raise TapError(f"{name!r} ({tensor.type_name}) has no fixed element size and cannot travel. Drop this tap.")
    return tensor_index


def _only_output(graph: Graph, name: str, op_index: int) -> int:
    """Raises: TapError: the layer is an input, or its operator gives several tensors."""
    if op_index < 0:
        raise TapError(f"{name!r} is an input of the model: the application has it already. Drop this tap.")
    outputs = graph.operators[op_index].outputs
    if len(outputs) != 1:
        listed = ", ".join(graph.tensors[t].name for t in outputs) or "none"
        raise TapError(f"layer {name!r} gives {len(outputs)} tensors: {listed}. Tap those that you need by name.")
    return outputs[0]


def _mentioned(graph: Graph, name: str) -> int | None:
    """The last tensor whose name mentions the layer.

    The name of a fused operator's result lists what was fused, the last of it first: only that one's output exists.
    Raises: TapError: the layer was fused into another one's operator, or gives several tensors.
    """
    mentions = [op for op in graph.operators if any(name in name_components(graph.tensors[t].name) for t in op.outputs)]
    if not mentions:
        return None
    tensor_index = _only_output(graph, name, mentions[-1].op_index)
    last = name_components(graph.tensors[tensor_index].name.split(";")[0])
    if name not in last:
        raise TapError(_fused(name, last[-2:-1] or last, graph, LayerOutputs()))
    return tensor_index


def _fused(name: str, into: Sequence[str], graph: Graph, layers: LayerOutputs) -> str:
    if into:
        return (
            f"tap {name!r} was fused away: the converter made one operator of it and {into[0]!r}, and only what comes out of "
            f"that exists. Tap {into[0]!r}."
        )
    return f"tap {name!r} was fused away: no operator of the converted model gives its output. {_near(graph, name, layers)}"


def _near(graph: Graph, name: str, layers: LayerOutputs) -> str:
    known = [*layers.held]
    for t in graph.producer:
        tensor_name = graph.tensors[t].name
        known += [tensor_name, *([] if layers.held else name_components(tensor_name.split(";")[0])[-2:-1])]
    near = difflib.get_close_matches(name, dict.fromkeys(known), n=_SUGGESTIONS, cutoff=0.4)
    hint = f"Near matches: {', '.join(near)}." if near else "Nothing has a similar name."
    return f"{hint} `python -m converter cuts MODEL` lists layers; with --json, tensors, too."
