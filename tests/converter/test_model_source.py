from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import pytest

from converter.errors import ModelError
from converter.model_source import SourceKind, recognise_model


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("default_names.h5", SourceKind.KERAS3),
        ("default_names.keras", SourceKind.KERAS3),
        ("exported", SourceKind.SAVED_MODEL),
    ],
)
def test_keras3_files_are_recognised(keras3_models: Path, name: str, kind: SourceKind) -> None:
    assert recognise_model(keras3_models / name).kind is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("keras2_image_model.h5", SourceKind.KERAS2),
        ("keras2_image_model.keras", SourceKind.KERAS2),
        ("keras2_saved_model", SourceKind.SAVED_MODEL),
    ],
)
def test_keras2_files_are_recognised(keras2_models: Path, name: str, kind: SourceKind) -> None:
    assert recognise_model(keras2_models / name).kind is kind


def test_keras2_test_files_really_are_of_keras2(keras2_models: Path) -> None:
    with h5py.File(keras2_models / "keras2_image_model.h5") as file:
        assert str(file.attrs["keras_version"]).startswith("2.")


def test_tflite_file_is_recognised_by_its_identifier(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(8))
    assert recognise_model(path).kind is SourceKind.TFLITE


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at .*nothing\.h5.*SavedModel directory"):
        recognise_model(tmp_path / "nothing.h5")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.tflite", b"not a flatbuffer", r"not a TFLite file: bytes 4 to 8 are b'a fl'"),
        ("model.tflite", b"", r"not a TFLite file"),
        ("model.h5", b"not hdf5", r"not a readable HDF5 file"),
        ("model.keras", b"not a zip", r"not a readable \.keras archive"),
        ("model.onnx", b"", r"not a model of a known kind: expected a Keras"),
        ("saved_model.pb", b"", r"its directory may be a SavedModel"),
    ],
)
def test_file_with_wrong_content_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        recognise_model(path)


def test_directory_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"without saved_model\.pb"):
        recognise_model(tmp_path)


def test_weights_alone_are_refused(keras3_models: Path) -> None:
    with pytest.raises(ModelError, match="only weights"):
        recognise_model(keras3_models / "only.weights.h5")


@pytest.mark.parametrize("name", ["with_lambda.h5", "with_lambda.keras"])
def test_embedded_code_is_refused_and_named(keras3_models: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"my_lambda.*SavedModel"):
        recognise_model(keras3_models / name)


def test_damaged_description_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = "{half"
    with pytest.raises(ModelError, match="damaged model description"):
        recognise_model(tmp_path / "model.h5")


def test_file_without_version_counts_as_the_oldest(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    assert recognise_model(tmp_path / "model.h5").kind is SourceKind.KERAS2


@pytest.mark.parametrize("version", ["4.0", "soon"])
def test_unknown_keras_version_is_refused(tmp_path: Path, version: str) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=f"saved by Keras {version}"):
        recognise_model(tmp_path / "model.keras")
