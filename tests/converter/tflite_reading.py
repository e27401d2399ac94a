"""Reads `.tflite` files and worker answers for the converter's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from converter.layer_names import locate_layers
from converter.worker_request import ANSWER_FILE, TFLITE_FILE, WorkerAnswer

_TYPE_NAMES = {value: name for name, value in vars(schema.TensorType).items()}
_OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items()}


class Converted:
    """What the worker left in one work directory."""

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / TFLITE_FILE
        self.answer = WorkerAnswer.from_json((work_dir / ANSWER_FILE).read_text())
        self.model = schema.ModelT.InitFromPackedBuf(self.path.read_bytes(), 0)
        self.graph = self.model.subgraphs[0]

    def op_types(self) -> list[str]:
        codes = (self.model.operatorCodes[op.opcodeIndex] for op in self.graph.operators)
        return [_OP_NAMES[max(x.builtinCode, x.deprecatedBuiltinCode)] for x in codes]

    def dtypes(self) -> dict[str, str]:
        """Returns the tensor type of each signature input and output."""
        signature = self.model.signatureDefs[0]
        return {
            end.name.decode(): _TYPE_NAMES[self.graph.tensors[end.tensorIndex].type]
            for end in [*signature.inputs, *signature.outputs]
        }

    def shapes(self) -> dict[str, list[int]]:
        signature = self.model.signatureDefs[0]
        return {
            end.name.decode(): list(self.graph.tensors[end.tensorIndex].shape)
            for end in [*signature.inputs, *signature.outputs]
        }

    def located(self) -> dict[str, int]:
        names = [[self.graph.tensors[index].name.decode() for index in op.outputs] for op in self.graph.operators]
        return locate_layers(names, self.answer.layers, self._constant_ops())

    def _constant_ops(self) -> list[int]:
        return [
            op_index
            for op_index, op in enumerate(self.graph.operators)
            if all(index < 0 or self._is_constant(index) for index in op.inputs)
        ]

    def _is_constant(self, tensor_index: int) -> bool:
        data = self.model.buffers[self.graph.tensors[tensor_index].buffer].data
        return data is not None and len(data) > 0

    def values(self, data: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Returns the first output of every operator for a single-input model."""
        interpreter = Interpreter(
            str(self.path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(self.graph.inputs[0], data)
        interpreter.invoke()
        return [np.array(interpreter.get_tensor(op.outputs[0])) for op in self.graph.operators]
