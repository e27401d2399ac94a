"""Names and static shapes of a model's signature."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow.lite.python import schema_py_generated as schema

from converter.errors import OptionError
from converter.worker_request import WorkerRequest

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_]")


def argument_names(names: Sequence[str]) -> list[str]:
    """Returns the names as TensorFlow will spell them in a signature, made unique.

    TensorFlow changes other characters to "_" by itself; doing it here keeps the names known.
    """
    taken: list[str] = []
    for name in names:
        clean = _FORBIDDEN.sub("_", name)
        clean = clean if clean[:1].isalpha() else f"arg_{clean}"
        taken.append(unique_name(clean, taken))
    return taken


def unique_name(name: str, taken: Sequence[str]) -> str:
    """Returns the name, with the first free suffix `_1`, `_2`, ... if it is taken."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def fixed_shapes(
    request: WorkerRequest, shapes: Mapping[str, Sequence[int | None] | None]
) -> dict[str, tuple[int, ...]]:
    """Returns each input's shape with the batch and the request's dimensions filled in.

    Args:
        shapes: per input its shape in the source, batch first, None where open; None as a whole
            where even the rank is unknown.

    Raises:
        OptionError: dimensions stay open; given shapes contradict the model or name no input.
    """
    given = {argument_names([name])[0]: shape for name, shape in request.input_shapes.items()}
    unknown = sorted(set(given) - set(shapes))
    if unknown:
        raise OptionError(
            f"input shapes given for {', '.join(unknown)}, which the model does not have. "
            f"Its inputs are {', '.join(sorted(shapes))}."
        )
    filled = {name: _fill(name, shape, given.get(name), request.batch) for name, shape in shapes.items()}
    still_open = [f"{name} {_text(shape)}" for name, shape in filled.items() if None in shape]
    if still_open:
        raise OptionError(
            f"inputs with open dimensions (None) besides the batch: {'; '.join(still_open)}. "
            "Small boards need fixed sizes: give these inputs' shapes, without the batch."
        )
    return {name: tuple(int(size or 0) for size in shape) for name, shape in filled.items()}


def _fill(
    name: str, shape: Sequence[int | None] | None, given: Sequence[int] | None, batch: int
) -> tuple[int | None, ...]:
    if shape is None:
        return (batch, None) if given is None else (batch, *given)
    if not shape:
        return ()
    if shape[0] is not None and batch not in (1, shape[0]):
        raise OptionError(
            f"batch {batch} asked for, but input {name} has the fixed shape {_text(shape)}. "
            f"Leave the batch out or give {shape[0]}."
        )
    rest = tuple(shape[1:])
    if given is not None:
        if len(given) != len(rest) or any(a not in (None, b) for a, b in zip(rest, given)):
            raise OptionError(
                f"input {name} has shape {_text(shape)}; the given {_text(given)} does not fit "
                f"{_text(rest)}, its shape without the batch."
            )
        rest = tuple(given)
    return (batch if shape[0] is None else shape[0], *rest)


def _text(shape: Sequence[int | None]) -> str:
    return f"({', '.join(map(str, shape))})"


def output_tensor_names(content: bytes) -> dict[str, str]:
    """Returns the name of each output's tensor in a `.tflite` file, by signature output name."""
    model: Any = schema.Model.GetRootAs(content, 0)
    tensors = model.Subgraphs(0)
    signature = model.SignatureDefs(0)
    outputs = (signature.Outputs(index) for index in range(signature.OutputsLength()))
    return {output.Name().decode(): tensors.Tensors(output.TensorIndex()).Name().decode() for output in outputs}
