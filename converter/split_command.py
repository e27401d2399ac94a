"""`python -m converter split`: a model becomes a bundle of partitions."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from bundle import Bundle, BundleWriter
from bundle.labels import read_labels
from bundle.plan_file import read_plan
from converter import planning_options as options
from converter.bundle_table import show_bundle
from converter.command_options import JSON, RUNTIME
from converter.conversion_options import (
    BATCH,
    CALIBRATION,
    IMAGES,
    INPUT_SHAPE,
    MODEL,
    QUANTIZE,
    ConversionOptions,
    shown_progress,
)
from converter.convert import ConvertedModel
from converter.errors import OptionError
from converter.model_source import SourceKind, recognise_model
from converter.planned_split import PlannedSplit, parse_names, plan_split, reachable_boards, resolve_plan
from converter.split_model import LoadedModel, SplitRequest, deployable_name, split_model
from fleet.options import CREDENTIALS, INSECURE
from planner.board_profiles import ProfileSettings
from runtime import load_runtime
from transport.credentials import choose_credentials


def split(
    model: Path = MODEL,
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
    quantize: str = QUANTIZE,
    calibration: Optional[Path] = CALIBRATION,
    images: Optional[str] = IMAGES,
    labels_file: Optional[Path] = typer.Option(
        None, "--labels", metavar="FILE", help="Text with the model's classes, one on each line, in its output's order."
    ),
    input_shape: Optional[list[str]] = INPUT_SHAPE,
    batch: int = BATCH,
    runtime: str = RUNTIME,
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
    as_json: bool = JSON,
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
    conversion = ConversionOptions.read(model, quantize, calibration, images, input_shape, batch)
    labels = [] if labels_file is None else read_labels(labels_file)
    with BundleWriter(out, replace=force) as writer:
        with conversion.converted(tflite_runtime, threads) as converted:
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
            image_input=conversion.image_input,
            labels=labels,
            taps_boundaries=tap_boundaries,
        )
        with shown_progress() as on_progress:
            bundle = split_model(loaded, request, writer, tflite_runtime, sample, on_progress)
    report = None if planned is None else planned.report
    if batch > 1 and not as_json:
        print(_describe_batch(converted))
        if report is not None:
            print(f"the plan counts frames: times {batch} for inputs")
    show_bundle(
        bundle,
        as_json,
        f"{out}: {_count_partitions(bundle)}, bit-identical to the whole model",
        report,
    )


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


def _describe_batch(converted: ConvertedModel) -> str:
    """What a batch does to the answers, in the words of docs/bits.md."""
    difference = converted.batch_difference
    equal = "bit for bit" if difference == 0 else f"but for {difference:.1g}"
    return f"{converted.batch} inputs in one frame; its answers equal those to single inputs {equal}"


def _count_partitions(bundle: Bundle) -> str:
    """`3 partitions`, or `3 + 2 partitions` of two splittings."""
    return f"{' + '.join(str(len(splitting.partitions)) for splitting in bundle.splittings)} partitions"
