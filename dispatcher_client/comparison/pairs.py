"""Which tensor of a whole model stands for which one of a chain's: the same name, made by the same kind of operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher_client.micro_batches import single_specs
from dispatcher_client.values import public_name
from partitioning import Graph, TapError
from partitioning.taps import resolve_taps
from protos.v1.manifest_pb2 import Manifest
from protos.v1.tensor_pb2 import TensorSpec

# They give the values that they get, in other numbers.
_RESCALING = frozenset({"QUANTIZE", "DEQUANTIZE"})


@dataclass(frozen=True)
class TensorPair:
    """A tap or output of a chain, and what it is compared with.

    Attributes:
        spec: the chain's, of a single input.
        tensor_index: in the whole model; None where it has nothing that is surely the same.
        reason: why not; else empty.
    """

    spec: TensorSpec
    is_output: bool
    tensor_index: int | None
    reason: str = ""

    @property
    def name(self) -> str:
        """What the application calls it."""
        return public_name(self.spec)


def pair_tensors(manifest: Manifest, own: Graph, whole: Graph) -> list[TensorPair]:
    """A bundle's taps in the order in which they are computed, then its outputs, each with its counterpart.

    A quantised model that was converted from the same source keeps its names; a rescaled tensor stands for the one that was
    rescaled. Where the names differ, the layer's name by which a tap was asked for is looked for.
    Args: own: the bundle's whole model. whole: the one to compare with.
    """
    by_name = {own.tensors[t].name: t for t in own.producer}
    taps = sorted(manifest.taps, key=lambda spec: own.producer[by_name[spec.name]])
    found = [_pair_tap(spec, by_name[spec.name], own, whole) for spec in taps]
    found += [_pair_output(spec, whole, len(manifest.outputs)) for spec in manifest.outputs]
    singles = single_specs([pair.spec for pair in found], manifest.batch or 1)
    return [_with_same_shape(pair, spec, whole) for pair, spec in zip(found, singles)]


def _pair_tap(spec: TensorSpec, tensor_index: int, own: Graph, whole: Graph) -> TensorPair:
    origin = _before_rescaling(own, tensor_index)
    if origin not in own.producer:
        return TensorPair(spec, False, None, "it is an input of the model, in other numbers")
    name, kind = own.tensors[origin].name, own.operators[own.producer[origin]].kind
    index = next((t for t in whole.producer if whole.tensors[t].name == name), None)
    if index is None:
        try:
            (index,) = resolve_taps(whole, [public_name(spec)])
        except TapError:
            return TensorPair(
                spec, False, None, f"the whole model has no tensor {name!r}, nor a layer of the tap's name"
            )
    whole_kind = whole.operators[whole.producer[index]].kind
    if whole_kind != kind:
        return TensorPair(spec, False, None, f"{kind} gives it in the chain, and {whole_kind} in the whole model")
    return TensorPair(spec, False, index)


def _pair_output(spec: TensorSpec, whole: Graph, n_outputs: int) -> TensorPair:
    """By the signature's name, else by the tensor's; the only output is the only output, whatever it is called."""
    outputs = list(dict.fromkeys(whole.outputs))
    if n_outputs == len(outputs) == 1:
        return TensorPair(spec, True, outputs[0])
    by_name: Mapping[str, int] = {
        **{whole.tensors[t].name: t for t in outputs},
        **{whole.aliases[t]: t for t in outputs if t in whole.aliases},
    }
    index = by_name.get(public_name(spec))
    known = ", ".join(sorted(by_name))
    return TensorPair(spec, True, index, "" if index is not None else f"the whole model's outputs are {known}")


def _before_rescaling(graph: Graph, tensor_index: int) -> int:
    while tensor_index in graph.producer:
        operator = graph.operators[graph.producer[tensor_index]]
        if operator.kind not in _RESCALING:
            break
        (tensor_index,) = operator.inputs
    return tensor_index


def _with_same_shape(pair: TensorPair, single: TensorSpec, whole: Graph) -> TensorPair:
    """Without a counterpart of another shape, rows for further inputs left aside, or that cannot be read."""
    index, reason = pair.tensor_index, pair.reason
    if index is not None:
        tensor = whole.tensors[index]
        there, here = list(tensor.usual_shape), list(single.shape)
        if tensor.dtype is None:
            index, reason = None, f"it is {tensor.type_name} in the whole model, which is no number"
        elif len(there) != len(here) or any(a != b and b != -1 for a, b in zip(there[1:], here[1:])):
            index, reason = None, f"its shape is {here} in the chain and {there} in the whole model"
    return TensorPair(single, pair.is_output, index, reason)
