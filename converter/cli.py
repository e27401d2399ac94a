"""The converter's command line: split, cuts, inspect, sign, verify."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

import typer

from bundle import Bundle, BundleError, BundleWriter, open_bundle
from bundle.image_input import PRESETS
from bundle.image_input_file import read_image_input
from bundle.labels import read_labels
from bundle.plan_file import read_plan
from bundle.signing import sign_bundle, verify_bundle_signature
from converter import planning_options as options
from converter.batched_conversion import Conversion, convert_batched
from converter.convert import ConvertedModel
from converter.errors import ConverterError, OptionError
from converter.listing import list_model_cuts, list_splittings, segments_of, summarize
from converter.model_source import SourceKind, recognise_model
from converter.plan_command import plan
from converter.planned_split import PlannedSplit, parse_names, plan_split, reachable_boards, resolve_plan
from converter.split_model import LoadedModel, SplitRequest, deployable_name, split_model
from converter.verification import verify_bundle
from converter.worker_request import QUANTIZE_MODES
from fleet.errors import FleetError
from fleet.options import CREDENTIALS, INSECURE
from partitioning import PartitioningError
from planner.board_profiles import ProfileSettings
from planner.errors import PlannerError
from planner.explain import print_plan
from planner.plot import plot_model, require_format
from planner.report import PlanReport
from planner.sources import model_of_bundle
from protos.v1.manifest_pb2 import ImageInput
from runtime import TfliteRuntimeError, load_runtime
from runtime.loading import RUNTIME_CHOICES
from terminal import command_app, one_of, print_json, print_table, progress, run
from transport.credentials import choose_credentials
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
_IMAGES = typer.Option(
    None,
    metavar="PRESET|FILE",
    help=f"How images become the input, in calibration and for `infer`: {', '.join(PRESETS)} or a .yaml file; see "
    "docs/photographs.md. (default: raw, for calibration)",
)
_INPUT_SHAPE = typer.Option(
    None,
    metavar="NAME=N,N,...",
    help="Shape of an input, without the batch, where the model leaves it open. Repeatable.",
)
_BATCH = typer.Option(
    1, metavar="N", min=1, help="Inputs in one frame: on every board they share one call and one message."
)
_RUNTIME = typer.Option("auto", help="TFLite runtime: auto, litert or tflite.", callback=one_of(RUNTIME_CHOICES))
_JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")


@app.command()
def split(
    model: Path = _MODEL,
    out: Path = typer.Option(..., metavar="BUNDLE", help="Directory to make."),
    boards: Optional[str] = typer.Option(
        None, metavar="FILE", help="boards.yaml, or addresses: measure on them, plan, and split for them."
    ),
    parts: Optional[int] = typer.Option(
        None, metavar="N", min=1, help="Parts of equal time, as measured on this machine."
    ),
    cut_at: Optional[str] = typer.Option(
        None, metavar="NAME,...", help="Cuts in order: layer names, tensor names or cut indices."
    ),
    plan_file: Optional[Path] = typer.Option(
        None, "--plan", metavar="FILE", help="plan.yaml, as `plan --out` writes it or edited by hand: split as it says."
    ),
    taps: Optional[str] = typer.Option(
        None,
        metavar="NAME,...",
        help="Layers or tensors inside MODEL whose values leave with the answer: see docs/taps.md.",
    ),
    tap_boundaries: bool = typer.Option(
        False, "--tap-boundaries", help="Tap what crosses a cut, too: for `python -m dispatcher_client compare`."
    ),
    quantize: str = _QUANTIZE,
    calibration: Optional[Path] = _CALIBRATION,
    images: Optional[str] = _IMAGES,
    labels_file: Optional[Path] = typer.Option(
        None, "--labels", metavar="FILE", help="Text with the model's classes, one on each line, in its output's order."
    ),
    input_shape: Optional[list[str]] = _INPUT_SHAPE,
    batch: int = _BATCH,
    runtime: str = _RUNTIME,
    threads: int = typer.Option(1, min=1, help="Threads for measuring and verifying here."),
    objective: str = options.OBJECTIVE,
    max_boards: Optional[int] = options.MAX_BOARDS,
    chains: Optional[int] = options.CHAINS,
    stages: Optional[str] = options.STAGES,
    group_size: Optional[str] = options.GROUP_SIZE,
    pin: Optional[list[str]] = options.PIN,
    confidence: float = options.CONFIDENCE,
    budget_s: float = options.BUDGET,
    timeout_s: float = options.TIMEOUT,
    fresh: bool = options.FRESH,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    force: bool = typer.Option(False, "--force", help="Replace a bundle that is at BUNDLE already."),
    as_json: bool = _JSON,
) -> None:
    """Split MODEL into a bundle of partitions and verify it: for the boards you have, or where you say.

    Example: python -m converter split model.h5 --boards boards.yaml --quantize int8 --calibration images/ --out parts/
    """
    _require_one_way(boards, parts, cut_at, plan_file)
    wished = options.WishOptions(objective, max_boards, chains, pin, stages, group_size)
    if boards is None:
        options.refuse_ignored(
            "without --boards", "they say what is wished of a plan", {**wished.given, "--fresh": fresh or None}
        )
    credentials = None if boards is None else choose_credentials(credentials_dir, insecure)
    settings = ProfileSettings(confidence, budget_s, credentials, timeout_s, fresh)
    wishes = wished.wishes(cut_at)
    fleet = None if boards is None else reachable_boards(boards, wishes, settings)
    given = None if plan_file is None else read_plan(plan_file)
    tflite_runtime = load_runtime(runtime)
    names = [] if cut_at is None else [parse_names("--cut-at", cut_at)]
    tapped = [] if taps is None else parse_names("--taps", taps)
    image_input = None if images is None else read_image_input(images)
    labels = [] if labels_file is None else read_labels(labels_file)
    with BundleWriter(out, replace=force) as writer:
        with _progress() as on_progress, _work_directory() as work_dir:
            conversion = _conversion(model, quantize, calibration, image_input, input_shape)
            converted = convert_batched(
                conversion, batch, work_dir=work_dir, runtime=tflite_runtime, on_progress=on_progress, threads=threads
            )
            loaded, sample = LoadedModel.from_converted(converted).tapped(tapped), converted.calibration_sample
        planned = None
        if fleet is not None:
            planned = plan_split(deployable_name(model), loaded, fleet, wishes, names, settings)
        elif given is not None:
            planned = PlannedSplit.from_plan(
                resolve_plan(deployable_name(model), loaded, given), len(loaded.graph.operators)
            )
        kind = recognise_model(model).kind
        request = SplitRequest(
            source_path=model,
            source_kind=kind.name.lower().replace("_", "-"),
            quantize="as-is" if kind is SourceKind.TFLITE else quantize,
            n_parts=parts,
            cut_lists=names if planned is None else planned.cut_lists,
            threads=threads,
            plan_text=None if planned is None else planned.plan_text,
            groups=() if planned is None else planned.groups,
            image_input=image_input,
            labels=labels,
            taps_boundaries=tap_boundaries,
        )
        with _progress() as on_progress:
            bundle = split_model(loaded, request, writer, tflite_runtime, sample, on_progress)
    report = None if planned is None else planned.report
    if batch > 1 and not as_json:
        print(_describe_batch(converted))
        if report is not None:
            print(f"the plan counts frames: times {batch} for inputs")
    _show_bundle(
        bundle,
        as_json,
        f"{out}: {_count_partitions(bundle)}, bit-identical to the whole model",
        report,
    )


app.command()(plan)


@app.command()
def cuts(
    model: Path = _MODEL,
    quantize: str = _QUANTIZE,
    calibration: Optional[Path] = _CALIBRATION,
    images: Optional[str] = _IMAGES,
    input_shape: Optional[list[str]] = _INPUT_SHAPE,
    batch: int = _BATCH,
    as_json: bool = _JSON,
) -> None:
    """List every cut of MODEL: where it is, what crosses it, how many bytes.

    Example: python -m converter cuts model.tflite
    """
    image_input = None if images is None else read_image_input(images)
    with _progress() as on_progress, _work_directory() as work_dir:
        conversion = _conversion(model, quantize, calibration, image_input, input_shape)
        converted = convert_batched(
            conversion, batch, work_dir=work_dir, runtime=load_runtime(), on_progress=on_progress
        )
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
    bundle: Path = _BUNDLE,
    plot: Optional[Path] = typer.Option(
        None, metavar="FILE", help=".svg, .png or .pdf to draw the model and its cuts into."
    ),
    as_json: bool = _JSON,
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
    _show_bundle(opened, as_json, f"{names}: {source.file_name}, quantised: {source.quantize}{needs}{batch}")


@app.command()
def sign(
    bundle: Path = _BUNDLE,
    key: Path = typer.Option(..., metavar="KEY.pem", help="Ed25519 private key, in PEM without a password."),
) -> None:
    """Sign BUNDLE, so that boards with --require-signature load it.

    Keys: openssl genpkey -algorithm ed25519 -out KEY.pem; openssl pkey -in KEY.pem -pubout -out PUBLIC_KEY.pem

    Example: python -m converter sign parts/ --key KEY.pem
    """
    print(sign_bundle(open_bundle(bundle), key))


@app.command()
def verify(
    bundle: Path = _BUNDLE,
    runtime: str = _RUNTIME,
    threads: int = typer.Option(1, min=1, help="Threads for the runtime."),
    public_key: Optional[Path] = typer.Option(
        None, metavar="PUBLIC_KEY.pem", help="First check that BUNDLE was signed with the private key to this one."
    ),
    as_json: bool = _JSON,
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


def _require_one_way(boards: str | None, parts: int | None, cut_at: str | None, plan_file: Path | None) -> None:
    given = [
        name
        for name, value in (("--boards", boards), ("--parts", parts), ("--cut-at", cut_at), ("--plan", plan_file))
        if value is not None
    ]
    if given not in (["--boards"], ["--parts"], ["--cut-at"], ["--plan"], ["--boards", "--cut-at"]):
        said = f"{' and '.join(given) or 'nothing'} {'were' if len(given) > 1 else 'was'} said"
        raise OptionError(
            f"{said}: say --boards FILE (plans for the boards you have), --parts N, --cut-at NAME,NAME,... (the `cuts` command "
            "lists the names) or --plan FILE; --boards goes with --cut-at."
        )


@contextmanager
def _work_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="boardline-") as work_dir:
        yield Path(work_dir)


def _conversion(
    model: Path, quantize: str, calibration: Path | None, image_input: ImageInput | None, input_shape: list[str] | None
) -> Conversion:
    return Conversion(model, quantize, calibration, _parse_shapes(input_shape or []), image_input or PRESETS["raw"])


def _describe_batch(converted: ConvertedModel) -> str:
    """What a batch does to the answers, in the words of docs/bits.md."""
    difference = converted.batch_difference
    equal = "bit for bit" if difference == 0 else f"but for {difference:.1g}"
    return f"{converted.batch} inputs in one frame; its answers equal those to single inputs {equal}"


@contextmanager
def _progress() -> Iterator[Callable[[str, float | None], None]]:
    with progress() as display:
        task = display.add_task("starting", total=None)

        def show(what: str, share: float | None) -> None:
            display.update(task, description=what, total=None if share is None else 1.0, completed=share or 0.0)

        yield show


def _count_partitions(bundle: Bundle) -> str:
    """`3 partitions`, or `3 + 2 partitions` of two splittings."""
    return f"{' + '.join(str(len(splitting.partitions)) for splitting in bundle.splittings)} partitions"


def _show_bundle(bundle: Bundle, as_json: bool, title: str, report: PlanReport | None = None) -> None:
    splittings = list_splittings(bundle)
    if as_json:
        print_json(
            {"batch": bundle.batch, "splittings": splittings, **({} if report is None else {"plan": report.as_json()})}
        )
        return
    if report is not None:
        print_plan(report)
    if len(splittings) == 1:
        _show_partitions(title, splittings[0]["partitions"])
        return
    print(title)
    for index, splitting in enumerate(splittings):
        _show_partitions(f"splitting {index}: {splitting['deployment_id']}", splitting["partitions"])


def _show_partitions(title: str, rows: list[dict[str, Any]]) -> None:
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


def _parse_shapes(options: list[str]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for option in options:
        name, _, numbers = option.rpartition("=")
        try:
            shapes[name] = tuple(int(n) for n in numbers.split(","))
        except ValueError:
            raise OptionError(f"--input-shape is {option!r}, expected NAME=N,N,... as in image=224,224,3.") from None
    return shapes
