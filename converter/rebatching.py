"""Makes a .tflite file for one sample into one for several, and proves the answers to be the same, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converter.errors import BatchError
from partitioning import Graph, Operator, PartitionSpec, extract_partition
from partitioning.batch_operands import batched_operands, broadcast_operands
from partitioning.rebatching import BatchedCopy
from partitioning.subgraphs import called_subgraphs
from runtime import ComputeError, ModelLoadError, Runner, TfliteRuntime, TfliteRuntimeError
from transport.tensor_spec import Array

# Of the largest number in the answer. No difference has been seen on x86-64, but kernels are free to add up several rows in
# another order; an answer that belongs to another row is off by far more.
FLOAT_TOLERANCE = 1e-4
# Of dynamic-range operators, which round what floats gave; integer arithmetic has no order.
INTEGER_TOLERANCE = 1.0


@dataclass(frozen=True)
class BatchedFile:
    """A file for several samples.

    Attributes:
        largest_difference: between its answers and the single file's to the same samples, 0 if all bits are equal; of
            floats as a share of the largest number, of integers in steps.
    """

    data: bytes
    largest_difference: float


def rebatch(data: bytes, batch: int, sample: Mapping[int, Array], runtime: TfliteRuntime, threads: int) -> BatchedFile:
    """The model for `batch` samples at once: the same weights and scales, other shapes.

    Every operator is run for the samples one by one and together, so the operator that cannot be batched has a name.
    Args:
        data: a file whose inputs have 1 as first dimension.
        sample: input tensors of `batch` rows each, by tensor index.
    Raises: BatchError: the model cannot take several samples, or its answers to them are others. ModelFormatError: damaged.
    """
    graph = Graph.from_bytes(data)
    _check_graph(graph)
    walk = _Walk(graph, batch, sample, runtime, threads)
    for op in graph.operators:
        walk.step(op)
    batched = walk.copy.to_bytes()
    try:
        answers = Runner(runtime, batched, threads).run([sample[t] for t in graph.inputs])
    except (ComputeError, ModelLoadError) as error:
        raise BatchError(f"the model cannot take {batch} samples at once: {_reason(error)}") from error
    return BatchedFile(batched, max(walk.check_output(t, answer) for t, answer in zip(graph.outputs, answers)))


def compare_rows(
    single: bytes, batched: bytes, rows: Mapping[str, Array], runtime: TfliteRuntime, threads: int = 1
) -> float:
    """The largest difference between the answers of two files of one model, one for a sample and one for several.

    Args:
        rows: inputs of all samples, by the signature's name or the tensor's.
    Raises: BatchError: other answers, other inputs or other outputs.
    """
    count = len(next(iter(rows.values())))
    by_row = [{n: a[row : row + 1] for n, a in rows.items()} for row in range(count)]
    one_by_one = _answers(single, by_row, runtime, threads)
    together = _answers(batched, [rows], runtime, threads)[0]
    differences = {
        n: row_difference(answer, [row[n] for row in one_by_one])
        for n, answer in together.items()
        if n in one_by_one[0]
    }
    wrong = sorted({*one_by_one[0]} - {n for n, found in differences.items() if found is not None})
    if wrong:
        raise BatchError(
            f"converted for {count} samples, the model gives other answers than to each alone in {', '.join(wrong)}."
        )
    return max(found for found in differences.values() if found is not None)


def _answers(
    data: bytes, frames: Sequence[Mapping[str, Array]], runtime: TfliteRuntime, threads: int
) -> list[dict[str, Array]]:
    """Output arrays by name, of each frame."""
    graph, runner = Graph.from_bytes(data), Runner(runtime, data, threads)
    names = {t: graph.aliases.get(t, graph.tensors[t].name) for t in (*graph.inputs, *graph.outputs)}
    answers = [runner.run([values[names[t]] for t in graph.inputs]) for values in frames]
    return [{names[t]: array for t, array in zip(graph.outputs, answer)} for answer in answers]


class _Walk:
    """Runs a graph operator by operator for single samples and for all together, and corrects the copy on the way."""

    def __init__(
        self, graph: Graph, batch: int, sample: Mapping[int, Array], runtime: TfliteRuntime, threads: int
    ) -> None:
        self.copy = BatchedCopy(graph)
        self._graph, self._batch, self._runtime, self._threads = graph, batch, runtime, threads
        self._together = dict(sample)
        self._single = {t: np.split(rows, batch) for t, rows in sample.items()}
        self._suspect: Operator | None = None
        for tensor in graph.tensors:
            if tensor.tensor_index in sample or (tensor.is_variable and tensor.usual_shape[:1] == (1,)):
                self.copy.set_shape(tensor.tensor_index, (batch, *tensor.usual_shape[1:]))

    def step(self, op: Operator) -> None:
        """One operator. Raises: BatchError: the runtime cannot run it for several samples."""
        inputs = tuple(dict.fromkeys(t for t in op.inputs if not self._graph.tensors[t].is_variable))
        spec = PartitionSpec(op.op_index, op.op_index + 1, inputs, op.outputs, inputs, op.outputs)
        self.copy.set_operands(op.source_index, batched_operands(self._graph, op, self._batch, self._is_batched))
        own = self._reshape(op)
        if any(map(self._is_batched, inputs)):
            for t in op.outputs:  # as it will be, as a rule: a delegate looks at it before the operator does
                self.copy.set_shape(t, _times(self._graph.tensors[t].usual_shape, self._batch))
        try:
            alone = Runner(self._runtime, extract_partition(self._graph, spec), self._threads)
            rows = [alone.run([self._single[t][row] for t in inputs]) for row in range(self._batch)]
            part = extract_partition(self.copy.graph(), replace(spec, inputs=tuple(own)))
            together = Runner(self._runtime, part, self._threads).run(list(own.values()))
        except (ComputeError, ModelLoadError) as error:
            raise BatchError(f"{self._name(op)} cannot take {self._batch} samples at once: {_reason(error)}") from error
        holds_samples = op.kind != "SHAPE" and any(map(self._is_batched, inputs))
        for position, t in enumerate(op.outputs):
            self._single[t], self._together[t] = [row[position] for row in rows], together[position]
            self.copy.set_shape(t, together[position].shape)
            if self._suspect is None and holds_samples and row_difference(self._together[t], self._single[t]) is None:
                self._suspect = op
        self._forget(op)

    def check_output(self, tensor_index: int, answer: Array) -> float:
        """The largest difference in an output of the whole file. Raises: BatchError: other answers than to each alone."""
        rows = self._single[tensor_index]
        difference = row_difference(answer, rows)
        if difference is None or (self._suspect is not None and (difference or not are_distinct(rows))):
            culprit = "" if self._suspect is None else f", since {self._name(self._suspect)} does not keep them apart"
            raise BatchError(
                f"the model gives other answers to {self._batch} samples at once than to each alone{culprit}."
            )
        return difference

    def _reshape(self, op: Operator) -> dict[int, Array]:
        """What the copy's operator reads, by tensor index: reshaped where broadcasting needs it."""
        raws = self.copy.model.subgraphs[0].operators
        for position, shape in broadcast_operands(self._graph, op, self._batch, self._is_batched).items():
            source = int(raws[op.source_index].inputs[position])
            self._together[self.copy.reshape_operand(op.source_index, position, shape)] = self._together[
                source
            ].reshape(shape)
        read = dict.fromkeys(int(t) for t in raws[op.source_index].inputs)
        return {t: self._together[t] for t in read if t in self._together}

    def _is_batched(self, tensor_index: int) -> bool:
        together, single = self._together.get(tensor_index), self._single.get(tensor_index)
        if together is None or not single or not single[0].ndim:
            return False
        return bool(together.shape == _times(single[0].shape, self._batch) != single[0].shape)

    def _forget(self, op: Operator) -> None:
        for t in {*op.inputs, *op.outputs}:
            if self._graph.last_use.get(t, -1) <= op.op_index:
                self._single.pop(t, None)
                self._together.pop(t, None)

    def _name(self, op: Operator) -> str:
        outputs = ", ".join(self._graph.tensors[t].name for t in op.outputs)
        return f"operator {op.op_index} ({op.kind}, which computes {outputs})"


