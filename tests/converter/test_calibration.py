from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.calibration import InputSpec, check_calibration_path, load_calibration
from converter.errors import CalibrationError

IMAGE = InputSpec("image", (1, 4, 6, 3), "float32")
TOKENS = InputSpec("tokens", (1, 5), "int32")


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_npy_rows_become_samples_of_the_input_shape(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 4, 6, 3))
    np.save(tmp_path / "rows.npy", rows)
    samples = load_calibration(tmp_path / "rows.npy", [IMAGE])
    assert [list(sample) for sample in samples] == [["image"]] * 3
    for sample, row in zip(samples, rows):
        assert sample["image"].dtype == np.float32
        np.testing.assert_array_equal(sample["image"], row[None].astype(np.float32))


def test_npz_feeds_inputs_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.npz",
        tokens=np.arange(10, dtype=np.int64).reshape(2, 5),
        image=np.ones((2, 4, 6, 3), np.uint8),
    )
    samples = load_calibration(path, [IMAGE, TOKENS])
    assert samples[1]["tokens"].tolist() == [[5, 6, 7, 8, 9]]
    assert samples[1]["tokens"].dtype == np.int32
    assert samples[1]["image"].dtype == np.float32


def test_single_array_of_any_name_feeds_a_single_input(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npz", whatever=np.zeros((2, 5), np.int32))
    assert len(load_calibration(path, [TOKENS])) == 2


def test_limit_bounds_the_number_of_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npz", tokens=np.zeros((9, 5), np.int32))
    assert len(load_calibration(path, [TOKENS], limit=4)) == 4


def test_incomplete_batch_is_filled_from_the_beginning(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npz", tokens=np.arange(15, dtype=np.int32).reshape(3, 5))
    samples = load_calibration(path, [InputSpec("tokens", (2, 5), "int32")])
    assert [sample["tokens"][:, 0].tolist() for sample in samples] == [[0, 5], [10, 0]]


def test_scalar_input_without_a_batch_gets_scalars(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npz", x=np.array([1.0, 2.0]))
    samples = load_calibration(path, [InputSpec("x", (), "float32")])
    assert [sample["x"].shape for sample in samples] == [(), ()]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"tokens": np.zeros((2, 6), np.int32)}, r"input tokens: shape is \(2, 6\).*\(N, 5\)"),
        ({"tokens": np.zeros((5,), np.int32)}, r"shape is \(5,\), expected \(N, 5\)"),
        ({"tokens": np.int32(3)}, r"shape is \(\), expected \(N, 5\)"),
        ({"tokens": np.zeros((0, 5), np.int32)}, r"no samples"),
        ({"tokens": np.zeros((2, 5))}, r"dtype is float64, expected int32"),
        ({"tokens": np.full((2, 5), "a")}, r"dtype is <U1, expected int32"),
        ({"tokens": np.full((2, 5), 2**40)}, r"a value that int32 cannot hold in sample 0 \(10 "),
        (
            {"token": np.zeros((2, 5), np.int32), "b": np.zeros(1)},
            r"missing tokens; unknown b, tok",
        ),
        ({"tokens": np.array([None])}, r"cannot read .*rows\.npz as a NumPy file: Object arrays"),
    ],
)
def test_array_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "rows.npz", **arrays)
    with pytest.raises(CalibrationError, match=message):
        load_calibration(path, [TOKENS])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_with_the_sample_named(tmp_path: Path, bad: float) -> None:
    rows = np.zeros((3, 4, 6, 3), np.float32)
    rows[2, 1, 1, 1] = bad
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(CalibrationError, match=r"NaN or infinity in sample 2 \(1 such"):
        load_calibration(tmp_path / "rows.npy", [IMAGE])


def test_inputs_of_different_lengths_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npz", tokens=np.zeros((2, 5), np.int32), image=np.zeros((3, 4, 6, 3)))
    with pytest.raises(CalibrationError, match="different numbers of samples: image 3, tokens 2"):
        load_calibration(path, [IMAGE, TOKENS])


@pytest.mark.parametrize("form", ["rows.npy", "images"])
def test_form_for_one_input_is_refused_when_there_are_two(tmp_path: Path, form: str) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "rows.npy", np.zeros((2, 5)))
    with pytest.raises(CalibrationError, match="feeds one input, but the model has 2"):
        load_calibration(tmp_path / form, [IMAGE, TOKENS])


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.npy").write_bytes(b"nonsense")
    with pytest.raises(CalibrationError, match=r"cannot read .*rows\.npy as a NumPy file"):
        load_calibration(tmp_path / "rows.npy", [IMAGE])


def test_missing_and_unknown_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no calibration data at"):
        check_calibration_path(tmp_path / "rows.npy")
    (tmp_path / "rows.csv").touch()
    with pytest.raises(CalibrationError, match=r"cannot read .* from .*rows\.csv: expected a \.npy"):
        check_calibration_path(tmp_path / "rows.csv")
