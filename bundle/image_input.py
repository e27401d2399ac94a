"""How a photograph becomes a model's input, as the manifest says it: presets, defaults, and what fits an input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bundle.errors import BundleError
from protos.v1.manifest_pb2 import ImageInput

# What stays empty is taken from the input, or is the first of these words.
FITS = ("stretch", "crop", "pad")
RESAMPLES = ("bilinear", "nearest", "box", "bicubic", "lanczos")
CHANNELS = {"RGB": 3, "BGR": 3, "GREY": 1}
# The modes of keras.applications, and what models without a mode take.
PRESETS = {
    "raw": ImageInput(),  # 0 to 255: EfficientNet, MobileNetV3
    "unit": ImageInput(std=[255]),  # 0 to 1
    "tf": ImageInput(mean=[127.5], std=[127.5]),  # -1 to 1: MobileNet, MobileNetV2, Inception, Xception
    "torch": ImageInput(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # DenseNet
    "caffe": ImageInput(colours="BGR", mean=[103.939, 116.779, 123.68]),  # VGG, ResNet
}
_MOST_PIXELS_A_SIDE = 16384  # a manifest comes from outside, and asks for memory here


def complete_image_input(wanted: ImageInput, shape: Sequence[int]) -> ImageInput:
    """What is wanted, with everything filled in for an input of this shape.

    Args: shape: (N, H, W), (N, H, W, 1) or (N, H, W, 3); -1 where it is open, which `wanted` says then.
    Raises: BundleError: the input takes no photographs, or what is wanted does not fit it.
    """
    n_channels = _count_channels(shape)
    size = list(shape)[1:3] if n_channels else [0, 0]
    made = ImageInput(
        height=wanted.height or max(0, size[0]),
        width=wanted.width or max(0, size[1]),
        fit=wanted.fit or FITS[0],
        crop_share=wanted.crop_share,
        resample=wanted.resample or RESAMPLES[0],
        colours=wanted.colours or ("GREY" if n_channels == 1 else "RGB"),
        mean=wanted.mean,
        std=wanted.std,
    )
    check_image_input(made, shape)
    return made


def check_image_input(image_input: ImageInput, shape: Sequence[int]) -> None:
    """Raises: BundleError: it is not complete, or does not fit an input of this shape; with all faults."""
    faults = list(_faults(image_input, shape))
    if faults:
        raise BundleError(f"photographs cannot become an input of shape {list(shape)}: {'; '.join(faults)}.")


def _faults(image_input: ImageInput, shape: Sequence[int]) -> Iterator[str]:
    n_channels = _count_channels(shape)
    if not n_channels:
        yield "expected (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        return
    size = [image_input.height, image_input.width]
    if not all(1 <= side <= _MOST_PIXELS_A_SIDE for side in size):
        yield f"the size is {size}, expected [height, width] of 1 to {_MOST_PIXELS_A_SIDE}"
    elif any(given not in (-1, side) for given, side in zip(list(shape)[1:3], size)):
        yield f"the size is {size}, expected the input's {list(shape)[1:3]}"
    for name, word, words in (
        ("fit", image_input.fit, FITS),
        ("resample", image_input.resample, RESAMPLES),
        ("colours", image_input.colours, [c for c, count in CHANNELS.items() if count == n_channels]),
    ):
        if word not in words:
            yield f"{name} is {word!r}, expected {' or '.join(words)}"
    if image_input.crop_share and not (0 < image_input.crop_share <= 1 and image_input.fit == "crop"):
        yield f"crop_share is {image_input.crop_share:g}, expected more than 0, 1 at most, and fit crop"
    for name, numbers in (("mean", image_input.mean), ("std", image_input.std)):
        if len(numbers) not in {0, 1, n_channels} or not all(map(math.isfinite, numbers)):
            yield f"{name} is {list(numbers)}, expected one number, or one for each of {n_channels} channels"
    if any(number <= 0 for number in image_input.std):
        yield f"std is {list(image_input.std)}, expected more than 0: what is left of a pixel is divided by it"


def _count_channels(shape: Sequence[int]) -> int:
    """1 or 3; 0 of an input that is no picture."""
    n_channels = (*shape, 1)[3] if len(shape) in (3, 4) else 0
    return n_channels if n_channels in CHANNELS.values() else 0
