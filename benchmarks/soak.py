"""Memory of node services over many frames: `python -m benchmarks.soak`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import typer

from benchmarks.chain.bundles import write_bundle
from benchmarks.keras_models import DTYPES, small_tflite_file
from benchmarks.machine import this_machine
from benchmarks.rows import flat_rows, write_rows
from benchmarks.soaking import Row, soak
from converter.convert import convert_to_tflite
from converter.split_model import LoadedModel
from dispatcher_client import DispatcherError
from examples.local_boards import LocalBoards
from partitioning import split_minimax
from partitioning.operator_work import estimate_work
from terminal import command_app, one_of, print_json, print_table, progress, run

_MIB = 2**20
_JSON_FILE = typer.Option(None, metavar="FILE", help="Where to write the rows, table or not.")

app = command_app("Watches memory over many frames.")


@app.command()
def soak_command(
    frames: int = typer.Option(100_000, min=100, help="Frames to send."),
    boards: int = typer.Option(3, min=1, help="Node services, on this machine."),
    dtype: str = typer.Option("float32", callback=one_of(DTYPES), help="Of the small network that is run."),
    image_size: int = typer.Option(
        32, min=16, max=400, help="Side of its images in pixels; frames have 0.13 MB at 32, 3.3 MB at 160 (float32)."
    ),
    codec: str = typer.Option("raw", help="How tensors are coded between boards, as the dispatcher takes it."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
    json_file: Optional[Path] = _JSON_FILE,
) -> None:
    """Send frames through a chain of local node services and watch what each of them keeps resident.

    Example: python -m benchmarks.soak --frames 5000 --image-size 160
    """
    file = small_tflite_file(dtype, image_size)
    with tempfile.TemporaryDirectory() as scratch, progress() as display:
        task = display.add_task("starting node services", total=frames)
        bundle = write_bundle(file, [_equal_cuts(file, boards)], Path(scratch))
        with LocalBoards(boards, Path(scratch) / "stores") as local:
            found = soak(
                bundle,
                local,
                frames,
                codec=codec,
                dtype=dtype,
                on_frame=lambda done: display.update(task, description="frames", completed=done),
            )
    machine = flat_rows("soak", [this_machine()])[0]
    rows = [{**row, **machine} for row in flat_rows("soak", found)]
    if json_file is not None:
        write_rows(json_file, rows)
    if as_json:
        print_json(rows)
        return
    _print(found)


def _equal_cuts(file: Path, parts: int) -> list[int]:
    """Parts of equal arithmetic: what they take says nothing here."""
    converted = convert_to_tflite(file, work_dir=file.parent, on_progress=lambda what, share: None)
    graph = LoadedModel.from_converted(converted).graph
    return split_minimax(estimate_work(graph), parts, [])


def _print(rows: Sequence[Row]) -> None:
    first = rows[0]
    print_table(
        f"{first.model}: {first.frames} frames at {first.images_per_s:.0f} images/s",
        (
            "board",
            "loaded MiB",
            "end MiB",
            "peak MiB",
            "beyond MiB",
            "allowed MiB",
            "bytes/frame",
            "frame kB",
            "within",
        ),
        (
            (
                r.board,
                f"{r.resident_loaded_bytes / _MIB:.1f}",
                f"{r.resident_end_bytes / _MIB:.1f}",
                f"{r.resident_peak_bytes / _MIB:.1f}",
                f"{r.resident_beyond_bytes / _MIB:.1f}",
                f"{r.resident_allowed_bytes / _MIB:.1f}",
                f"{r.resident_slope_bytes_per_frame:+.2f}",
                f"{r.frame_bytes / 1e3:.1f}",
                "yes" if r.is_within_allowed else "NO",
            )
            for r in rows
        ),
    )


def main() -> None:
    """Entry point of `python -m benchmarks.soak`."""
    run(app, (DispatcherError, RuntimeError))


if __name__ == "__main__":
    main()
