"""What a model's classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.errors import BundleError
from protos.v1.tensor_pb2 import TensorSpec


def read_labels(path: Path) -> list[str]:
    """Names of classes, one a line, in the order of the model's output.

    Raises: BundleError: the file cannot be read, is empty, or has an empty line between others.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"the labels {path} cannot be read: {error}. Expected text, a class on each line.") from error
    if not all(lines) or not lines:
        where = f"line {lines.index('') + 1} is empty" if lines else "it is empty"
        raise BundleError(f"{path} has no label for each class: {where}. Expected one class on each line.")
    return lines


def count_classes(outputs: Sequence[TensorSpec]) -> int | None:
    """How many classes a model tells apart; None of one that is no classifier: more outputs, or another shape than (N, classes)."""
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or outputs[0].shape[1] < 1:
        return None
    return int(outputs[0].shape[1])


def check_labels(labels: Sequence[str], outputs: Sequence[TensorSpec]) -> None:
    """Raises: BundleError: a classifier with another number of classes than labels. Of other models nobody can say."""
    n_classes = count_classes(outputs)
    if labels and n_classes not in (None, len(labels)):
        raise BundleError(f"there are {len(labels)} labels, and the model has {n_classes} classes. Give one for each.")
