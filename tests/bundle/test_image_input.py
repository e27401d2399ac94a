"""How photographs become a model's input: presets as keras.applications computes them, defaults, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle import BundleError
from bundle.image_input import PRESETS, complete_image_input
from bundle.image_input_file import read_image_input
from bundle.photographs import list_photographs, photograph_values, read_photograph
from protos.v1.manifest_pb2 import ImageInput

RGB = (1, 8, 8, 3)


def noise(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


# What keras.applications.imagenet_utils.preprocess_input documents of its modes.
@pytest.mark.parametrize(
    ("preset", "formula"),
    [
        ("raw", lambda x: x),
        ("unit", lambda x: x / 255),
        ("tf", lambda x: x / 127.5 - 1),
        ("torch", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
        ("caffe", lambda x: x[..., ::-1] - [103.939, 116.779, 123.68]),
    ],
)
def test_preset_gives_what_keras_computes_in_that_mode(preset: str, formula: Callable[[Any], Any]) -> None:
    pixels = noise(8, 8)
    values = photograph_values(pixels, complete_image_input(PRESETS[preset], RGB))
    assert (values.shape, values.dtype) == ((8, 8, 3), np.dtype(np.float32))
    np.testing.assert_allclose(values, formula(pixels.astype(np.float64)), rtol=0, atol=2e-5)  # float32 near 255


def test_what_is_left_open_is_taken_from_the_input() -> None:
    colour = complete_image_input(PRESETS["raw"], (4, 10, 12, 3))
    assert (colour.height, colour.width, colour.colours, colour.fit) == (10, 12, "RGB", "stretch")
    grey = complete_image_input(PRESETS["unit"], (1, 10, 12))
    assert (grey.colours, photograph_values(noise(3, 3), grey).shape) == ("GREY", (10, 12, 1))
    opened = complete_image_input(ImageInput(height=6, width=7), (1, -1, -1, 3))
    assert photograph_values(noise(3, 3), opened).shape == (6, 7, 3)


def test_crop_keeps_the_middle_and_pad_keeps_everything() -> None:
    """Two red columns, four green ones, two blue ones."""
    stripes = np.zeros((4, 8, 3), np.uint8)
    stripes[:, :2, 0], stripes[:, 2:6, 1], stripes[:, 6:, 2] = 255, 255, 255
    crop, pad = (ImageInput(fit=fit, resample="nearest") for fit in ("crop", "pad"))
    cropped = photograph_values(stripes, complete_image_input(crop, (1, 4, 4, 3)))
    assert cropped[..., 1].min() == 255
    assert cropped[..., [0, 2]].max() == 0
    padded = photograph_values(stripes, complete_image_input(pad, (1, 8, 8, 3)))
    assert padded[[0, 1, 6, 7]].max() == 0
    assert np.array_equal(padded[2:6], stripes)


def test_crop_share_is_resize_and_then_crop() -> None:
    pixels = noise(256, 256)
    wanted = ImageInput(fit="crop", crop_share=0.875, resample="nearest")
    assert np.array_equal(
        photograph_values(pixels, complete_image_input(wanted, (1, 224, 224, 3))), pixels[16:240, 16:240]
    )


def test_photograph_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = Image.fromarray(noise(6, 9))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown a quarter turn clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    as_shown = complete_image_input(PRESETS["raw"], (1, 9, 6, 3))
    assert np.array_equal(read_photograph(tmp_path / "turned.png", as_shown), np.rot90(noise(6, 9), -1))


def test_photographs_with_16_bits_and_damaged_ones_are_refused_by_name(tmp_path: Path) -> None:
    image_input = complete_image_input(PRESETS["raw"], RGB)
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "damaged.jpg").write_bytes(b"no picture")
    for name, says in (
        ("deep.png", "expected 8 bits a channel"),
        ("damaged.jpg", "cannot identify"),
        ("no.jpg", "No such"),
    ):
        with pytest.raises(BundleError, match=rf"cannot read the image .*{name} .*{says}"):
            read_photograph(tmp_path / name, image_input)
    assert [path.name for path in list_photographs(tmp_path)] == ["damaged.jpg", "deep.png"]


@pytest.mark.parametrize(
    ("wanted", "shape", "says"),
    [
        ({}, (1, 5), r"input of shape \[1, 5\]: expected \(N, H, W\)"),
        ({}, (1, 3, 8, 8), r"expected \(N, H, W\)"),
        ({}, (1, -1, -1, 3), r"the size is \[0, 0\], expected \[height, width\]"),
        ({"height": 9, "width": 8}, RGB, r"the size is \[9, 8\], expected the input's \[8, 8\]"),
        ({"fit": "squeeze"}, RGB, "fit is 'squeeze', expected stretch or crop or pad"),
        ({"resample": "best"}, RGB, "resample is 'best', expected bilinear or"),
        ({"colours": "GREY"}, RGB, "colours is 'GREY', expected RGB or BGR"),
        ({"colours": "RGB"}, (1, 8, 8), "colours is 'RGB', expected GREY"),
        ({"crop_share": 0.5}, RGB, "crop_share is 0.5, .* and fit crop"),
        ({"crop_share": float("nan"), "fit": "crop"}, RGB, "crop_share is nan"),
        ({"mean": [1, 2]}, RGB, r"mean is \[1.0, 2.0\], expected one number, or one for each of 3"),
        ({"mean": [float("inf")]}, RGB, r"mean is \[inf\]"),
        ({"std": [0], "fit": "x"}, RGB, r"fit is 'x'.*; std is \[0.0\], expected more than 0"),
    ],
)
def test_what_does_not_fit_the_input_is_refused_with_all_faults(
    wanted: dict[str, Any], shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(BundleError, match=says):
        complete_image_input(ImageInput(**wanted), shape)


def test_file_says_what_a_preset_does_not(tmp_path: Path) -> None:
    path = tmp_path / "images.yaml"
    path.write_text("size: [6, 7]\nfit: crop\ncrop_share: 0.875\ncolours: BGR\nmean: 127.5\nstd: [1, 2, 3]\n")
    assert read_image_input(str(path)) == ImageInput(
        height=6, width=7, fit="crop", crop_share=0.875, colours="BGR", mean=[127.5], std=[1, 2, 3]
    )
    with pytest.raises(BundleError, match=r"(?s)no\.yaml does not exist. Write one:.*fit: crop"):
        read_image_input("no.yaml")
    path.write_text("size: 6\nfit: squeeze\n")
    with pytest.raises(BundleError, match=r"(?s)images.yaml:1: size: .*\[height, width\].*images.yaml:2: fit: .*pad"):
        read_image_input(str(path))
