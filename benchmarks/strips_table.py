"""What rows of `benchmarks.strips` look like to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.rows import FlatRow

Column = tuple[str, Callable[[FlatRow], str]]


def _number(name: str, form: str, per: float = 1.0) -> Callable[[FlatRow], str]:
    return lambda row: "-" if row[name] is None else format(float(str(row[name])) / per, form)


def _text(name: str) -> Callable[[FlatRow], str]:
    return lambda row: str(row[name])


def _speed_up(name: str) -> Callable[[FlatRow], str]:
    return lambda row: f"{float(str(row[name])):.2f} x"


def _planned_share(row: FlatRow) -> str:
    return f"{float(str(row['predicted_ms'])) / float(str(row['latency_ms'])) - 1:+.0%}"


# The first three are words.
_COLUMNS: Sequence[Column] = (
    ("model", _text("model")),
    ("dtype", _text("dtype")),
    ("case", _text("case")),
    ("cores", lambda row: ", ".join(f"{float(str(row['cores_per_board'])) * float(s):g}" for s in str(row["speeds"]).split(","))),
    ("Mbit/s", _number("link_mbit_s", "g")),
    ("segments", _text("segments")),
    ("ms", _number("latency_ms", ".1f")),
    ("speed-up", _speed_up("speedup_vs_one_board")),
    ("plan", _planned_share),
    ("planned speed-up", _speed_up("predicted_speedup")),
    ("of it on the wire ms", _number("predicted_wire_ms", ".1f")),
    ("kB exchanged", _number("bytes_exchanged", ".0f", 1e3)),
    ("waits ms", _number("wait_ms", ".1f")),
    ("CPU ms", _number("service_cpu_ms", ".1f")),
    ("of it in the runtime", _number("invoke_cpu_ms", ".1f")),
)  # fmt: skip


_ALLOWED = "runtime allows"
HEADINGS = [*(name for name, _ in _COLUMNS), _ALLOWED]


def cells(rows: Sequence[FlatRow]) -> Iterator[list[str]]:
    """Each row's, in the order of the headings. Groups follow the one board that they are compared with."""
    alone = None
    for row in rows:
        alone = row if row["case"] == "one board" else alone
        yield [*(show(row) for _, show in _COLUMNS), _allowed(row, alone)]


def _allowed(row: FlatRow, alone: FlatRow | None) -> str:
    """The speed-up if boards did nothing but compute their strips: none can be better. Of boards alike only."""
    if alone is None or row["case"] != "shared" or len(set(str(row["speeds"]).split(","))) > 1:
        return "-"
    return f"{float(str(alone['invoke_cpu_ms'])) / float(str(row['invoke_cpu_ms'])):.2f} x"
