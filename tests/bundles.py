"""Bundles made from the zoo's models, without TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle import Bundle, BundleWriter
from converter.batched_conversion import Conversion, convert_batched
from converter.convert import convert_to_tflite
from converter.split_model import LoadedModel, SplitRequest, split_model
from converter.splitting_writer import Groups
from protos.v1.manifest_pb2 import ImageInput
from runtime import load_runtime
from tests import zoo
from tests.zoo import cache
from transport.tensor_spec import Array


def make_bundle(
    out: Path,
    name: str,
    mode: str,
    *,
    parts: int | None = None,
    cut_lists: Sequence[Sequence[str]] = ((),),
    batch: int = 1,
    groups: Sequence[Groups] = (),
    taps: Sequence[str] = (),
    taps_boundaries: bool = False,
) -> Bundle:
    """Splits a zoo model into a new bundle at `out`; without `parts` and `cut_lists` it has one partition."""
    sample = zoo.inputs(name) if batch == 1 else None
    return split_file(
        out,
        zoo_file(name, mode),
        parts=parts,
        cut_lists=cut_lists,
        sample=sample,
        batch=batch,
        groups=groups,
        taps=taps,
        taps_boundaries=taps_boundaries,
    )


def split_file(
    out: Path,
    model: Path,
    *,
    parts: int | None = None,
    cut_lists: Sequence[Sequence[str]] = ((),),
    sample: Mapping[str, Array] | None = None,
    batch: int = 1,
    groups: Sequence[Groups] = (),
    image_input: ImageInput | None = None,
    labels: Sequence[str] = (),
    taps: Sequence[str] = (),
    taps_boundaries: bool = False,
) -> Bundle:
    """Splits a .tflite file into a new bundle at `out`."""
    request = SplitRequest(
        model,
        "tflite",
        "as-is",
        parts,
        cut_lists,
        groups=groups,
        image_input=image_input,
        labels=labels,
        taps_boundaries=taps_boundaries,
    )
    runtime = load_runtime()
    with BundleWriter(out) as writer, tempfile.TemporaryDirectory() as work_dir:
        converted = convert_batched(
            Conversion(model), batch, work_dir=Path(work_dir), runtime=runtime, on_progress=ignore_progress
        )
        return split_model(
            LoadedModel.from_converted(converted).tapped(taps), request, writer, runtime, sample, ignore_progress
        )


def load_zoo_model(name: str, mode: str) -> LoadedModel:
    """A zoo model as the `split` command holds it between converting and cutting."""
    return load_model(zoo_file(name, mode))


def load_model(path: Path) -> LoadedModel:
    """A .tflite file as the `split` command holds it between converting and cutting."""
    return LoadedModel.from_converted(convert_to_tflite(path, work_dir=path.parent, on_progress=ignore_progress))


def zoo_file(name: str, mode: str) -> Path:
    """Where a zoo model lies, after making it if it is missing."""
    zoo.load(name, mode)
    return cache.model_path(cache.default_directory(), name, mode)


def ignore_progress(what: str, share: float | None) -> None:
    """Hears progress and shows nothing."""
