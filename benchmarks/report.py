"""Writes docs/performance.md from the rows kept under docs/performance: `python -m benchmarks.report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from benchmarks import strips_table
from benchmarks.chain.plot import plot_rows
from benchmarks.chain.table import COST, THROUGHPUT, cells
from benchmarks.rows import FlatRow, RowsError, read_rows
from terminal import command_app, run

_DOCS = Path(__file__).parents[1] / "docs"
_DOCS_OPTION = typer.Option(_DOCS, "--docs", help="The directory with performance/*.json.")
_PICTURE = "images/performance.svg"
_MACHINE = ("processor", "usable_cores", "kernel", "runtime", "python", "day")
_SOAK = (
    ("board", "board"),
    ("model", "model"),
    ("frames", "frames"),
    ("frame MiB", "frame_bytes"),
    ("loaded MiB", "resident_loaded_bytes"),
    ("peak MiB", "resident_peak_bytes"),
    ("beyond MiB", "resident_beyond_bytes"),
    ("allowed MiB", "resident_allowed_bytes"),
    ("bytes per frame", "resident_slope_bytes_per_frame"),
)
_MIB = 2**20

_HEAD = """\
# Performance

Made from the rows in `docs/performance/` by `python -m benchmarks.report`; do not edit it.
"""
_CHAIN = """\
## Chains of emulated boards

Every board is a network namespace with a share of a core and a link of its own (`benchmarks/boards`), so shares and ratios hold
and images per second are this machine's. The networks are those of keras.applications with random weights; the chain is what the
planner chooses for so many equal boards. All that is compared was measured in turns, in one run.

- bound: the reciprocal of the slowest stage's `invoke` or link, each alone; share: what of it the chain reaches
- x one board: against one board with the whole model; x replicas: against the whole model on every board
- x DEFER-style: against Keras `predict`, ZFP and LZ4 over TCP on the same boards, cut at the nearest layers (float32 only)
- batch: images in a frame; all figures are an image's, latencies from taking it to its answer; one board and replicas have the same
- queueing: median latency at full load beyond that of a frame alone, in times of the slowest stage
- outside: processor time of all boards outside `invoke`; per MB: of what they received and sent
- +TLS: with mutual TLS on every hop; of plaintext: against the same chain without, in turn with it
- +spare: boards with a second share of a core, for all but the thread that computes

"board's CPU / one board's": processor time per image of the mean board, over that of the one board with the whole model. Its
reciprocal is the most that the chain can be faster than one board, were all boards equally busy: where boards have no core to
spare, what moves tensors is taken from computing, and a part of a model that other boards push out of shared caches computes
longer than the whole did alone.
"""
_SOAKED = """\
## Memory over many frames

What a node service keeps resident beyond runtime and partition; the slope is over the second half of the run.
"""

_STRIPS = """\
## Models that boards share

One image at a time, on emulated boards (`benchmarks/boards`), against the first board alone, in turns in one run; medians over the
frames of all runs. Speed-ups hold for boards whose operators take as long against their messages as here.

- plan: how much longer it says that a frame takes than was measured (ours was tried in service, the others are sums of operators
  and messages); on the wire: what of the plan's time would be gone if pieces arrived at once, and so the most that could be
  gained by computing first what neighbours wait for. Before 2026-12-01, and for VGG16 at 0.05 core, ours is a sum as well
- waits: of the board that waits longest; CPU: a frame's on the busiest board, in all and inside the runtime. Divided by the
  board's cores that is what no order of work and messages goes below
- runtime allows: the speed-up if boards alike did nothing but compute their strips, and waited for nothing. Strips overlap, and
  each board reads all weights of the rows it has
"""


class ReportError(Exception):
    """Nothing to report."""


app = command_app("Writes docs/performance.md.")


@app.command()
def report(docs: Path = _DOCS_OPTION) -> None:
    """Write performance.md and its picture from the kept rows.

    Example: python -m benchmarks.chain --json-file docs/performance/chain.json && python -m benchmarks.report
    """
    files = kept_files(docs)
    (docs / "performance.md").write_text(render_page(files), encoding="utf-8")
    chains = [row for rows in files.values() for row in rows if row["benchmark"] == "chain"]
    if chains:
        (docs / _PICTURE).parent.mkdir(exist_ok=True)
        plot_rows(_by_machine(chains)[0], docs / _PICTURE)


def kept_files(docs: Path) -> dict[str, list[FlatRow]]:
    """The rows of each file, by its name. Raises: ReportError: there are none. RowsError: a file holds something else."""
    files = {path.name: read_rows(path) for path in sorted((docs / "performance").glob("*.json"))}
    if not any(files.values()):
        raise ReportError(f"no rows in {docs}/performance. Make some: python -m benchmarks.chain --json-file FILE")
    return files


def render_page(files: dict[str, list[FlatRow]]) -> str:
    """The page's text. Args: files: rows by the name of their file."""
    return "\n".join([_HEAD, *_sections(files)])


