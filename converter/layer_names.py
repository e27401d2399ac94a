"""Finds, for each Keras layer, the TFLite operator after which its output exists."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from partitioning.taps import LayerOutputs

_TRAILING_DIGITS = re.compile(r"\d+$")
# The name that the converter gives a Keras 2 LSTM, whatever the layer is called.
_FUSED_LSTM = re.compile(r"^tfl\.unidirectional_sequence_lstm\d*$")
_BEFORE_FIRST_OP = -1
# Layers whose work the converter may merge into the operator of the layer before them.
_FOLDABLE_CLASSES = frozenset(
    {
        "Activation",
        "BatchNormalization",
        "Dropout",
        "ELU",
        "Flatten",
        "GaussianDropout",
        "GaussianNoise",
        "LeakyReLU",
        "Permute",
        "ReLU",
        "Rescaling",
        "Reshape",
        "Softmax",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    }
)


@dataclass(frozen=True)
class KerasLayer:
    """A layer of a Keras model and how to recognise its operators in a converted file.

    Attributes:
        name: the layer's name; in a nested model `outer/inner`.
        class_name: the Keras class, such as `Conv2D`.
        inbound: names of the layers whose outputs it takes, without repetition.
        scopes: the name scopes in which TensorFlow put its nodes, one per call of the layer,
            such as `functional_1/conv2d_1`. Empty for a layer that does nothing at inference.
        output_tensors: names of the model's output tensors that this layer produces. The
            converter names these by position (`StatefulPartitionedCall:0`), not by layer.
    """

    name: str
    class_name: str
    inbound: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    output_tensors: tuple[str, ...] = ()


def locate_layers(
    op_output_names: Sequence[Sequence[str]],
    layers: Sequence[KerasLayer],
    constant_ops: Collection[int] = (),
) -> dict[str, int]:
    """Returns for each layer the index of the operator after which its output exists.

    A tensor's name lists the parts that were fused into it, separated by ";"; each part is a
    path. A layer's operator is the last one with a part that lies in one of the layer's scopes.
    TensorFlow makes scopes unique by suffixes that look like Keras's own (`conv2d` becomes
    `conv2d_1`, a name that another layer may have), so scopes are recorded when the model is
    traced and never guessed from the layer's name.

    A layer without an operator of its own (Dropout, a batch normalisation folded into a
    convolution) stands where its latest inbound layer stands; inputs stand at -1, before the
    first operator. A layer called several times stands at its last call.

    Args:
        op_output_names: per operator in execution order, the names of its output tensors.
        layers: in an order in which inbound layers come first.
        constant_ops: indices of operators that have only constant inputs, such as the
            DEQUANTIZE of float16 weights. They bear a layer's name but compute nothing of it.
    """
    names_of_op = [() if op_index in constant_ops else names for op_index, names in enumerate(op_output_names)]
    last_op = _last_op_by_path(names_of_op)
    op_of = _own_ops(layers, last_op, op_output_names)
    located: dict[str, int] = {}
    for layer in layers:
        own = op_of[layer.name]
        inherited = max((located[name] for name in layer.inbound), default=_BEFORE_FIRST_OP)
        located[layer.name] = inherited if own is None else own
    return located


def find_outputs(op_output_names: Sequence[Sequence[str]], layers: Sequence[KerasLayer]) -> LayerOutputs:
    """Returns which layers' outputs are results of operators, and into which layer others were fused.

    Of the layers that one operator computes, it gives the last one's output. A layer that does nothing at inference gives
    what the layer before it gives. Arguments as for `locate_layers`.
    """
    op_of = _own_ops(layers, _last_op_by_path(op_output_names), op_output_names)
    last_of = {op_index: name for name, op_index in op_of.items()}
    held: dict[str, int] = {}
    fused: dict[str, str] = {}
    for layer in layers:
        op_index = op_of[layer.name]
        if op_index is None and layer.class_name == "InputLayer":
            held[layer.name] = _BEFORE_FIRST_OP
        elif op_index is not None and last_of[op_index] == layer.name:
            held[layer.name] = op_index
        elif op_index is not None:
            fused[layer.name] = last_of[op_index]
        elif not layer.scopes and len(layer.inbound) == 1 and layer.inbound[0] in held:
            held[layer.name] = held[layer.inbound[0]]
        else:
            fused[layer.name] = ""
    return LayerOutputs(held, fused)


def _own_ops(
    layers: Sequence[KerasLayer], last_op: dict[str, int], op_output_names: Sequence[Sequence[str]]
) -> dict[str, int | None]:
    """By layer's name, in the layers' order; None for one without an operator of its own."""
    op_of = {layer.name: _own_op(layer, last_op) for layer in layers}
    _assign_fused_lstms(op_of, layers, op_output_names)
    _assign_folded_outputs(op_of, layers)
    return op_of


def _last_op_by_path(op_output_names: Sequence[Sequence[str]]) -> dict[str, int]:
    last_op: dict[str, int] = {}
    for op_index, names in enumerate(op_output_names):
        for name in names:
            for path in _paths_in(name):
                last_op[path] = op_index
    return last_op


def _paths_in(tensor_name: str) -> Iterator[str]:
    """Yields every run of components of every part of the name: `a/b;c` gives a, a/b, b, c."""
    for part in tensor_name.split(";"):
        components = part.split("/")
        for start in range(len(components)):
            for stop in range(start + 1, len(components) + 1):
                yield "/".join(components[start:stop])
            # The converter makes tensor names unique by appending digits to the last component.
            yield _TRAILING_DIGITS.sub("", "/".join(components[start:]))


def _own_op(layer: KerasLayer, last_op: dict[str, int]) -> int | None:
    return _latest(last_op.get(path) for path in layer.scopes + layer.output_tensors)


def _latest(op_indices: Iterable[int | None]) -> int | None:
    return max((index for index in op_indices if index is not None), default=None)


def _assign_fused_lstms(
    op_of: dict[str, int | None],
    layers: Sequence[KerasLayer],
    op_output_names: Sequence[Sequence[str]],
) -> None:
    """Gives nameless fused LSTM operators, in order, to the LSTM layers that have none."""
    waiting = [x.name for x in layers if x.class_name == "LSTM" and op_of[x.name] is None]
    fused = [
        op_index for op_index, names in enumerate(op_output_names) if any(_FUSED_LSTM.match(name) for name in names)
    ]
    if len(waiting) == len(fused):
        op_of.update(zip(waiting, fused))


def _assign_folded_outputs(op_of: dict[str, int | None], layers: Sequence[KerasLayer]) -> None:
    """Gives a model output's operator also to the layers that were folded into it.

    Within the model a fused operator names its layers (`relu/Relu;conv/convolution`), but an
    output's name is replaced, and with it the convolution's only mention:

        conv -> batch_normalization -> relu -> output    one operator, `StatefulPartitionedCall:0`
    """
    by_name = {layer.name: layer for layer in layers}
    for output in layers:
        if not output.output_tensors:
            continue
        folded = []
        layer = output
        while layer.class_name in _FOLDABLE_CLASSES and len(layer.inbound) == 1:
            layer = by_name[layer.inbound[0]]
            if op_of[layer.name] is not None or layer.class_name == "InputLayer":
                break  # the layer before is in sight, so nothing is missing
            folded.append(layer)
        else:
            op_of.update((layer.name, op_of[output.name]) for layer in folded)
