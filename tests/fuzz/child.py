"""The process in which a target runs: `python -m tests.fuzz.child ORDER`, where ORDER is an `Order` as JSON."""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.bounds import Bounded
from tests.fuzz.flight import Flight
from tests.fuzz.target import Run, Target, load_target

# Our packages, and what reads foreign bytes for them in Python.
_OURS = "bundle fleet node_service partitioning terminal transport".split()
_JOURNAL = ["dispatcher_client.journal", "dispatcher_client.journal_records"]  # all of the package takes seconds
_GUIDED_BY = [*_OURS, *_JOURNAL, "google.protobuf.json_format", "hpack", "hyperframe", "yaml"]
# What is asked for beyond this fails: the machine has other work.
ROOM_BYTES = 2**30
_MUTATED_AT_ONCE = 1000


@dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
        inputs, seconds: it ends after so many, or so long.
        kept: where inputs that reach new code are kept; `known` are directories with such of before.
        flight: the file of its `Flight`.
        scratch: the target's directory.
    """

    target: str
    engine: str
    inputs: int
    seconds: float
    seed: int
    kept: str
    known: list[str]
    flight: str
    scratch: str


def main() -> None:
    """Does what the order says; ends with a traceback and a status other than 0 at the first input that breaks a bound."""
    order = Order(**json.loads(sys.argv[1]))
    if order.engine == "atheris":
        _guided(order)
    else:
        _mutated(order)


def _guided(order: Order) -> None:
    import atheris

    with atheris.instrument_imports(include=_GUIDED_BY):
        target = load_target(order.target)
    run = contextlib.ExitStack().enter_context(_recorded(order, target))  # atheris ends the process
    words = Path(order.scratch) / "words"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in (*target.tokens, b"\0")))  # an empty file is refused
    options = {
        "runs": order.inputs,
        "max_total_time": max(1, round(order.seconds)),
        "seed": order.seed,
        "max_len": target.max_bytes,
        "len_control": 0,
        "dict": words,
        "artifact_prefix": f"{order.scratch}/",  # what it writes of its own; the flight has the input
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{k}={v}" for k, v in options.items()), order.kept, *order.known], run)
    atheris.Fuzz()


def _mutated(order: Order) -> None:
    from tests.fuzz.mutations import run_mutated

    target = load_target(order.target)
    paths = [path for directory in (order.kept, *order.known) for path in sorted(Path(directory).iterdir())]
    inputs = [path.read_bytes() for path in paths]
    with _recorded(order, target) as run:
        for data in inputs:
            run(data)
        end_s = time.monotonic() + order.seconds
        for number, begun in enumerate(range(len(inputs), order.inputs, _MUTATED_AT_ONCE)):
            if time.monotonic() >= end_s:
                return
            count = min(_MUTATED_AT_ONCE, order.inputs - begun)
            run_mutated(run, inputs, target.tokens, target.max_bytes, count, order.seed + number)


@contextlib.contextmanager
def _recorded(order: Order, target: Target) -> Iterator[Run]:
    flight = Flight(Path(order.flight))
    with target.start(Path(order.scratch)) as inner:
        bounded = Bounded(target, inner)
        most_bytes = _address_space_bytes() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))

        def run(data: bytes) -> None:
            flight.begin(data)
            bounded(data)

        yield run


def _address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
