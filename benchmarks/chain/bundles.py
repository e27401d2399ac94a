"""One bundle that holds every splitting of a model that a benchmark needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.keras_models import photograph_crops
from bundle import Bundle, BundleWriter
from converter.convert import convert_to_tflite
from converter.split_model import LoadedModel, SplitRequest, split_model
from runtime import load_runtime
from transport.tensor_spec import Array


def write_bundle(file: Path, cut_lists: Sequence[Sequence[int]], scratch: Path) -> Bundle:
    """Splits a .tflite file in all these ways, and into one part; the sample is a photograph where the input is an image.

    Args: scratch: an existing directory, for the bundle.
    """
    converted = convert_to_tflite(file, work_dir=scratch, on_progress=lambda what, share: None)
    model = LoadedModel.from_converted(converted)
    cuts = dict.fromkeys(((), *(tuple(map(str, cuts)) for cuts in cut_lists)))
    request = SplitRequest(file, "tflite", "as-is", None, list(cuts))
    with BundleWriter(scratch / f"{file.stem}-bundle") as writer:
        return split_model(model, request, writer, load_runtime(), _photograph(model), lambda what, share: None)


def _photograph(model: LoadedModel) -> dict[str, Array] | None:
    graph = model.graph
    if len(graph.inputs) != 1:
        return None
    tensor = graph.tensors[graph.inputs[0]]
    shape = tensor.usual_shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        return None
    return {graph.aliases.get(graph.inputs[0], tensor.name): photograph_crops(1, (shape[1], shape[2], shape[3]))}
