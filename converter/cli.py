"""The converter's command line: split, plan, cuts, inspect, sign, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from bundle import BundleError, open_bundle
from bundle.signing import sign_bundle, verify_bundle_signature
from converter.bundle_table import show_bundle
from converter.command_options import BUNDLE, JSON, RUNTIME
from converter.conversion_options import BATCH, CALIBRATION, IMAGES, INPUT_SHAPE, MODEL, QUANTIZE, ConversionOptions
from converter.errors import ConverterError
from converter.listing import list_model_cuts, segments_of, summarize
from converter.plan_command import plan
from converter.split_command import split
from converter.split_model import LoadedModel
from converter.verification import verify_bundle
from fleet.errors import FleetError
from partitioning import PartitioningError
from planner.errors import PlannerError
from planner.plot import plot_model, require_format
from planner.sources import model_of_bundle
from runtime import TfliteRuntimeError, load_runtime
from terminal import command_app, print_json, print_table, run
from transport.errors import TransportError

app = command_app(
    "Splits a Keras, SavedModel or TFLite model into partitions that compute the whole model's exact bits."
)

app.command()(split)
app.command()(plan)


@app.command()
def cuts(
    model: Path = MODEL,
    quantize: str = QUANTIZE,
    calibration: Optional[Path] = CALIBRATION,
    images: Optional[str] = IMAGES,
    input_shape: Optional[list[str]] = INPUT_SHAPE,
    batch: int = BATCH,
    as_json: bool = JSON,
) -> None:
    """List every cut of MODEL: where it is, what crosses it, how many bytes.

    Example: python -m converter cuts model.tflite
    """
    conversion = ConversionOptions.read(model, quantize, calibration, images, input_shape, batch)
    with conversion.converted(load_runtime()) as converted:
        rows = list_model_cuts(LoadedModel.from_converted(converted))
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
def inspect(
    bundle: Path = BUNDLE,
    plot: Optional[Path] = typer.Option(
        None, metavar="FILE", help=".svg, .png or .pdf to draw the model and its cuts into."
    ),
    as_json: bool = JSON,
) -> None:
    """Show the partitions of BUNDLE: operators, size, boundary tensors, measured time.

    Example: python -m converter inspect parts/ --plot parts.svg
    """
    if plot is not None:
        require_format(plot)
    opened = open_bundle(bundle)
    if plot is not None:
        plot_model(model_of_bundle(opened), segments_of(opened), plot)
    source = opened.manifest.source
    floor = opened.manifest.runtime_floor
    needs = f", needs TensorFlow Lite {floor} or newer" if floor else ""
    names = ", ".join(s.deployment_id for s in opened.splittings)
    batch = f", {opened.batch} inputs in one frame" if opened.batch > 1 else ""
    show_bundle(opened, as_json, f"{names}: {source.file_name}, quantised: {source.quantize}{needs}{batch}")


@app.command()
def sign(
    bundle: Path = BUNDLE,
    key: Path = typer.Option(..., metavar="KEY.pem", help="Ed25519 private key, in PEM without a password."),
) -> None:
    """Sign BUNDLE, so that boards with --require-signature load it.

    Keys: openssl genpkey -algorithm ed25519 -out KEY.pem; openssl pkey -in KEY.pem -pubout -out PUBLIC_KEY.pem

    Example: python -m converter sign parts/ --key KEY.pem
    """
    print(sign_bundle(open_bundle(bundle), key))


@app.command()
def verify(
    bundle: Path = BUNDLE,
    runtime: str = RUNTIME,
    threads: int = typer.Option(1, min=1, help="Threads for the runtime."),
    public_key: Optional[Path] = typer.Option(
        None, metavar="PUBLIC_KEY.pem", help="First check that BUNDLE was signed with the private key to this one."
    ),
    as_json: bool = JSON,
) -> None:
    """Run the partitions of BUNDLE one after the other and the whole model, and compare bytes.

    Example: python -m converter verify parts/
    """
    opened = open_bundle(bundle)
    if public_key is not None:
        verify_bundle_signature(opened, public_key)
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
        for splitting, differing in zip(opened.splittings, result.differing_by_splitting):
            verdict = f"DIFFERENT in {', '.join(differing)}" if differing else "bit-identical"
            print(f"{len(splitting.partitions)} partitions against the whole model, {row['runtime']}: {verdict}")
        print(f"the whole model here against the answer recorded in the bundle: {record}")
    if not result.is_identical:
        raise typer.Exit(1)


def main() -> None:
    """Entry point of `python -m converter` and of the installed command."""
    expected = (
        ConverterError,
        PartitioningError,
        BundleError,
        PlannerError,
        FleetError,
        TfliteRuntimeError,
        TransportError,
    )
    run(app, expected)
