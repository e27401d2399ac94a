"""Loads calibration data and checks it against a model's inputs."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bundle.image_input import PRESETS
from converter.calibration_images import load_images
from converter.errors import CalibrationError
from protos.v1.manifest_pb2 import ImageInput

Sample = dict[str, npt.NDArray[Any]]
DEFAULT_LIMIT = 200  # 100 to 500 real samples are the TFLite guide's advice
# Per NumPy kind of an input, the kinds that its samples may have; values are checked as well.
_KINDS_FOR = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
_FORMS = "a .npy file, a .npz file, or a directory of images"


@dataclass(frozen=True)
class InputSpec:
    """One input of a model: its name, full shape with the batch first, and dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def check_calibration_path(path: Path) -> None:
    """Checks that `path` can hold calibration data at all, without knowing the model.

    Raises:
        CalibrationError: nothing there, or neither `.npy`, `.npz` nor a directory.
    """
    if not path.exists():
        raise CalibrationError(f"no calibration data at {path}. Give {_FORMS}.")
    if not path.is_dir() and path.suffix.lower() not in (".npy", ".npz"):
        raise CalibrationError(f"cannot read calibration data from {path}: expected {_FORMS}.")


def load_calibration(
    path: Path,
    inputs: Sequence[InputSpec],
    *,
    limit: int = DEFAULT_LIMIT,
    image_input: ImageInput = PRESETS["raw"],
) -> list[Sample]:
    """Returns the samples at `path`, each a dict of one array per input, shaped as the input.

    The first `limit` rows are used. Rows are grouped by the inputs' batch; a last incomplete
    group is filled from the beginning.

    Args:
        path: `.npy` of shape (N, ...) for a model with one input; `.npz` with one such array per
            input, keyed by input name (any key when there is one input and one array); or a
            directory of images for one input of shape (batch, H, W) or (batch, H, W, 1 or 3).
        inputs: the model's inputs, with static shapes.
        limit: the most rows to use, at least 1.
        image_input: how images become the input; what is empty is taken from its shape.

    Raises:
        CalibrationError: unreadable or empty data; wrong shape or dtype; NaN or infinity;
            missing or unknown input names; arrays of different lengths.
    """
    check_calibration_path(path)
    if path.is_dir():
        only = _only_input(path, inputs, "a directory of images")
        images = load_images(path, only.shape[1:], limit, image_input)
        is_float = np.issubdtype(np.dtype(only.dtype), np.floating)
        rows = {only.name: images if is_float else np.rint(images).astype(np.int64)}
    else:
        if path.suffix.lower() == ".npy":
            _only_input(path, inputs, "a .npy file")
        rows = _match_names(path, _read(path), inputs)
    checked = {spec.name: _checked_rows(path, spec, rows[spec.name], limit) for spec in inputs}
    _check_lengths(path, checked)
    return _batches(checked, inputs)


def _only_input(path: Path, inputs: Sequence[InputSpec], form: str) -> InputSpec:
    if len(inputs) == 1:
        return inputs[0]
    names = ", ".join(spec.name for spec in inputs)
    raise CalibrationError(
        f"{path} is {form}, which feeds one input, but the model has {len(inputs)}: {names}. "
        "Give a .npz file with one array per input name."
    )


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # Pickled objects could run code, so they are refused; a .npy is mapped, not read whole.
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CalibrationError(f"cannot read {path} as a NumPy file: {error}") from error
    return {"": loaded}


def _match_names(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], inputs: Sequence[InputSpec]
) -> dict[str, npt.NDArray[Any]]:
    if len(inputs) == 1 and len(arrays) == 1:
        return {inputs[0].name: next(iter(arrays.values()))}
    expected = {spec.name for spec in inputs}
    missing = sorted(expected - set(arrays))
    extra = sorted(set(arrays) - expected)
    if missing or extra:
        raise CalibrationError(
            f"{path} does not match the model's inputs: missing {', '.join(missing) or 'none'}; "
            f"unknown {', '.join(extra) or 'none'}; expected exactly {', '.join(sorted(expected))}."
        )
    return dict(arrays)


def _checked_rows(path: Path, spec: InputSpec, rows: npt.NDArray[Any], limit: int) -> npt.NDArray[Any]:
    where = f"{path}, input {spec.name}"
    if rows.ndim == 0 or rows.shape[1:] != spec.shape[1:]:
        expected = ", ".join(["N", *map(str, spec.shape[1:])])
        raise CalibrationError(f"{where}: shape is {rows.shape}, expected ({expected}).")
    if len(rows) == 0:
        raise CalibrationError(f"{where}: no samples; give 100 or more from real use.")
    if rows.dtype.kind not in _KINDS_FOR[np.dtype(spec.dtype).kind]:
        raise CalibrationError(f"{where}: dtype is {rows.dtype}, expected {spec.dtype}.")
    cast = np.asarray(rows[:limit]).astype(spec.dtype)
    _check_values(where, spec, np.asarray(rows[:limit]), cast)
    return cast


def _check_values(where: str, spec: InputSpec, rows: npt.NDArray[Any], cast: npt.NDArray[Any]) -> None:
    if np.issubdtype(cast.dtype, np.floating):
        bad = np.argwhere(~np.isfinite(cast))
        reason = "NaN or infinity"
    else:
        bad = np.argwhere(cast != rows)
        reason = f"a value that {spec.dtype} cannot hold"
    if len(bad):
        raise CalibrationError(
            f"{where}: {reason} in sample {bad[0][0]} ({len(bad)} such values in all). Remove those samples."
        )


def _check_lengths(path: Path, rows: Mapping[str, npt.NDArray[Any]]) -> None:
    if len({len(array) for array in rows.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in sorted(rows.items()))
        raise CalibrationError(
            f"{path}: the inputs have different numbers of samples: {lengths}. "
            "Row i of every array must belong to the same sample."
        )


def _batches(rows: Mapping[str, npt.NDArray[Any]], inputs: Sequence[InputSpec]) -> list[Sample]:
    count = len(next(iter(rows.values())))
    largest_batch = max((*spec.shape, 1)[0] for spec in inputs)
    return [
        {spec.name: _group(rows[spec.name], spec, index) for spec in inputs}
        for index in range(math.ceil(count / largest_batch))
    ]


def _group(rows: npt.NDArray[Any], spec: InputSpec, index: int) -> npt.NDArray[Any]:
    batch = (*spec.shape, 1)[0]
    positions = np.arange(index * batch, (index + 1) * batch) % len(rows)
    return rows[positions].reshape(spec.shape)  # the reshape is for scalar inputs without a batch
