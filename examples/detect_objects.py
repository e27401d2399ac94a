"""`python -m examples.detect_objects BUNDLE BOARDS PHOTO PICTURE`: boxes around what boards find in a photograph.

For models with a head as YOLOv5 has it: one output for each scale, (N, height * width * anchors, 5 + classes), of the sigmoids of
x, y, width, height, how sure it is of an object, and each class. Other heads have other formulas: change `decode`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from dispatcher_client import Dispatcher
from dispatcher_client.photographs import as_input

Boxes = npt.NDArray[np.float32]
ANCHOR_SIZES = (1.5, 3.0)  # of this head's two anchors, in cells of its grid; training chooses them
LEAST_SCORE = 0.35
MOST_OVERLAP = 0.45
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0")


@dataclass(frozen=True)
class Found:
    """An object: left, top, width and height in the photograph's pixels, its class, and how sure the model is."""

    box: tuple[float, ...]
    label: str
    score: float


def decode(head: npt.NDArray[np.floating[Any]], size: tuple[int, int]) -> tuple[Boxes, npt.NDArray[np.float32]]:
    """Boxes and scores of one scale.

    Args:
        head: (cells * anchors, 5 + classes), cells row by row, the anchors of a cell one after the other.
        size: width and height of the model's input in pixels; the grid has its proportions.
    Returns: (n, 4) left, top, width, height in pixels of the input, and (n, classes).
    """
    n_cells = len(head) // len(ANCHOR_SIZES)
    stride = math.sqrt(size[0] * size[1] / n_cells)
    rows, columns = np.divmod(np.arange(n_cells).repeat(len(ANCHOR_SIZES)), round(size[0] / stride))
    anchors = np.tile(ANCHOR_SIZES, n_cells)[:, None]
    centres = (2 * head[:, :2] - 0.5 + np.stack([columns, rows], axis=1)) * stride
    sides = (2 * head[:, 2:4]) ** 2 * anchors * stride
    return np.hstack([centres - sides / 2, sides]).astype(np.float32), (head[:, 4:5] * head[:, 5:]).astype(np.float32)


def find_objects(
    heads: Mapping[str, npt.NDArray[np.floating[Any]]], labels: Sequence[str], size: tuple[int, int]
) -> list[Found]:
    """What is left of all scales' boxes when of those that overlap the surest stays; the surest first."""
    decoded = [decode(head[0], size) for head in heads.values()]
    boxes, scores = (np.concatenate(parts) for parts in zip(*decoded))
    classes, best = scores.argmax(axis=1), scores.max(axis=1)
    kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), best.tolist(), classes.tolist(), LEAST_SCORE, MOST_OVERLAP)
    found = [Found(tuple(boxes[k].tolist()), labels[classes[k]], float(best[k])) for k in np.ravel(kept).astype(int)]
    return sorted(found, key=lambda one: -one.score)


def draw(photograph: Image.Image, found: Sequence[Found], labels: Sequence[str]) -> Image.Image:
    """A copy with a box and a label for each object."""
    picture = photograph.convert("RGB")
    pen = ImageDraw.Draw(picture)
    for one in reversed(found):  # the surest on top
        left, top, width, height = one.box
        colour = _COLOURS[list(labels).index(one.label) % len(_COLOURS)]
        pen.rectangle((left, top, left + width, top + height), outline=colour, width=3)
        text, place = f"{one.label} {one.score:.2f}", (max(0.0, left), max(0.0, top - 12))
        pen.rectangle(pen.textbbox(place, text), fill=colour)
        pen.text(place, text, fill="white")
    return picture


def main(bundle: str, boards: str, photo: str, picture: str) -> None:
    """Prints what is found and writes the picture. The bundle was split with --images (fit: stretch) and --labels."""
    photograph = ImageOps.exif_transpose(Image.open(photo))  # as the model gets it
    with Dispatcher(bundle, boards) as chain:
        manifest = chain.manifest
        heads = chain.infer(as_input(manifest, photograph))
    assert isinstance(heads, dict), "a detector has an output for each scale"
    size = (manifest.image_input.width, manifest.image_input.height)
    zoom = np.tile([photograph.width / size[0], photograph.height / size[1]], 2)
    found = [
        Found(tuple((np.array(one.box) * zoom).tolist()), one.label, one.score)
        for one in find_objects(heads, manifest.labels, size)
    ]
    for one in found:
        print(f"{one.label} {one.score:.2f} at {', '.join(f'{side:.0f}' for side in one.box)}")
    draw(photograph, found, manifest.labels).save(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
