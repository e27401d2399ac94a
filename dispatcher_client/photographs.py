"""Photographs to a chain of boards, and the classes that it sees in them.

with Dispatcher(bundle="parts/", boards="boards.yaml") as chain:
    for seen in classify_photographs(chain, ["cat.jpg", "dog.jpg"]):
        print(seen.path, seen.classes[0].label, seen.error)

Needs Pillow: pip install 'boardline[photographs]'.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bundle.errors import PhotographError
from bundle.labels import count_classes
from bundle.photographs import list_photographs, photograph_values, read_photograph
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.errors import InputError
from dispatcher_client.values import Answer, named_answer, public_name
from protos.v1.manifest_pb2 import Manifest
from transport.tensor_spec import Array, numpy_dtype

if TYPE_CHECKING:
    from PIL import Image

TOP = 5


@dataclass(frozen=True)
class SeenClass:
    """A class and how much the model is for it; `label` is its number where the bundle has no labels."""

    index: int
    label: str
    score: float


@dataclass(frozen=True)
class SeenPhotograph:
    """A photograph's classes, the likeliest first; or none, and the error that says why."""

    path: Path
    classes: tuple[SeenClass, ...] = ()
    error: str = ""


def as_input(manifest: Manifest, photograph: Image.Image | npt.NDArray[np.uint8]) -> Array:
    """What `Dispatcher.infer` takes for an image.

    Args: photograph: an image of Pillow's, or (H, W) or (H, W, 3) uint8 in the order RGB.
    Returns: one input of the model's; real numbers if it is quantised, the dispatcher knows its scale.
    Raises: InputError: the bundle does not say how, or such an image cannot be taken.
    """
    require_image_input(manifest)
    try:
        return _shaped(manifest, photograph_values(photograph, manifest.image_input))
    except (TypeError, ValueError) as error:
        raise InputError(f"the image cannot become an input: {error}.") from error


def read_input(manifest: Manifest, path: Path) -> Array:
    """As `as_input`, of a file. Raises: PhotographError: it cannot be read. InputError: as `as_input`."""
    require_image_input(manifest)
    return _shaped(manifest, read_photograph(path, manifest.image_input))


def best_classes(manifest: Manifest, answer: Answer, count: int = TOP) -> tuple[SeenClass, ...]:
    """The classes of a single answer, the likeliest first; taps are left aside.

    Raises: InputError: the model does not tell classes apart.
    """
    n_classes = require_classifier(manifest)
    scores = named_answer(manifest, answer)[public_name(manifest.outputs[0])].reshape(n_classes)
    labels = manifest.labels or [str(index) for index in range(n_classes)]
    best = np.argsort(-scores.astype(np.float64), kind="stable")[
        :count
    ]  # whole numbers may have no negative of their own
    return tuple(SeenClass(int(index), labels[index], float(scores[index])) for index in best)


def classify_photographs(
    chain: Dispatcher, paths: Iterable[str | os.PathLike[str]], count: int = TOP
) -> Iterator[SeenPhotograph]:
    """Streams photographs through the chain; what was seen, in their order. One that cannot be read is given with its error.

    Raises: InputError: the bundle does not say how images become the input, or its model tells no classes apart; and what
        `Dispatcher.stream` raises.
    """
    manifest = chain.manifest
    require_image_input(manifest)
    require_classifier(manifest)
    taken: deque[SeenPhotograph] = deque()  # the stream takes them on a thread of its own, ahead of their answers

    def inputs() -> Iterator[Array]:
        for path in map(Path, paths):
            try:
                values = read_input(manifest, path)
            except PhotographError as error:
                taken.append(SeenPhotograph(path, error=str(error)))
            else:
                taken.append(SeenPhotograph(path))
                yield values

    for answer in chain.stream(inputs()):
        while (seen := taken.popleft()).error:
            yield seen
        yield replace(seen, classes=best_classes(manifest, answer, count))
    yield from taken


def find_photographs(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and of directories the images below them, by path. Raises: InputError: a directory without any."""
    found: list[Path] = []
    for path in paths:
        inside = list(list_photographs(path)) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path} holds no images. Expected files such as .jpg or .png below it.")
        found += inside
    return found


def require_image_input(manifest: Manifest) -> None:
    """Raises: InputError: the bundle does not say how images become the model's input."""
    if not manifest.HasField("image_input"):
        raise InputError(
            "the bundle does not say how images become the model's input. Split the model again with --images PRESET|FILE: "
            "see docs/photographs.md."
        )


def require_classifier(manifest: Manifest) -> int:
    """The number of classes. Raises: InputError: the model does not tell classes apart."""
    n_classes = count_classes(manifest.outputs)
    if n_classes is None:
        outputs = ", ".join(f"{spec.alias or spec.name} {list(spec.shape)}" for spec in manifest.outputs)
        raise InputError(
            f"the model does not tell classes apart: it gives {outputs}, expected one output (N, classes). Read its answers "
            "with Dispatcher.infer: see examples/detect_objects.py."
        )
    return n_classes


def _shaped(manifest: Manifest, values: npt.NDArray[np.float32]) -> Array:
    (spec,) = manifest.inputs
    row = values[np.newaxis] if len(spec.shape) == 4 else values[np.newaxis, ..., 0]
    if spec.HasField("quantization"):
        return row
    dtype = numpy_dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        return row.astype(dtype)
    limits = np.iinfo(dtype)  # pixels, or what stands for them, as whole numbers
    return np.rint(row).clip(limits.min, limits.max).astype(dtype)
