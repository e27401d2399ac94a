"""What a change of version costs a service at full load: `python -m benchmarks.rollout ONE TWO`."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from bundle import Bundle, BundleError, open_bundle
from dispatcher_client import Dispatcher, DispatcherError
from examples.local_boards import LocalBoards
from terminal import command_app, print_json, print_table, run

# Answers just outside a change tell of the gap at its ends.
_MARGIN_S = 0.05

_ONE = typer.Argument(..., metavar="ONE", help="Bundle of the version that serves first.")
_TWO = typer.Argument(..., metavar="TWO", help="Bundle of the version that takes its place.")

app = command_app("Measures changes of version under load.")


@dataclass(frozen=True)
class Change:
    """One change of version; rates are answers per second."""

    seconds: float
    rate_before: float
    rate_during: float
    longest_gap_s: float


@dataclass(frozen=True)
class Figures:
    """Several changes during one stream at full load."""

    answers: int
    failed: int
    changes: list[Change]


def measure_changes(one: Bundle, two: Bundle, n_changes: int, settle_s: float, stores: Path) -> Figures:
    """Streams the sample through node services on this machine while the versions take turns."""
    inputs, _ = one.load_sample()
    n_boards = max(len(bundle.splittings[0].partitions) for bundle in (one, two))
    answered_s: list[float] = []
    errors: list[BaseException] = []
    spans_s: list[tuple[float, float]] = []
    stop, pause = threading.Event(), threading.Event()

    with LocalBoards(n_boards, stores) as running, Dispatcher(one, running.named) as chain:

        def stream() -> None:
            try:
                frames = itertools.takewhile(lambda _: not stop.is_set(), itertools.repeat(inputs))
                for _ in chain.stream(frames):
                    answered_s.append(time.monotonic())
            except DispatcherError as error:
                errors.append(error)

        thread = threading.Thread(target=stream)
        thread.start()
        for version in itertools.islice(itertools.cycle([two, one]), n_changes):
            pause.wait(settle_s)
            begun_s = time.monotonic()
            chain.deploy(version)
            spans_s.append((begun_s, time.monotonic()))
        pause.wait(settle_s)
        stop.set()
        thread.join()
    return Figures(len(answered_s), len(errors), [_change(answered_s, b, e, settle_s) for b, e in spans_s])


def _change(answered_s: Sequence[float], begun_s: float, ended_s: float, settle_s: float) -> Change:
    near = [s for s in answered_s if begun_s - _MARGIN_S <= s <= ended_s + _MARGIN_S]
    gaps_s = [later - sooner for sooner, later in zip(near, near[1:])]
    before_s = settle_s / 2
    return Change(
        seconds=ended_s - begun_s,
        rate_before=sum(begun_s - before_s <= s < begun_s for s in answered_s) / before_s,
        rate_during=sum(begun_s <= s < ended_s for s in answered_s) / (ended_s - begun_s),
        longest_gap_s=max(gaps_s, default=ended_s - begun_s),
    )


@app.command()
def rollout_command(
    one: Path = _ONE,
    two: Path = _TWO,
    changes: int = typer.Option(3, min=1, help="How often they take turns."),
    settle_s: float = typer.Option(3.0, "--settle-s", min=0.1, help="Time at full load before each change."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Stream at full load through node services on this machine while two versions take turns.

    Example: python -m benchmarks.rollout parts-1/ parts-2/
    """
    with tempfile.TemporaryDirectory() as stores:
        figures = measure_changes(open_bundle(one), open_bundle(two), changes, settle_s, Path(stores))
    if as_json:
        print_json(asdict(figures))
        return
    print_table(
        f"{figures.answers} answers, {figures.failed} failed",
        ("change", "took s", "answers/s before", "during", "longest gap s"),
        (
            (i, f"{c.seconds:.2f}", f"{c.rate_before:.0f}", f"{c.rate_during:.0f}", f"{c.longest_gap_s:.3f}")
            for i, c in enumerate(figures.changes)
        ),
        text_columns=0,
    )


if __name__ == "__main__":
    run(app, (DispatcherError, BundleError))
