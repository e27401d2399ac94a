"""The graph of one TFLite file as the rest of the package sees it: tensors, operators and what links them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from partitioning.errors import ModelFormatError
from partitioning.references import check_references
from partitioning.tflite_schema import OPERATOR_KINDS, TENSOR_TYPES, indices, read_model, text

Array = np.ndarray[Any, Any]

# Types whose elements have a fixed size, the only ones that can travel. FLOAT32 first: the schema's own order.
_NUMPY_TYPES = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "FLOAT64": np.float64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
}
# Same inputs do not give same outputs, or the operator acts on something outside its tensors: never copied.
IMPURE_KINDS = frozenset(
    "RANDOM_UNIFORM RANDOM_STANDARD_NORMAL MULTINOMIAL IF WHILE CALL CALL_ONCE VAR_HANDLE READ_VARIABLE "
    "ASSIGN_VARIABLE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE CUSTOM".split()
)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the main graph.

    `name` is unique within the graph. `shape` has -1 where the size is known only at run time; `usual_shape` has what
    the file holds there (1, as a rule). `dtype` is None for types without a fixed element size (strings, resources).
    `scale` is None unless the whole tensor has one scale.
    """

    tensor_index: int
    name: str
    type_name: str
    shape: tuple[int, ...]
    usual_shape: tuple[int, ...]
    scale: float | None
    zero_point: int
    is_constant: bool
    is_variable: bool

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The element type, or None if elements have no fixed size."""
        numpy_type = _NUMPY_TYPES.get(self.type_name)
        return None if numpy_type is None else np.dtype(numpy_type)

    @property
    def size_bytes(self) -> int:
        """Bytes of one value of the usual shape; 0 if elements have no fixed size."""
        return 0 if self.dtype is None else self.dtype.itemsize * math.prod(self.usual_shape)


@dataclass(frozen=True)
class Operator:
    """One operator that computes on frames; `source_index` is its place in the file's operator list."""

    op_index: int
    source_index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The main graph of a TFLite file, in the file's execution order.

    An operator whose inputs are all constant (the DEQUANTIZE of a float16 weight, say) is not in `operators`: it gives
    the same result wherever it runs, so every partition that reads the result has a copy of it. Cutting between it and
    its reader would send a weight with every frame and deprive the reader's kernel of a constant operand.
    """

    model: Any = field(repr=False)  # the schema's ModelT, never changed after construction
    tensors: tuple[Tensor, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    # Constant-folding operators: tensor index -> index in the file's operator list.
    constant_producers: dict[int, int] = field(repr=False)
    # Tensors that leave with the outputs, whatever reads them; see `partitioning.taps`.
    taps: tuple[int, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes) -> Graph:
        """Reads the graph of a TFLite file.

        Raises: ModelFormatError: not a TFLite file, corrupt, or without an operator.
        """
        model = read_model(data)
        check_references(model)
        graph = _build(model)
        _check_order(graph)
        return graph

    @cached_property
    def producer(self) -> dict[int, int]:
        """Tensor index -> op_index that computes it; model inputs and constants are absent."""
        return {t: op.op_index for op in self.operators for t in op.outputs}

    @property
    def leaving(self) -> tuple[int, ...]:
        """What a frame holds after the last operator: the outputs in the model's order, then the taps, each once."""
        return tuple(dict.fromkeys((*self.outputs, *self.taps)))

    @cached_property
    def last_use(self) -> dict[int, int]:
        """Tensor index -> last op_index that reads it; len(operators) for what leaves the model."""
        uses = {t: op.op_index for op in self.operators for t in op.inputs}
        uses.update(dict.fromkeys(self.leaving, len(self.operators)))
        return uses

    def constant(self, tensor_index: int) -> Array | None:
        """The values that the file holds, in the tensor's shape and dtype; None for what is computed or has no fixed size."""
        tensor = self.tensors[tensor_index]
        data = self.model.buffers[self.model.subgraphs[0].tensors[tensor_index].buffer].data
        if not tensor.is_constant or tensor.dtype is None:
            return None
        values: Array = np.asarray(data, np.uint8).view(tensor.dtype).reshape(tensor.usual_shape)
        return values

    @cached_property
    def aliases(self) -> dict[int, str]:
        """Tensor index -> the name that the model's signature gives to this input or output."""
        found: dict[int, str] = {}
        # The first signature of the main graph; a file may have others, of other graphs.
        for signature in [s for s in self.model.signatureDefs or [] if s.subgraphIndex == 0][:1]:
            for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
                found.setdefault(entry.tensorIndex, text(entry.name))
        return found


