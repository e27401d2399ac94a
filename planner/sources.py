"""Opens what a user calls the model: a bundle, whose whole model is planned for, or a .tflite file."""

from __future__ import annotations

from pathlib import Path

from bundle import Bundle, open_bundle
from bundle.directory import MANIFEST_NAME
from partitioning import Graph, ModelFormatError
from partitioning.ordering import narrowed, reorder
from partitioning.taps import with_named_taps
from planner.errors import SourceError
from planner.model import PlannerModel


def open_model(path: Path) -> PlannerModel:
    """The model to plan for, its operators in the order that its bundle counts them.

    Raises: BundleError: damaged. SourceError: a damaged .tflite file, or neither that nor a bundle.
    """
    if (path / MANIFEST_NAME).is_file():
        return model_of_bundle(open_bundle(path))
    if path.is_file() and path.suffix == ".tflite":
        return PlannerModel.from_graph(path.stem, narrowed(_read_graph(path)))
    if not path.exists():
        raise SourceError(f"there is nothing at {path}, expected a bundle or a .tflite file.")
    raise SourceError(
        f"{path} is neither a bundle nor a .tflite file. Make a bundle of a Keras model or SavedModel, for these boards or in any "
        f"number of parts: python -m converter split {path} --boards boards.yaml --out parts/"
    )


def _read_graph(path: Path) -> Graph:
    try:
        return Graph.from_bytes(path.read_bytes())
    except (ModelFormatError, OSError) as error:
        raise SourceError(f"{path} cannot be used: {error}") from error


def model_of_bundle(bundle: Bundle) -> PlannerModel:
    """The bundle's whole model. Raises: OrderError: the manifest's order is not one of its operators."""
    manifest = bundle.manifest
    graph = Graph.from_bytes(bundle.file_path(manifest.whole).read_bytes())
    if manifest.operator_order:
        by_source = {op.source_index: op.op_index for op in graph.operators}
        graph = reorder(graph, [by_source.get(source, -1) for source in manifest.operator_order])
    graph = with_named_taps(graph, [spec.name for spec in manifest.taps])
    return PlannerModel.from_graph(manifest.model_name, graph)
