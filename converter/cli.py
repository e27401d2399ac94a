"""The converter's command line: split, cuts, inspect, verify."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

import typer

from bundle import BundleError, BundleWriter, open_bundle
from converter.convert import convert_to_tflite
from converter.errors import ConverterError, OptionError
from converter.listing import list_model_cuts, list_partitions, summarize
from converter.model_source import SourceKind, recognise_model
from converter.split_model import LoadedModel, SplitRequest, split_model
from converter.verification import verify_bundle
from converter.worker_request import QUANTIZE_MODES
from partitioning import PartitioningError
from runtime import TfliteRuntimeError, load_runtime
from runtime.loading import RUNTIME_CHOICES
from terminal import command_app, one_of, print_json, print_table, progress, run
from transport.errors import TransportError

app = command_app(
    "Splits a Keras, SavedModel or TFLite model into partitions that compute the whole model's exact bits."
)

_MODEL = typer.Argument(..., metavar="MODEL", help="Keras .h5 or .keras file, SavedModel directory, or .tflite file.")
_BUNDLE = typer.Argument(..., metavar="BUNDLE", help="Directory made by split.")
_QUANTIZE = typer.Option("none", help="none, float16, dynamic, int8 or int16x8.", callback=one_of(QUANTIZE_MODES))
_CALIBRATION = typer.Option(
    None,
    metavar="FILE",
    help="Real inputs, for int8 and int16x8: .npy, .npz or a directory of images. The first is the sample.",
)
_PIXEL_RANGE = typer.Option(
    "0,255", metavar="LOW,HIGH", help="What pixel values 0 and 255 of calibration images become."
)
_INPUT_SHAPE = typer.Option(
    None,
    metavar="NAME=N,N,...",
    help="Shape of an input, without the batch, where the model leaves it open. Repeatable.",
)
_RUNTIME = typer.Option("auto", help="TFLite runtime: auto, litert or tflite.", callback=one_of(RUNTIME_CHOICES))
_JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")


@app.command()
def split(
    model: Path = _MODEL,
    out: Path = typer.Option(..., metavar="BUNDLE", help="Directory to make."),
    parts: Optional[int] = typer.Option(
        None, metavar="N", min=1, help="Parts of equal time, as measured on this machine."
    ),
    cut_at: Optional[str] = typer.Option(
        None, metavar="NAME,...", help="Cuts in order: layer names, tensor names or cut indices."
    ),
    quantize: str = _QUANTIZE,
    calibration: Optional[Path] = _CALIBRATION,
    pixel_range: str = _PIXEL_RANGE,
    input_shape: Optional[list[str]] = _INPUT_SHAPE,
    runtime: str = _RUNTIME,
    threads: int = typer.Option(1, min=1, help="Threads for measuring and verifying."),
    force: bool = typer.Option(False, "--force", help="Replace a bundle that is at BUNDLE already."),
    as_json: bool = _JSON,
) -> None:
    """Split MODEL into a bundle of partitions and verify it.

    Example: python -m converter split model.h5 --parts 3 --quantize int8 --calibration images/ --out parts/
    """
    if (parts is None) == (cut_at is None):
        raise OptionError("say either --parts N or --cut-at NAME,NAME,... (the `cuts` command lists the names).")
    tflite_runtime = load_runtime(runtime)
    writer = BundleWriter(out, replace=force)
    with (
        _progress() as on_progress,
        _converted(model, quantize, calibration, pixel_range, input_shape, on_progress) as (loaded, sample),
        writer,
    ):
        kind = recognise_model(model).kind
        request = SplitRequest(
            source_path=model,
            source_kind=kind.name.lower().replace("_", "-"),
            quantize="as-is" if kind is SourceKind.TFLITE else quantize,
            n_parts=parts,
            cut_names=() if cut_at is None else _parse_cuts(cut_at),
            threads=threads,
        )
        bundle = split_model(loaded, request, writer, tflite_runtime, sample, on_progress)
    _show_bundle(
        bundle, as_json, f"{out}: {len(bundle.manifest.partitions)} partitions, bit-identical to the whole model"
    )


@app.command()
def cuts(
    model: Path = _MODEL,
    quantize: str = _QUANTIZE,
    calibration: Optional[Path] = _CALIBRATION,
    pixel_range: str = _PIXEL_RANGE,
    input_shape: Optional[list[str]] = _INPUT_SHAPE,
    as_json: bool = _JSON,
) -> None:
    """List every cut of MODEL: where it is, what crosses it, how many bytes.

    Example: python -m converter cuts model.tflite
    """
    with (
        _progress() as on_progress,
        _converted(model, quantize, calibration, pixel_range, input_shape, on_progress) as (loaded, _),
    ):
        rows = list_model_cuts(loaded)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"{model}: {len(rows)} cuts",
        ("after layer", "operators", "crossing", "cut", "bytes"),
        (
            (
                r["layer"],
                f"{r['operator_before']} | {r['operator_after']}",
                r["obstacle"] or summarize(r["crossing"]),
                r["index"],
                r["bytes"],
            )
            for r in rows
        ),
        text_columns=3,
    )


@app.command()
def inspect(bundle: Path = _BUNDLE, as_json: bool = _JSON) -> None:
    """Show the partitions of BUNDLE: operators, size, boundary tensors, measured time.

    Example: python -m converter inspect parts/
    """
    opened = open_bundle(bundle)
    source = opened.manifest.source
    floor = opened.manifest.runtime_floor
    needs = f", needs TensorFlow Lite {floor} or newer" if floor else ""
    _show_bundle(opened, as_json, f"{opened.deployment_id}: {source.file_name}, quantised: {source.quantize}{needs}")


@app.command()
def verify(
    bundle: Path = _BUNDLE,
    runtime: str = _RUNTIME,
    threads: int = typer.Option(1, min=1, help="Threads for the runtime."),
    as_json: bool = _JSON,
) -> None:
    """Run the partitions of BUNDLE one after the other and the whole model, and compare bytes.

    Example: python -m converter verify parts/
    """
    opened = open_bundle(bundle)
    tflite_runtime = load_runtime(runtime)
    result = verify_bundle(opened, tflite_runtime, threads)
    record = "not comparable: the bundle was made with another runtime, version or architecture"
    if result.differing_from_record is not None:
        record = "different" if result.differing_from_record else "identical"
    row = {
        "identical": result.is_identical,
        "differing_outputs": list(result.differing),
        "recorded_answer": record,
        "compared_bytes": result.compared_bytes,
        "runtime": f"{tflite_runtime.name} {tflite_runtime.version}",
    }
    if as_json:
        print_json(row)
    else:
        verdict = "bit-identical" if not result.differing else f"DIFFERENT in {', '.join(result.differing)}"
        print(f"{len(opened.manifest.partitions)} partitions against the whole model, {row['runtime']}: {verdict}")
        print(f"the whole model here against the answer recorded in the bundle: {record}")
    if not result.is_identical:
        raise typer.Exit(1)


def main() -> None:
    """Entry point of `python -m converter` and of the installed command."""
    run(app, (ConverterError, PartitioningError, BundleError, TfliteRuntimeError, TransportError))


@contextmanager
def _converted(
    model: Path,
    quantize: str,
    calibration: Path | None,
    pixel_range: str,
    input_shape: list[str] | None,
    on_progress: Callable[[str, float | None], None],
) -> Iterator[tuple[LoadedModel, Any]]:
    """The model as TFLite, in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="boardline-") as work_dir:
        converted = convert_to_tflite(
            model,
            quantize=quantize,
            calibration=calibration,
            pixel_range=_parse_range(pixel_range),
            input_shapes=_parse_shapes(input_shape or []),
            work_dir=Path(work_dir),
            on_progress=on_progress,
        )
        yield LoadedModel.from_converted(converted), converted.calibration_sample


