"""A link's rate falls tenfold under load, and rises again: how soon the codecs follow. `python -m benchmarks.link_drop`."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.chain.bundles import write_bundle
from benchmarks.chain.planned_cuts import PlannedCuts, chain_of
from benchmarks.keras_models import tflite_file
from benchmarks.rows import print_rows
from bundle import open_bundle
from dispatcher_client import Board, Dispatcher, ReplyReport
from dispatcher_client.values import Values
from terminal import command_app, print_table, run
from transport.tensor_codec import codec_name

app = command_app("Measures how soon codecs follow a link's rate.")
_MBIT = 1e6
# Sooner after a change, raw frames are what went before it; later they look at what the link carries.
_PROBES_FROM = 40


@dataclass(frozen=True)
class Row:
    """One change of the rate of the first board's link.

    `frames_to_settle`: of those sent after the change, the first from which on the codecs stay as they are; the few frames that go
    raw to look at the link do not count.
    """

    case: str
    model: str
    dtype: str
    link_mbit_s: float
    images_per_s: float
    bytes_sent_per_image: float
    frames_to_settle: int
    codecs: str
    reason: str


@dataclass(frozen=True)
class _Frame:
    at_s: float  # when it was sent, by time.monotonic, which all processes share
    answered_s: float
    codecs: tuple[str, ...]
    sent_bytes: int
    reason: str


@app.command()
def link_drop(
    model: str = typer.Option("ResNet50", help="A network of keras.applications."),
    dtype: str = typer.Option("int8", help="float32 or int8."),
    cores: float = typer.Option(0.45, help="Share of a core of each of the two boards."),
    link_mbit_s: float = typer.Option(200.0, help="The links, before the drop."),
    factor: float = typer.Option(10.0, min=1.5, help="How far the first board's link falls."),
    phase_s: float = typer.Option(12.0, min=2.0, help="Time of each phase: before, slow, and as before."),
    cut: int = typer.Option(30, help="Where the model is cut."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Lower and raise the rate of one link while two boards answer at full load.

    Example: python -m benchmarks.link_drop --model MobileNetV2 --cut 20
    """
    rates = [link_mbit_s, link_mbit_s / factor, link_mbit_s]
    specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * _MBIT) for i in range(2)]
    changes_s: list[float] = []
    with tempfile.TemporaryDirectory() as scratch, EmulatedBoards(specs) as boards:
        bundle = write_bundle(tflite_file(model, dtype), [(cut,)], Path(scratch)).path

        def change() -> None:
            boards.change_link("pi1", rates[len(changes_s)] * _MBIT)
            changes_s.append(time.monotonic())

        started = Path(scratch) / "started"
        changer = threading.Thread(target=_change_in_turn, args=(started, change, len(rates), phase_s), daemon=True)
        changer.start()
        frames = boards.call(_stream, bundle, boards.named, str(started), phase_s * len(rates), timeout_s=300.0)
        changer.join()
    names = ("before", f"a {factor:g}th of the rate", "as before")
    ends_s = [*changes_s[1:], float("inf")]
    rows = [
        _row(name, model, dtype, rate, [f for f in frames if begin_s <= f.at_s < end_s])
        for name, rate, begin_s, end_s in zip(names, rates, changes_s, ends_s)
    ]
    if as_json:
        print_rows("link_drop", rows)
        return
    print_table(
        f"{model} {dtype}, two boards of {cores:g} cores: what the first board sends to the second",
        ("case", "codecs", "reason", "Mbit/s", "images/s", "kB an image", "frames to settle"),
        (
            (
                r.case,
                r.codecs,
                r.reason,
                f"{r.link_mbit_s:g}",
                f"{r.images_per_s:.1f}",
                f"{r.bytes_sent_per_image / 1e3:.1f}",
                r.frames_to_settle,
            )
            for r in rows
        ),
        text_columns=3,
    )


def _change_in_turn(started: Path, change: Callable[[], None], phases: int, phase_s: float) -> None:
    """On a thread: sets each phase's rate, once the dispatcher streams."""
    deadline_s = time.monotonic() + 120.0
    while not started.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    for _ in range(phases):
        change()
        time.sleep(phase_s)


def _stream(bundle: Path, boards: Sequence[Board], started: str, seconds: float) -> list[_Frame]:
    """Runs where the dispatcher is."""
    frames: list[_Frame] = []
    opened = open_bundle(bundle)
    values = opened.load_sample()[0]

    def note(report: ReplyReport) -> None:
        timing = report.timings[0]
        now_s = time.monotonic()
        codecs = tuple(codec_name(codec) for codec in timing.sent_codecs)
        frames.append(_Frame(now_s - report.latency_s, now_s, codecs, timing.sent_bytes, timing.codec_reason))

    def source() -> Iterator[Values]:
        Path(started).touch()
        stop_s = time.monotonic() + seconds
        while time.monotonic() < stop_s:
            yield values

    splitting = next(s for s in opened.splittings if len(s.partitions) == 2)
    plan = chain_of(opened.manifest.model_name, boards, PlannedCuts(tuple(splitting.cut_indices), None))
    with Dispatcher(
        opened, list(boards), plan=plan, insecure=True, open_timeout_s=120.0, recovers=False, on_reply=note
    ) as chain:
        for _ in range(20):
            chain.infer(values)
        frames.clear()
        for _ in chain.stream(source()):
            pass
    return frames


def _row(case: str, model: str, dtype: str, link_mbit_s: float, frames: Sequence[_Frame]) -> Row:
    last = frames[-1].codecs
    unsettled = [
        i for i, f in enumerate(frames) if f.codecs != last and not (i > _PROBES_FROM and set(f.codecs) == {"raw"})
    ]
    elapsed_s = frames[-1].answered_s - frames[0].answered_s
    return Row(
        case=case,
        model=model,
        dtype=dtype,
        link_mbit_s=link_mbit_s,
        images_per_s=(len(frames) - 1) / elapsed_s,
        bytes_sent_per_image=sum(f.sent_bytes for f in frames) / len(frames),
        frames_to_settle=unsettled[-1] + 1 if unsettled else 0,
        codecs=" + ".join(dict.fromkeys(last)),
        reason=next((f.reason for f in reversed(frames) if f.reason), ""),
    )


def main() -> None:
    """Entry point of `python -m benchmarks.link_drop`."""
    run(app, (EmulationError,))


if __name__ == "__main__":
    main()
