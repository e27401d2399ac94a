"""`python -m dispatcher_client infer`: one input and its answer, or photographs and the classes seen in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import numpy as np
import typer

from bundle import open_bundle
from dispatcher_client.command_options import (
    BOARDS,
    CODEC,
    JSON,
    PLAN,
    TIMEOUT,
    TRACE,
    read_values,
    require_directory,
)
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.errors import InputError, OptionError
from dispatcher_client.extras import extra
from dispatcher_client.tracing import TraceRecorder
from dispatcher_client.values import Values, json_numbers, named_answer
from fleet.inventory import parse_boards
from fleet.options import CREDENTIALS, INSECURE
from terminal import print_error, print_json, print_table, progress
from transport.credentials import choose_credentials
from transport.tensor_spec import Array


def infer(
    paths: Optional[list[Path]] = typer.Argument(
        None,
        metavar="[BUNDLE] PHOTO",
        help="The bundle, unless --bundle names it; then photographs, and directories of them.",
    ),
    bundle: Optional[Path] = typer.Option(None, "--bundle", metavar="BUNDLE", help="Instead of the first argument."),
    boards: str = BOARDS,
    input_file: Optional[Path] = typer.Option(
        None,
        "--input",
        metavar="FILE",
        help="Instead of photographs: .npy for one input, .npz by input name for several.",
    ),
    output_file: Optional[Path] = typer.Option(
        None, "--output", metavar="FILE", help=".npz to write the answer to --input to, by output name."
    ),
    top: Optional[int] = typer.Option(None, min=1, help="Classes to show of each photograph. (default: 5)"),
    plan: Optional[Path] = PLAN,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    codec: str = CODEC,
    trace: Optional[Path] = TRACE,
    timeout_s: float = TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Send photographs, or one input, through the chain and print the answers.

    Of photographs: the likeliest classes; with --json a line for each. One that cannot be read is an error line, and exit status
    1 in the end; the others are answered.

    Example: python -m dispatcher_client infer photos/ --bundle parts/ --boards boards.yaml
    """
    named = [*([] if bundle is None else [bundle]), *(paths or [])]
    if not named:
        raise OptionError("no bundle was named: give it as the first argument, or as --bundle.")
    opened, photographs = open_bundle(named[0]), named[1:]
    _require_one_way(photographs, input_file, output_file, top)
    for path, what in ((output_file, "the answer"), (trace, "the trace")):
        require_directory(path, what)
    recorder = TraceRecorder()
    chain = Dispatcher(
        opened,
        parse_boards(boards),
        plan=plan,
        credentials=choose_credentials(credentials_dir, insecure),
        insecure=insecure,
        codec=codec,
        open_timeout_s=timeout_s,
        reply_timeout_s=timeout_s,
        recovers=False,  # a few answers are not worth warming spares; who asks wants to hear which board is gone
        on_reply=recorder,
    )
    if input_file is None:
        are_all_read = _show_photographs(chain, photographs, top, as_json)
    else:
        are_all_read = True
        _show_answer(chain, read_values(input_file), output_file, as_json)
    if trace is not None:
        recorder.write(trace, chain.stages)
    if not are_all_read:
        raise typer.Exit(1)


def _require_one_way(
    photographs: Sequence[Path], input_file: Path | None, output_file: Path | None, top: int | None
) -> None:
    if bool(photographs) == (input_file is not None):
        said = "both were" if photographs else "neither was"
        raise OptionError(f"{said} said: give photographs after the bundle, or --input FILE.")
    unused = [
        name
        for name, is_unused in (("--output", photographs and output_file), ("--top", input_file and top))
        if is_unused
    ]
    if unused:
        raise OptionError(
            f"{unused[0]} goes with {'--input' if photographs else 'photographs'} only: photographs are answered with their "
            "classes, on the screen; an input with the model's outputs."
        )


def _show_photographs(chain: Dispatcher, paths: Sequence[Path], top: int | None, as_json: bool) -> bool:
    """Prints what the chain sees; whether all could be read."""
    # who sends arrays needs no Pillow, and a small client does not install it
    with extra("photographs", "reading photographs needs"):
        from dispatcher_client.photographs import TOP, classify_photographs, find_photographs, require_classifier
    require_classifier(chain.manifest)
    found = find_photographs(paths)
    rows: list[tuple[object, ...]] = []
    n_unread = 0
    with progress() as display, chain:
        task = display.add_task("photographs", total=len(found))
        for seen in classify_photographs(chain, found, top or TOP):
            display.advance(task)
            n_unread += bool(seen.error)
            if as_json:
                print(json.dumps({**asdict(seen), "path": str(seen.path)}), flush=True)
            elif seen.error:
                print_error(seen.error)
            else:
                names = [str(seen.path)] + [""] * (len(seen.classes) - 1)
                rows += [(name, c.label, f"{c.score:.4f}") for name, c in zip(names, seen.classes)]
    if rows:
        print_table(f"{len(found) - n_unread} photographs", ("photograph", "class", "score"), rows, text_columns=2)
    return not n_unread


def _show_answer(chain: Dispatcher, values: Values, output_file: Path | None, as_json: bool) -> None:
    with chain:
        answer = chain.infer(values)
    named = named_answer(chain.manifest, answer)
    if output_file is not None:
        _write_answer(output_file, named)
    if as_json:
        print_json({name: json_numbers(array) for name, array in named.items()})
        return
    for name, array in named.items():
        print(f"{name}: {array.dtype.name} {list(array.shape)}")
        print(array)


def _write_answer(path: Path, named: dict[str, Array]) -> None:
    try:
        with path.open("wb") as file:  # as a file, because numpy would append a suffix to a name
            np.savez(file, **named)  # type: ignore[arg-type]  # the stub confuses arrays with options
    except OSError as error:
        raise InputError(f"the answer cannot be written to {path}: {error}.") from error
