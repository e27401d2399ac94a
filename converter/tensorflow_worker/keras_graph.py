"""Lists the layers of a Keras model, nested models included, in topological order.

Reads the node graph that Keras 3 and tf_keras (Keras 2) both keep in `_nodes_by_depth`; neither
has a public way to ask which layers feed a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GraphLayer:
    """One layer object and its place in the model."""

    name: str
    layer: Any
    inbound: tuple[str, ...]


def list_layers(model: Any) -> list[GraphLayer]:
    """Returns the layers of a Functional or Sequential model, inbound layers first.

    The layers of a nested model are listed as `outer/inner`, followed by the nested model itself,
    whose inbound layers are those that produce its outputs. A nested model that is called several
    times is listed once, with the inbound layers of all calls.
    """
    return list(_list(model, prefix="", outer_inbound=None))


def _list(model: Any, prefix: str, outer_inbound: tuple[str, ...] | None) -> Iterator[GraphLayer]:
    graph = getattr(model, "_functional", None) or model  # Keras 3's Sequential wraps a Functional
    for layer, sources in _inbound_layers(graph).items():
        inbound = _resolve(sources, prefix, outer_inbound)
        if _is_input(layer):
            if outer_inbound is None:
                yield GraphLayer(layer.name, layer, ())
            continue
        name = prefix + layer.name
        if is_nested_model(layer):
            yield from _list(layer, f"{name}/", inbound)
            inner = getattr(layer, "_functional", None) or layer
            producers = dict.fromkeys(_producer(tensor) for tensor in inner.outputs)
            inbound = _resolve(list(producers), f"{name}/", inbound)
        yield GraphLayer(name, layer, inbound)


def is_nested_model(layer: Any) -> bool:
    """True for a Functional or Sequential model used as a layer."""
    return hasattr(layer, "_nodes_by_depth") or getattr(layer, "_functional", None) is not None


def _inbound_layers(graph: Any) -> dict[Any, list[Any]]:
    """Returns per layer, in topological order, the layers that feed it; layers hash by identity."""
    inbound: dict[Any, list[Any]] = {}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            sources = inbound.setdefault(_layer_of(node), [])
            sources.extend(layer for layer in map(_layer_of, node.parent_nodes) if layer not in sources)
    return inbound


def _resolve(sources: list[Any], prefix: str, outer_inbound: tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns the sources' names; a nested model's input stands for what feeds that model."""
    names: dict[str, None] = {}
    for source in sources:
        inner_input = outer_inbound is not None and _is_input(source)
        names.update(dict.fromkeys(outer_inbound or () if inner_input else (prefix + source.name,)))
    return tuple(names)


def _is_input(layer: Any) -> bool:
    return type(layer).__name__ == "InputLayer"


def _layer_of(node: Any) -> Any:
    return node.operation if hasattr(node, "operation") else node.layer


def _producer(tensor: Any) -> Any:
    return tensor._keras_history[0]