@contextmanager
def _progress() -> Iterator[Callable[[str, float | None], None]]:
    with progress() as display:
        task = display.add_task("starting", total=None)

        def show(what: str, share: float | None) -> None:
            display.update(task, description=what, total=None if share is None else 1.0, completed=share or 0.0)

        yield show


def _show_bundle(bundle: Any, as_json: bool, title: str) -> None:
    rows = list_partitions(bundle)
    if as_json:
        print_json({"deployment_id": bundle.deployment_id, "partitions": rows})
        return
    print_table(
        title,
        ("arriving", "leaving", "part", "operators", "kB", "ms here", "carried"),
        (
            (
                summarize(r["arriving"]),
                summarize(r["leaving"]),
                r["part"],
                f"{r['start_op']}-{r['stop_op'] - 1}",
                f"{r['size_bytes'] / 1e3:.1f}",
                f"{r['time_ms']:.2f}",
                len(r["carried"]),
            )
            for r in rows
        ),
        text_columns=2,
    )


def _parse_cuts(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise OptionError(f"--cut-at is {text!r}, expected names separated by single commas, as in conv1,conv2.")
    return names


def _parse_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(number) for number in text.split(","))
    except ValueError:
        raise OptionError(f"--pixel-range is {text!r}, expected LOW,HIGH as in 0,1 or -1,1.") from None
    return low, high


def _parse_shapes(options: list[str]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for option in options:
        name, _, numbers = option.rpartition("=")
        try:
            shapes[name] = tuple(int(n) for n in numbers.split(","))
        except ValueError:
            raise OptionError(f"--input-shape is {option!r}, expected NAME=N,N,... as in image=224,224,3.") from None
    return shapes
