"""Recognises what kind of model a path holds, by its content and without TensorFlow."""

from __future__ import annotations

import enum
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.errors import MissingDependencyError, ModelError

_TFLITE_IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite flatbuffer (schema.fbs, file_identifier)
_KINDS = "a Keras .h5 or .keras file, a SavedModel directory, or a .tflite file"
_HDF5_SUFFIXES = (".h5", ".hdf5")


class SourceKind(enum.Enum):
    """The forms in which a model can be handed over."""

    KERAS3 = "Keras 3 file"
    KERAS2 = "Keras 2 file"
    SAVED_MODEL = "SavedModel directory"
    TFLITE = "TFLite file"


@dataclass(frozen=True)
class ModelSource:
    """A model that exists and whose kind is known."""

    path: Path
    kind: SourceKind


def recognise_model(path: Path) -> ModelSource:
    """Returns the kind of model at `path`, decided from what it contains.

    Keras 2 files are told from Keras 3 files by the version that they carry, because the two
    need different libraries and loading with the wrong one fails late and obscurely.

    Raises:
        ModelError: nothing there, not a model, damaged, weights only, or with embedded code.
    """
    if not path.exists():
        raise ModelError(f"no model at {path}. Give the path of {_KINDS}.")
    if path.is_dir():
        return ModelSource(path, _recognise_directory(path))
    suffix = path.suffix.lower()
    if suffix in _HDF5_SUFFIXES:
        return ModelSource(path, _recognise_hdf5(path))
    if suffix == ".keras":
        return ModelSource(path, _recognise_keras_archive(path))
    if suffix == ".tflite":
        return ModelSource(path, _recognise_tflite(path))
    hint = "; its directory may be a SavedModel" if path.name == "saved_model.pb" else ""
    raise ModelError(f"{path} is not a model of a known kind{hint}: expected {_KINDS}.")


def _recognise_directory(path: Path) -> SourceKind:
    if (path / "saved_model.pb").is_file():
        return SourceKind.SAVED_MODEL
    raise ModelError(f"{path} is a directory without saved_model.pb, so it is no SavedModel: expected {_KINDS}.")


def _recognise_tflite(path: Path) -> SourceKind:
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:8] != _TFLITE_IDENTIFIER:
        raise ModelError(
            f"{path} is not a TFLite file: bytes 4 to 8 are {head[4:8]!r}, expected "
            f"{_TFLITE_IDENTIFIER!r}. Convert or download it again."
        )
    return SourceKind.TFLITE


def _recognise_hdf5(path: Path) -> SourceKind:
    try:
        import h5py  # here, because splitting a .tflite file must work without it
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is a Keras .h5 file; reading it needs h5py, which is not installed. Install it with: "
            "pip install 'boardline[converter]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            attributes = {key: file.attrs.get(key) for key in ("keras_version", "backend", "model_config")}
    except OSError as error:
        raise ModelError(f"{path} is not a readable HDF5 file ({error}). Save the model again.") from error
    if attributes["model_config"] is None:
        raise ModelError(
            f"{path} holds no model, only weights or other data: its attribute model_config is "
            "missing. Save the whole model with model.save(...)."
        )
    _refuse_embedded_code(path, _parse_config(path, attributes["model_config"]))
    return _kind_of_version(path, attributes["keras_version"])


def _recognise_keras_archive(path: Path) -> SourceKind:
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
            config = json.loads(archive.read("config.json"))
            version = metadata.get("keras_version")
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is not a readable .keras archive ({error}). Save the model again.") from error
    _refuse_embedded_code(path, config)
    return _kind_of_version(path, version)


def _parse_config(path: Path, config: str | bytes) -> Any:
    try:
        return json.loads(config)
    except ValueError as error:
        raise ModelError(f"{path} holds a damaged model description ({error}). Save the model again.") from error


def _kind_of_version(path: Path, version: str | bytes | None) -> SourceKind:
    text = version.decode() if isinstance(version, bytes) else str(version or "1")
    major = text.split(".")[0]
    if not major.isdigit() or int(major) > 3:
        raise ModelError(f"{path} was saved by Keras {text}: expected version 1, 2 or 3.")
    return SourceKind.KERAS3 if major == "3" else SourceKind.KERAS2


def _refuse_embedded_code(path: Path, config: Any) -> None:
    """Stops at Lambda layers that carry marshalled byte code: loading them would run it."""
    names = sorted(set(_embedded_code(config)))
    if names:
        raise ModelError(
            f"{path} has Lambda layers with embedded Python code, which is not executed: "
            f"{', '.join(names)}. Replace them by built-in layers, or export a SavedModel where "
            "the code is trusted (model.export(directory)) and give that directory."
        )


def _embedded_code(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        inner = config.get("config")
        is_lambda = config.get("class_name") == "Lambda"
        # A function that is a string is the name of a registered one, not code.
        if is_lambda and isinstance(inner, dict) and not isinstance(inner.get("function"), str):
            yield str(inner.get("name", "?"))
        for value in config.values():
            yield from _embedded_code(value)
    elif isinstance(config, list):
        for value in config:
            yield from _embedded_code(value)
