"""Records in which TensorFlow name scope each Keras layer puts its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from converter.layer_names import KerasLayer
from converter.tensorflow_worker.keras_graph import GraphLayer


class LayerTrace:
    """Watches the calls of layers while a model is traced into a graph.

    TensorFlow makes every scope unique with suffixes that look like Keras's own (`conv2d` turns
    into `conv2d_1`, which may be another layer's name), so scopes are observed, not derived.
    """

    def __init__(self, layers: Sequence[GraphLayer]) -> None:
        self._layers = layers
        self._scopes: dict[str, list[str]] = {}
        self._outputs: dict[str, list[str]] = {}
        for entry in layers:
            if hasattr(entry.layer, "call"):
                self._watch(entry)

    def restart(self) -> None:
        """Forgets what was seen; call it at the start of each trace, of which the last counts."""
        self._scopes.clear()
        self._outputs.clear()

    def layers(self) -> tuple[KerasLayer, ...]:
        """Returns the layers with the scopes that the last trace showed."""
        return tuple(
            KerasLayer(
                name=entry.name,
                class_name=type(entry.layer).__name__,
                inbound=entry.inbound,
                scopes=tuple(dict.fromkeys(self._scopes.get(entry.name, ()))),
            )
            for entry in self._layers
        )

    def outputs_of_layers(self, output_of_tensor: dict[str, str]) -> tuple[tuple[str, ...], ...]:
        """Returns per layer the names of the model's outputs that it produced itself."""
        return tuple(
            tuple(
                dict.fromkeys(
                    output_of_tensor[tensor]
                    for tensor in self._outputs.get(entry.name, ())
                    if tensor in output_of_tensor
                )
            )
            for entry in self._layers
        )

    def _watch(self, entry: GraphLayer) -> None:
        original = entry.layer.call

        def call(*args: Any, **kwargs: Any) -> Any:
            outputs = original(*args, **kwargs)
            self._record(entry, _tensor_names((args, kwargs)), _tensor_names(outputs))
            return outputs

        entry.layer.call = tf.autograph.experimental.do_not_convert(call)

    def _record(self, entry: GraphLayer, inputs: list[str], outputs: list[str]) -> None:
        produced = [name for name in outputs if name not in inputs]
        if not produced:
            return  # Dropout at inference, for one: the output is the input
        self._outputs.setdefault(entry.name, []).extend(produced)
        scope = tf.get_current_name_scope()
        # A bare operation such as `x + y` opens no scope of its own.
        has_scope = _belongs_to(scope, entry.layer.name)
        found = [scope] if has_scope else [name.split(":")[0] for name in produced]
        self._scopes.setdefault(entry.name, []).extend(found)


def _belongs_to(scope: str, layer_name: str) -> bool:
    last = scope.rsplit("/", 1)[-1]
    return last == layer_name or last.startswith(f"{layer_name}_")


def _tensor_names(structure: Any) -> list[str]:
    flat = tf.nest.flatten(structure, expand_composites=True)
    return [tensor.name for tensor in flat if tf.is_symbolic_tensor(tensor)]
