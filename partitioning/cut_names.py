"""Turns what a user calls a cut (index, tensor name, Keras layer name) into cut indices."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from partitioning.cuts import Cut
from partitioning.errors import CutError
from partitioning.graph import Graph

_SUGGESTIONS = 5


def resolve_cuts(
    graph: Graph, cuts: Sequence[Cut], names: Sequence[str], layers: Mapping[str, int] | None = None
) -> list[int]:
    """Cut indices for the given names, which must be in execution order.

    A name is a cut index ("12"), a Keras layer name (the cut comes after the operator that holds the layer's output) or
    the name of a tensor that an operator computes (the cut comes after that operator). In a file without `layers`, a
    layer name is looked for among the path components of tensor names.
    Args:
        layers: Keras layer name -> op_index after which its output exists; -1 for inputs.
    Raises: CutError: unknown (with near matches), repeated, out of order, at the model's end, or an illegal cut.
    """
    resolved = [_resolve(graph, name.strip(), layers or {}) for name in names]
    for (left, a), (right, b) in zip(zip(names, resolved), zip(names[1:], resolved[1:])):
        if left == right:
            raise CutError(f"cut name {left!r} was given twice. Drop one.")
        if a == b:
            raise CutError(
                f"cut names {left!r} and {right!r} mean the same cut ({a}): the converter fused what lies between them into one "
                "operator, or both name one place. Drop one."
            )
        if a > b:
            raise CutError(
                f"cut names must follow the order of execution: {left!r} (cut {a}) was given before {right!r} (cut {b}). "
                f"Write them as {','.join(n for _, n in sorted(zip(resolved, names)))}."
            )
    for name, index in zip(names, resolved):
        obstacle = cuts[index - 1].obstacle
        if obstacle is not None:
            raise CutError(f"nothing can be cut at {name!r} (cut {index}): {obstacle}. {_nearest_legal(cuts, index)}")
    return resolved


def name_components(tensor_name: str) -> list[str]:
    """Parts of a TFLite tensor name in which a layer's name may stand: fused parts (';'), scopes ('/')."""
    return [c for part in tensor_name.split(";") for c in part.split("/") if c]


def _resolve(graph: Graph, name: str, layers: Mapping[str, int]) -> int:
    n_ops = len(graph.operators)
    if name.isdecimal():
        if not 1 <= int(name) < n_ops:
            raise CutError(f"cut index {name} does not exist: this model has cuts 1 to {n_ops - 1}.")
        return int(name)
    op_index = layers.get(name)
    if op_index is None:
        op_index = _op_of_tensor(graph, name)
    if op_index is None:
        raise CutError(_unknown(graph, name, layers))
    if op_index < 0:
        raise CutError(f"{name!r} is an input of the model: there is nothing before it to cut off.")
    if op_index + 1 >= n_ops:
        raise CutError(f"{name!r} is the end of the model: there is nothing after it to cut off.")
    return op_index + 1


def _op_of_tensor(graph: Graph, name: str) -> int | None:
    for t in graph.inputs:
        if graph.tensors[t].name == name or graph.aliases.get(t) == name:
            return -1
    mentions = None
    for op in graph.operators:
        for t in op.outputs:
            if graph.tensors[t].name == name:
                return op.op_index
            if name in name_components(graph.tensors[t].name):
                mentions = op.op_index
    return mentions


def _unknown(graph: Graph, name: str, layers: Mapping[str, int]) -> str:
    known = list(layers)
    for op in graph.operators:
        for t in op.outputs:
            tensor_name = graph.tensors[t].name
            known += [tensor_name, *name_components(tensor_name)]
    near = difflib.get_close_matches(name, dict.fromkeys(known), n=_SUGGESTIONS, cutoff=0.5)
    hint = f"Near matches: {', '.join(near)}." if near else "Nothing has a similar name."
    return (
        f"cut name {name!r} is neither a layer, a tensor nor a cut index of this model. {hint} "
        "The `cuts` command lists all of them."
    )


def _nearest_legal(cuts: Sequence[Cut], index: int) -> str:
    legal = sorted((c.cut_index for c in cuts if c.obstacle is None), key=lambda c: abs(c - index))
    return (
        f"The nearest legal cuts are {', '.join(map(str, sorted(legal[:2])))}."
        if legal
        else "This model has no legal cut."
    )
