"""Turns a model of any supported kind into one `.tflite` file for several samples at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from converter.calibration import load_calibration
from converter.convert import ConvertedModel, convert_to_tflite
from converter.errors import BatchError
from converter.model_source import SourceKind, recognise_model
from converter.rebatching import are_distinct, compare_rows, rebatch
from converter.sample import make_sample
from converter.tflite_signature import read_signature
from converter.worker_process import OnProgress
from partitioning import Graph
from protos.v1.manifest_pb2 import ImageInput
from runtime import TfliteRuntime
from transport.tensor_spec import Array

_FILE = "batched.tflite"


@dataclass(frozen=True)
class Conversion:
    """What to convert and how; as the arguments of `convert_to_tflite`."""

    model: Path
    quantize: str = "none"
    calibration: Path | None = None
    input_shapes: Mapping[str, Sequence[int]] | None = None
    image_input: ImageInput = field(default_factory=ImageInput)

    def run(self, work_dir: Path, on_progress: OnProgress, batch: int = 1) -> ConvertedModel:
        """Raises: see `convert_to_tflite`."""
        return convert_to_tflite(
            self.model,
            quantize=self.quantize,
            calibration=self.calibration,
            batch=batch,
            input_shapes=self.input_shapes,
            image_input=self.image_input,
            work_dir=work_dir,
            on_progress=on_progress,
        )


def convert_batched(
    conversion: Conversion,
    batch: int,
    *,
    work_dir: Path,
    runtime: TfliteRuntime,
    on_progress: OnProgress,
    threads: int = 1,
) -> ConvertedModel:
    """The model as one `.tflite` file that takes `batch` samples at once; with a batch of 1, what `convert_to_tflite` gives.

    The model is converted and quantised for one sample, so weights and scales are those that it has without a batch; a
    calibration in batches differs in the scales' last bits. The file is then changed and compared (`converter.rebatching`).
    A Keras model or SavedModel whose file cannot be changed, for its recurrent layers, is converted once more, for a batch.
    Raises: BatchError: it takes no batch, or its answers would be others. And what `convert_to_tflite` raises.
    """
    single = conversion.run(work_dir, on_progress)
    if batch == 1:
        return single
    data = single.tflite.read_bytes()
    graph = Graph.from_bytes(data)
    if all(graph.tensors[t].usual_shape[:1] == (batch,) for t in graph.inputs):
        return replace(_require_rows(conversion, single, graph, batch), batch=batch)
    given = _load_rows(conversion, single.tflite, batch)
    on_progress(f"making room for {batch} samples", None)
    rows = make_sample(_with_batch(graph, batch), given)
    if not all(
        are_distinct(list(array)) for array in rows.values()
    ):  # too few samples to tell one row's answer from another's
        rows = make_sample(_with_batch(graph, batch), None)
    try:
        batched = rebatch(data, batch, rows, runtime, threads)
    except BatchError as error:
        if recognise_model(conversion.model).kind is SourceKind.TFLITE:
            raise BatchError(
                f"{conversion.model}: {error} Split it without --batch, or give the original model."
            ) from error
        return _convert_again(conversion, single, batch, _by_name(graph, rows), given, work_dir, runtime, on_progress)
    file = work_dir / _FILE
    file.write_bytes(batched.data)
    return replace(
        single, tflite=file, calibration_sample=given, batch=batch, batch_difference=batched.largest_difference
    )


def _require_rows(conversion: Conversion, single: ConvertedModel, graph: Graph, batch: int) -> ConvertedModel:
    """Of a file made for the batch elsewhere. Raises: BatchError: an output that has no row for each sample."""
    outputs = [graph.tensors[t] for t in graph.outputs]
    odd = [f"{t.name} {list(t.usual_shape)}" for t in outputs if not t.usual_shape or t.usual_shape[0] % batch]
    if odd:
        raise BatchError(
            f"{conversion.model} takes {batch} samples, but these outputs have no row for each: {', '.join(odd)}. "
            "Split it without --batch."
        )
    return single


def _convert_again(
    conversion: Conversion,
    single: ConvertedModel,
    batch: int,
    rows: Mapping[str, Array],
    given: dict[str, Array] | None,
    work_dir: Path,
    runtime: TfliteRuntime,
    on_progress: OnProgress,
) -> ConvertedModel:
    """For graphs that are written differently for several samples. Raises: BatchError: the answers are others."""
    again = work_dir / "again"
    again.mkdir(exist_ok=True)
    converted = conversion.run(again, on_progress, batch)
    difference = compare_rows(single.tflite.read_bytes(), converted.tflite.read_bytes(), rows, runtime)
    return replace(converted, calibration_sample=given, batch=batch, batch_difference=difference)


def _load_rows(conversion: Conversion, tflite: Path, batch: int) -> dict[str, Array] | None:
    """The first samples of the calibration data, `batch` of them in each array; repeated where there are fewer."""
    if conversion.calibration is None:
        return None
    inputs = [replace(spec, shape=(batch, *spec.shape[1:])) for spec in read_signature(tflite)[0]]
    return load_calibration(conversion.calibration, inputs, limit=batch, image_input=conversion.image_input)[0]


def _with_batch(graph: Graph, batch: int) -> Graph:
    """The graph with inputs of `batch` samples: for what looks at the inputs only."""
    tensors = list(graph.tensors)
    for t in graph.inputs:
        shape = (batch, *tensors[t].usual_shape[1:])
        tensors[t] = replace(tensors[t], shape=shape, usual_shape=shape)
    return replace(graph, tensors=tuple(tensors))


def _by_name(graph: Graph, rows: Mapping[int, Array]) -> dict[str, Array]:
    return {graph.aliases.get(t, graph.tensors[t].name): array for t, array in rows.items()}