def _sections(files: dict[str, list[FlatRow]]) -> Iterator[str]:
    chains, soaks = _of(files, "chain"), _of(files, "soak")
    if chains:
        yield _CHAIN
        yield f"![images per second over boards, with the bound]({_PICTURE})\n"
        for rows in _by_machine(chains):
            yield f"### On {rows[0]['processor']}, {rows[0]['day']}\n"
            yield _machines(rows)
            for text, columns in (("#### Throughput and latency\n", THROUGHPUT), ("#### What an image costs\n", COST)):
                yield text
                yield _table([name for name, _, _ in columns], [cells(row, columns) for row in rows])
        yield _reproduce(files, "chain", "python -m benchmarks.chain --json-file FILE", chains)
    if soaks:
        yield _SOAKED
        yield _machines(soaks)
        yield _table([name for name, _ in _SOAK], [[_soak_cell(row, name) for _, name in _SOAK] for row in soaks])
        yield _reproduce(files, "soak", "python -m benchmarks.soak --json-file FILE", soaks)
    if shared := _of(files, "strips"):
        yield _STRIPS
        machines = dict.fromkeys(f"{row['processor']}, {row['day']}" for row in shared)
        yield f"Measured on {'; '.join(machines)}.\n"
        yield _table(strips_table.HEADINGS, list(strips_table.cells(shared)))
        yield _reproduce(files, "strips", "python -m benchmarks.strips --json > FILE", shared)
    others = sorted({str(row["benchmark"]) for rows in files.values() for row in rows} - {"chain", "soak", "strips"})
    for benchmark in others:
        rows = _of(files, benchmark)
        yield f"## {benchmark}\n"
        names = [name for name in rows[0] if name != "benchmark" and any(row[name] is not None for row in rows)]
        yield _table(names, [[_plain(row[name]) for name in names] for row in rows])
        yield _reproduce(files, benchmark, f"python -m benchmarks.{benchmark} --json > FILE", rows)


def _of(files: dict[str, list[FlatRow]], benchmark: str) -> list[FlatRow]:
    return [row for rows in files.values() for row in rows if row["benchmark"] == benchmark]


def _by_machine(rows: Sequence[FlatRow]) -> list[list[FlatRow]]:
    """Figures of one machine are no measure for another's; the latest come first."""
    found: dict[tuple[object, object], list[FlatRow]] = {}
    for row in rows:
        found.setdefault((row["processor"], row["kernel"]), []).append(row)
    return sorted(found.values(), key=lambda own: max(str(row["day"]) for row in own), reverse=True)


def _machines(rows: Sequence[FlatRow]) -> str:
    found = dict.fromkeys(tuple(row.get(name) for name in _MACHINE) for row in rows)
    lines = [
        f"Measured on {processor}, {cores} cores, {kernel}, {runtime}, Python {python}, {day}."
        for processor, cores, kernel, runtime, python, day in found
    ]
    return "\n".join(lines) + "\n"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _soak_cell(row: FlatRow, name: str) -> str:
    value = row[name]
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / _MIB:.1f}"
    return _plain(value)


def _plain(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reproduce(files: dict[str, list[FlatRow]], benchmark: str, command: str, rows: Sequence[FlatRow]) -> str:
    names = [name for name, own in files.items() if any(row["benchmark"] == benchmark for row in own)]
    links = ", ".join(f"[{name}](performance/{name})" for name in names)
    return f"{len(rows)} rows: {links}. To measure again: `{command}`; its `--help` has all that can be chosen.\n"


def main() -> None:
    """Entry point of `python -m benchmarks.report`."""
    run(app, (ReportError, RowsError))


if __name__ == "__main__":
    main()
