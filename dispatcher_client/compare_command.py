"""`python -m dispatcher_client compare`: what a chain computes, against the whole model, on a user's own data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from bundle import Bundle, open_bundle
from dispatcher_client.bench_inputs import split_inputs
from dispatcher_client.command_options import BOARDS, BUNDLE, JSON, PLAN, TIMEOUT, read_values, require_directory
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.errors import ComparisonError, OptionError
from dispatcher_client.extras import extra
from dispatcher_client.micro_batches import single_specs
from dispatcher_client.placement import place_chains
from dispatcher_client.plots import require_plots
from fleet.inventory import load_inventory, parse_boards
from fleet.options import CREDENTIALS, INSECURE
from terminal import print_json, progress
from transport.credentials import choose_credentials
from transport.tensor_codec import AUTO
from transport.tensor_spec import Array

if TYPE_CHECKING:
    from dispatcher_client.comparison.compare import Inputs
    from dispatcher_client.comparison.pairs import TensorPair
    from dispatcher_client.comparison.whole_model import WholeModel

_ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class _Data:
    """What each input is called, and the inputs, which can be read again and again."""

    names: Sequence[str]
    inputs: Inputs


def compare(
    bundle: Path = BUNDLE,
    boards: str = BOARDS,
    data: list[Path] = typer.Option(
        ...,
        metavar="FILE",
        help=".npy, or .npz by input name, of inputs one behind the other; or photographs and directories of them. Repeatable.",
    ),
    against: Optional[Path] = typer.Option(
        None,
        metavar="MODEL",
        help="Whole model to compare with: .tflite, or a bundle of it. (default: BUNDLE's own: what codecs change)",
    ),
    codec: Optional[list[str]] = typer.Option(
        None,
        metavar="CODEC",
        help="Coding of tensors between boards, as for `infer`; repeatable, each is compared. (default: auto, lossless)",
    ),
    plan: Optional[Path] = PLAN,
    threads: int = typer.Option(1, min=1, help="Threads for the whole model here."),
    plot: Optional[Path] = typer.Option(
        None, metavar="FILE", help="Draw the differences, tensor by tensor and input by input: .svg, .png or .pdf."
    ),
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    timeout_s: float = TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Run your data through the chain and through a whole model here, and show what differs, tensor by tensor.

    Compared are the outputs and the taps of BUNDLE: split it with --tap-boundaries or --taps, see docs/taps.md. This is how to
    decide on int8, against the float model, and on a lossy codec.

    Example: python -m dispatcher_client compare parts/ --boards boards.yaml --against model.tflite --data photos/
    """
    # an application needs none of this, and a small client does not install it
    with extra("planner", "comparing needs"):
        from dispatcher_client.comparison.compare import compare_chains
        from dispatcher_client.comparison.plot import plot_comparison
        from dispatcher_client.comparison.report import Comparison, show_comparison
    require_plots(plot)
    require_directory(plot, "the picture")
    credentials = choose_credentials(credentials_dir, insecure)
    opened = open_bundle(bundle)
    inventory = load_inventory(parse_boards(boards))
    placements = place_chains(opened, inventory.serving, plan)
    read = _read_data(opened, data)
    pairs, whole = _load_whole_model(opened, against or bundle, threads)
    compared = [pair for pair in pairs if not pair.reason]
    chains = {
        name: Dispatcher(
            opened,
            inventory,
            plan=plan,
            taps=[pair.spec.name for pair in compared if not pair.is_output],
            credentials=credentials,
            insecure=insecure,
            codec=name,
            open_timeout_s=timeout_s,
            reply_timeout_s=timeout_s,
            recovers=False,  # the chain that was asked for is compared, or none
        )
        for name in codec or [AUTO]
    }
    whole.run(next(iter(read.inputs())))  # before boards are asked for anything: an input that it does not take
    with ExitStack() as opening, progress() as display:
        task = display.add_task("inputs", total=len(read.names))
        for chain in chains.values():
            opening.enter_context(chain)
        figures = compare_chains(chains, whole, compared, read.inputs, lambda: display.advance(task))
    found = Comparison(
        opened.manifest.model_name,
        str(against or "its own whole model"),
        read.names,
        figures,
        [pair for pair in pairs if pair.reason],
        placements,
    )
    if plot is not None:
        plot_comparison(found, plot)
    if as_json:
        print_json(found.as_json())
    else:
        show_comparison(found)


def _load_whole_model(opened: Bundle, source: Path, threads: int) -> tuple[list[TensorPair], WholeModel]:
    """What is compared, and the model that it is compared with.

    Raises: ComparisonError: it is none, the runtime refuses it, or it has nothing to compare.
    """
    from dispatcher_client.comparison.pairs import pair_tensors
    from dispatcher_client.comparison.whole_model import WholeModel
    from partitioning import PartitioningError
    from planner.errors import PlannerError
    from planner.sources import model_of_bundle, open_model
    from runtime import TfliteRuntimeError, load_runtime

    try:
        graph = open_model(source).graph
        pairs = pair_tensors(opened.manifest, model_of_bundle(opened).graph, graph)
        indices = [pair.tensor_index for pair in pairs if pair.tensor_index is not None]
        if not indices:
            reasons = "\n  ".join(f"{pair.name}: {pair.reason}" for pair in pairs)
            raise ComparisonError(f"{source} has nothing to compare {opened.path} with:\n  {reasons}")
        inputs = single_specs(opened.manifest.inputs, opened.batch)
        return pairs, WholeModel(graph, indices, inputs, load_runtime(), threads)
    except (PlannerError, PartitioningError, TfliteRuntimeError) as error:
        raise ComparisonError(str(error)) from error


def _read_data(opened: Bundle, paths: Sequence[Path]) -> _Data:
    """Raises: InputError: a file cannot be read, or does not fit the model. OptionError: arrays and something else."""
    specs = single_specs(opened.manifest.inputs, opened.batch)
    arrays = [path for path in paths if path.suffix in _ARRAYS]
    if not arrays:
        return _read_photographs(opened, paths)
    if len(paths) > 1:
        raise OptionError(
            "--data takes one .npy or .npz, or photographs. Put the arrays into one file, one behind the other."
        )
    inputs = split_inputs(specs, read_values(arrays[0]))
    return _Data([str(number) for number in range(len(inputs))], lambda: inputs)


def _read_photographs(opened: Bundle, paths: Sequence[Path]) -> _Data:
    """They are read again each time, not kept: a directory of them may be larger than memory."""
    with extra("photographs", "reading photographs needs"):
        from dispatcher_client.photographs import find_photographs, read_input, require_image_input
    require_image_input(opened.manifest)
    found = find_photographs(paths)
    (spec,) = opened.manifest.inputs

    def inputs() -> Iterator[Mapping[str, Array]]:
        for path in found:
            yield {spec.name: read_input(opened.manifest, path)}

    return _Data([str(path) for path in found], inputs)
