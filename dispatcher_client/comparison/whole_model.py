"""A whole model on this machine that also gives tensors inside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bundle.partition_message import tensor_spec
from dispatcher_client.errors import ComparisonError, InputError
from dispatcher_client.micro_batches import join_batch, single_specs, split_batch
from dispatcher_client.values import arrays_in_order, public_name, to_tensors
from partitioning import Graph
from partitioning.taps import tapped_model, with_taps
from protos.v1.tensor_pb2 import TensorSpec
from runtime import ComputeError, Runner, TfliteRuntime
from transport.tensor_spec import Array, dequantize, numpy_dtype


class WholeModel:
    """Takes one input at a time, whatever batch the model was made for: its further rows are filled with the same input."""

    def __init__(
        self,
        graph: Graph,
        tensors: Collection[int],
        inputs: Sequence[TensorSpec],
        runtime: TfliteRuntime,
        threads: int = 1,
    ) -> None:
        """Loads the model.

        Args:
            tensors: indices of those that are wanted, outputs or not.
            inputs: those of the chain that it is compared with, single ones.
        Raises: InputError: the model has other inputs. ModelLoadError: the runtime refuses it.
        """
        self._chain_inputs = inputs
        wanted = dict.fromkeys(t for t in tensors if t not in graph.outputs)
        self._runner = Runner(runtime, tapped_model(with_taps(graph, tuple(wanted))), threads)
        self._tensors = {graph.tensors[t].name: (t, tensor_spec(graph, t)) for t in tensors}
        ordered = list(dict.fromkeys(graph.inputs))
        rows_each = inputs[0].shape[0] if inputs[0].shape else 1
        self._batch = max(1, _rows(graph, ordered[0]) // max(1, rows_each))
        self._inputs = single_specs([tensor_spec(graph, t) for t in ordered], self._batch)

    def run(self, values: Mapping[str, Array]) -> dict[int, Array]:
        """The wanted tensors by index, for one input, in real numbers.

        Args: values: real or whole numbers by the chain's input names, as `Dispatcher.infer` takes them.
        Raises: InputError: the model takes others. ComparisonError: an operator fails on them.
        """
        try:
            tensors, _ = to_tensors(self._inputs, self._named(values))
        except InputError as error:
            raise InputError(f"the model to compare with does not take what the chain takes: {error}") from error
        by_name = {spec.name: tensor for spec, tensor in zip(self._inputs, tensors)}
        frame = join_batch([by_name], self._batch)
        try:
            outputs = self._runner.run([frame[port.name] for port in self._runner.inputs])
        except ComputeError as error:
            raise ComparisonError(f"the model to compare with cannot compute the input: {error}") from error
        answer = {p.name: o for p, o in zip(self._runner.outputs, outputs) if p.name in self._tensors}
        row = split_batch(answer, self._batch)[0]
        return {t: dequantize(spec, row[name]) for name, (t, spec) in self._tensors.items()}

    def _named(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Real numbers under this model's names. The chain's are its aliases; the only input is the only input."""
        given = {
            public_name(spec): array if np.issubdtype(array.dtype, np.floating) else dequantize(spec, array)
            for spec, array in ((spec, values[spec.name]) for spec in self._chain_inputs)
        }
        if len(given) == len(self._inputs) == 1:
            given = {self._inputs[0].name: next(iter(given.values()))}
        arrays = arrays_in_order(self._inputs, given)
        return {spec.name: _in_its_type(spec, array) for spec, array in zip(self._inputs, arrays)}


def _in_its_type(spec: TensorSpec, array: Array) -> Array:
    """Real numbers of any width for an input of real numbers: what a quantised chain takes."""
    dtype = numpy_dtype(spec.dtype)
    return array.astype(dtype) if np.can_cast(array.dtype, dtype, "same_kind") else array


def _rows(graph: Graph, tensor_index: int) -> int:
    shape = graph.tensors[tensor_index].usual_shape
    return shape[0] if shape else 1