def _check_graph(graph: Graph) -> None:
    """Raises: BatchError: naming every place that is known to fail before anything is run."""
    inputs = [graph.tensors[t] for t in graph.inputs if graph.tensors[t].usual_shape[:1] != (1,)]
    if inputs:
        named = ", ".join(f"{t.name} {list(t.usual_shape)}" for t in inputs)
        raise BatchError(f"these inputs are not of one sample: {named}; expected 1 as their first dimension.")
    raws = graph.model.subgraphs[0].operators
    loops = [op for op in graph.operators if called_subgraphs(raws[op.source_index])]
    if loops:
        named = ", ".join(f"{op.op_index} ({op.kind})" for op in loops)
        raise BatchError(f"operators that run other graphs of the file cannot be batched: {named}.")
    odd = [t for op in graph.operators for t in op.outputs if graph.tensors[t].dtype is None]
    if odd:
        named = ", ".join(f"{graph.tensors[t].name} ({graph.tensors[t].type_name})" for t in odd)
        raise BatchError(f"tensors without a fixed element size cannot be batched: {named}.")


def _reason(error: TfliteRuntimeError) -> str:
    """What the runtime said, without the advice for files that somebody else made."""
    return " ".join(str(error.__cause__ or error).split())


def _times(shape: Sequence[int], batch: int) -> tuple[int, ...]:
    return (shape[0] * batch, *shape[1:]) if shape else ()


def row_difference(together: Array, rows: Sequence[Array]) -> float | None:
    """The largest difference between rows computed together and one by one, 0 if the bits are equal; None: other answers.

    Of floats as a share of the largest number, of integers in steps.
    """
    if not rows[0].ndim or together.shape != _times(rows[0].shape, len(rows)):
        return None
    alone = np.concatenate(rows)
    if together.tobytes() == alone.tobytes():
        return 0.0
    if not np.issubdtype(alone.dtype, np.floating):
        steps = float(np.max(np.abs(together.astype(np.float64) - alone.astype(np.float64))))
        return steps if steps <= INTEGER_TOLERANCE else None
    same = (together == alone) | (np.isnan(together) & np.isnan(alone))  # infinities have no gap
    gap = np.where(same, 0.0, np.abs(together.astype(np.float64) - np.where(same, 0.0, alone)))
    largest = float(np.max(np.abs(alone), initial=0.0, where=np.isfinite(alone)))
    # Other bits of the same number, -0.0 for 0.0, are no difference that can be measured, but one.
    share = max(float(np.max(gap)) / (largest or 1.0), np.finfo(np.float64).tiny)
    return share if share <= FLOAT_TOLERANCE else None


def are_distinct(rows: Sequence[Array]) -> bool:
    """Whether no two rows are equal, so that an exchange of them would be seen."""
    return len({row.tobytes() for row in rows}) == len(rows)