def _build(model: Any) -> Graph:
    main = model.subgraphs[0]
    tensors = _read_tensors(model, main)
    model_inputs = tuple(int(t) for t in indices(main.inputs))
    constant = {t.tensor_index for t in tensors if t.is_constant}.difference(model_inputs)
    constant_producers: dict[int, int] = {}
    operators: list[Operator] = []
    for source_index, raw in enumerate(main.operators or []):
        inputs = tuple(int(t) for t in indices(raw.inputs) if t >= 0)  # -1 is an optional input left out
        outputs = tuple(int(t) for t in indices(raw.outputs) if t >= 0)
        kind = operator_kind(model, raw)
        if inputs and kind not in IMPURE_KINDS and constant.issuperset(inputs):
            constant.update(outputs)
            constant_producers.update(dict.fromkeys(outputs, source_index))
            continue
        frame_inputs = tuple(t for t in inputs if t not in constant)
        operators.append(Operator(len(operators), source_index, kind, frame_inputs, outputs))
    if not operators:
        raise ModelFormatError("the TFLite graph has no operator that computes on its inputs: nothing to run.")
    return Graph(
        model=model,
        tensors=tensors,
        operators=tuple(operators),
        inputs=model_inputs,
        outputs=tuple(int(t) for t in indices(main.outputs)),
        constant_producers=constant_producers,
    )


def _check_order(graph: Graph) -> None:
    """Raises ModelFormatError unless each tensor is computed once, and before it is read: cuts are places in that order."""
    computed = [*graph.constant_producers, *(t for op in graph.operators for t in op.outputs)]
    twice = [t for t, count in Counter(computed).items() if count > 1]
    late = [t for op in graph.operators for t in op.inputs if graph.producer.get(t, -1) >= op.op_index]
    for offenders, fault in ((twice, "computed more than once"), (late, "read before they are computed")):
        if offenders:
            names = ", ".join(sorted({graph.tensors[t].name for t in offenders}))
            raise ModelFormatError(f"the TFLite file is corrupt: tensors are {fault}: {names}. Convert it again.")


def operator_kind(model: Any, raw: Any) -> str:
    """The operator's kind in the schema's spelling, "CONV_2D" for instance."""
    code = model.operatorCodes[raw.opcodeIndex]
    # Old files have the kind in the byte-sized field, new ones in both, kinds over 127 in the wide one only.
    return OPERATOR_KINDS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "UNKNOWN")


def _read_tensors(model: Any, subgraph: Any) -> tuple[Tensor, ...]:
    names = _unique_names([text(raw.name) or "tensor" for raw in subgraph.tensors or []])
    return tuple(_read_tensor(model, index, raw, names[index]) for index, raw in enumerate(subgraph.tensors or []))


def _unique_names(originals: Sequence[str]) -> list[str]:
    """Each name once: the first tensor of a name keeps it, later ones get "#", their index, and "#" until it is new."""
    names = list(originals)
    seen: set[str] = set()
    taken = set(originals)  # what a later tensor is called in the file is not given to an earlier one
    for index, name in enumerate(originals):
        if name in seen:
            unique = f"{name}#{index}"
            while unique in taken:
                unique += "#"
            names[index] = unique
            taken.add(unique)
        seen.add(name)
    return names


def _read_tensor(model: Any, index: int, raw: Any, name: str) -> Tensor:
    usual_shape = tuple(int(n) for n in indices(raw.shape))
    signature = tuple(int(n) for n in indices(raw.shapeSignature))
    scales = indices(raw.quantization.scale) if raw.quantization is not None else []
    zero_points = indices(raw.quantization.zeroPoint) if raw.quantization is not None else []
    data = model.buffers[raw.buffer].data
    return Tensor(
        tensor_index=index,
        name=name,
        type_name=TENSOR_TYPES.get(raw.type, f"type {raw.type}"),
        shape=signature or usual_shape,
        usual_shape=usual_shape,
        scale=float(scales[0]) if len(scales) == 1 and scales[0] > 0 else None,
        zero_point=int(zero_points[0]) if len(zero_points) == 1 else 0,
        is_constant=data is not None and len(data) > 0,
        is_variable=bool(raw.isVariable),
    )
