from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.image_input import PRESETS
from converter.calibration import InputSpec, load_calibration
from converter.calibration_images import load_images
from converter.errors import CalibrationError, MissingDependencyError

PIXELS = PRESETS["raw"]


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (12, 8)) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_images_come_in_path_order_resized_and_as_float32(tmp_path: Path) -> None:
    paint(tmp_path / "b.png", (0, 128, 255))
    paint(tmp_path / "a.jpg", (255, 255, 255), size=(5, 5))
    paint(tmp_path / "sub" / "c.png", (0, 0, 0))
    (tmp_path / "notes.txt").write_text("not an image")
    rows = load_images(tmp_path, (4, 6, 3), 10, PIXELS)
    assert (rows.shape, rows.dtype) == ((3, 4, 6, 3), np.dtype(np.float32))
    assert rows[0, 0, 0].tolist() == [255, 255, 255]
    assert rows[1, 3, 5].tolist() == [0, 128, 255]
    assert rows[2].max() == 0


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1)])
def test_one_channel_means_grey(tmp_path: Path, shape: tuple[int, ...]) -> None:
    paint(tmp_path / "a.png", (100, 100, 100))
    rows = load_images(tmp_path, shape, 10, PIXELS)
    assert rows.shape == (1, *shape)
    assert set(rows.ravel()) == {100.0}


def test_preset_maps_black_and_white(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", (0, 255, 0))
    rows = load_images(tmp_path, (4, 6, 3), 10, PRESETS["tf"])
    assert rows[0, 0, 0].tolist() == [-1.0, 1.0, -1.0]


def test_limit_bounds_the_number_of_images(tmp_path: Path) -> None:
    for name in "abc":
        paint(tmp_path / f"{name}.png", (0, 0, 0))
    assert len(load_images(tmp_path, (4, 6, 3), 2, PIXELS)) == 2


def test_integer_input_gets_whole_pixel_values(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", (7, 8, 9))
    (sample,) = load_calibration(tmp_path, [InputSpec("image", (1, 4, 6, 3), "uint8")])
    assert sample["image"].dtype == np.uint8
    assert sample["image"][0, 0, 0].tolist() == [7, 8, 9]


def test_directory_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CalibrationError, match="holds no images"):
        load_images(tmp_path, (4, 6, 3), 10, PIXELS)


def test_damaged_image_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a png")
    with pytest.raises(CalibrationError, match=r"cannot read the image .*a\.png"):
        load_images(tmp_path, (4, 6, 3), 10, PIXELS)


@pytest.mark.parametrize("shape", [(5,), (4, 6, 2), (2, 4, 6, 3)])
def test_input_that_takes_no_images_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(CalibrationError, match=r"expected \(N, H, W\)"):
        load_images(tmp_path, shape, 10, PIXELS)


def test_missing_pillow_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "a.png", (0, 0, 0))
    monkeypatch.delitem(sys.modules, "bundle.photographs", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"needs Pillow.*boardline\[converter"):
        load_images(tmp_path, (4, 6, 3), 10, PIXELS)
