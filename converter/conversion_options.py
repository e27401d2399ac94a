"""The options that say how a model becomes a `.tflite` file, and the conversion that they ask for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import typer

from bundle.image_input import PRESETS
from bundle.image_input_file import read_image_input
from converter.batched_conversion import Conversion, convert_batched
from converter.convert import ConvertedModel
from converter.errors import OptionError
from converter.worker_request import QUANTIZE_MODES
from protos.v1.manifest_pb2 import ImageInput
from runtime import TfliteRuntime
from terminal import one_of, progress

MODEL = typer.Argument(..., metavar="MODEL", help="Keras .h5 or .keras file, SavedModel directory, or .tflite file.")
QUANTIZE = typer.Option("none", help="none, float16, dynamic, int8 or int16x8.", callback=one_of(QUANTIZE_MODES))
CALIBRATION = typer.Option(
    None,
    metavar="FILE",
    help="Real inputs, for int8 and int16x8: .npy, .npz or a directory of images. The first is the sample.",
)
IMAGES = typer.Option(
    None,
    metavar="PRESET|FILE",
    help=f"How images become the input, in calibration and for `infer`: {', '.join(PRESETS)} or a .yaml file; see "
    "docs/photographs.md. (default: raw, for calibration)",
)
INPUT_SHAPE = typer.Option(
    None,
    metavar="NAME=N,N,...",
    help="Shape of an input, without the batch, where the model leaves it open. Repeatable.",
)
BATCH = typer.Option(
    1, metavar="N", min=1, help="Inputs in one frame: on every board they share one call and one message."
)


@dataclass(frozen=True)
class ConversionOptions:
    """What was said of the conversion, as the options above take it."""

    model: Path
    quantize: str
    calibration: Path | None
    image_input: ImageInput | None
    input_shapes: dict[str, tuple[int, ...]]
    batch: int

    @classmethod
    def read(
        cls,
        model: Path,
        quantize: str,
        calibration: Path | None,
        images: str | None,
        input_shape: list[str] | None,
        batch: int,
    ) -> ConversionOptions:
        """Raises: OptionError, BundleError: --input-shape or --images is not what was expected."""
        image_input = None if images is None else read_image_input(images)
        return cls(model, quantize, calibration, image_input, _parse_shapes(input_shape or []), batch)

    @contextmanager
    def converted(self, runtime: TfliteRuntime, threads: int = 1) -> Iterator[ConvertedModel]:
        """The model as one `.tflite` file, which is gone with the block; progress is shown. Raises: see `convert_batched`."""
        image_input = self.image_input or PRESETS["raw"]
        conversion = Conversion(self.model, self.quantize, self.calibration, self.input_shapes, image_input)
        with tempfile.TemporaryDirectory(prefix="boardline-") as work_dir, shown_progress() as on_progress:
            yield convert_batched(
                conversion,
                self.batch,
                work_dir=Path(work_dir),
                runtime=runtime,
                on_progress=on_progress,
                threads=threads,
            )


@contextmanager
def shown_progress() -> Iterator[Callable[[str, float | None], None]]:
    """A line on the screen that says what is under way, and how far it is."""
    with progress() as display:
        task = display.add_task("starting", total=None)

        def show(what: str, share: float | None) -> None:
            display.update(task, description=what, total=None if share is None else 1.0, completed=share or 0.0)

        yield show


def _parse_shapes(options: list[str]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for option in options:
        name, _, numbers = option.rpartition("=")
        try:
            shapes[name] = tuple(int(n) for n in numbers.split(","))
        except ValueError:
            raise OptionError(f"--input-shape is {option!r}, expected NAME=N,N,... as in image=224,224,3.") from None
    return shapes
