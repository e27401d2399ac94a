"""`python -m benchmarks.gateway`: what clients of Triton get through the gateway, against the dispatcher's own stream.

One chain of emulated boards has both before it. They answer in turns, so that what else the machine does concerns all alike; the
client, the gateway and the dispatcher share what the boards leave of this machine.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http.aio
import typer
from tritonclient.utils import np_to_triton_dtype

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.chain.bundles import write_equal_parts
from benchmarks.keras_models import tflite_file
from benchmarks.machine import this_machine
from benchmarks.rows import print_rows
from bundle import open_bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.values import public_name
from examples.local_gateway import LocalGateway
from terminal import command_app, one_of, print_table, progress, run

# Until the window has settled and the boards' quotas are in their stride.
_WARM_UP_FRAMES = 60
_TIMEOUT_S = 60.0
_DIRECT = "Dispatcher.stream"
# HTTP has no stream: so many requests at a time for each board.
_CALLS_PER_BOARD = 3

Turn = Callable[[int], None]


@dataclass(frozen=True)
class Row:
    """One way to ask: the medians over the turns, and the median of the turns' ratios to the dispatcher's own stream."""

    case: str
    model: str
    dtype: str
    boards: int
    cores_per_board: float
    link_mbit_s: float
    turns: int
    images_per_s: float
    share_of_direct: float
    processor: str
    day: str


app = command_app("Measures what the gateway costs.")


@app.command()
def gateway(
    model: str = typer.Option("ResNet50", help="A network of keras.applications."),
    dtype: str = typer.Option("float32", callback=one_of(("float32", "int8")), help="float32 or int8."),
    boards: int = typer.Option(4, min=1, help="Boards in the chain; each gets a part of equal time."),
    cores: float = typer.Option(0.2, help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    frames: int = typer.Option(150, min=10, help="Frames of each turn."),
    turns: int = typer.Option(5, min=1, help="Turns of each way."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare the throughput of clients of the gateway with that of the dispatcher's own stream, on the same chain.

    Example: python -m benchmarks.gateway --model MobileNetV2 --dtype int8
    """
    specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * 1e6) for i in range(boards)]
    with progress() as display, tempfile.TemporaryDirectory() as scratch, EmulatedBoards(specs) as cluster:
        display.add_task("measuring", total=None)
        bundle = write_equal_parts(tflite_file(model, dtype), boards, Path(scratch))
        rates = cluster.call(measure, bundle, cluster.named, frames, turns, timeout_s=3600.0)
        warning = cluster.warning
    machine = this_machine()
    rows = [
        Row(
            case,
            model,
            dtype,
            boards,
            cores,
            link_mbit_s,
            turns,
            statistics.median(rates[case]),
            statistics.median(rate / direct for rate, direct in zip(rates[case], rates[_DIRECT])),
            machine.processor,
            machine.day,
        )
        for case in rates
    ]
    if as_json:
        print_rows("gateway", rows)
        return
    print_table(
        f"{model} {dtype} on {boards} boards of {cores:g} cores, {link_mbit_s:g} Mbit/s",
        ("asked through", "images/s", "of the dispatcher's own"),
        [(row.case, f"{row.images_per_s:.2f}", f"{row.share_of_direct:.1%}") for row in rows],
        text_columns=1,
    )
    if warning:
        print(f"warning: {warning}")


def measure(bundle: Path, boards: Sequence[Board], frames: int, turns: int) -> dict[str, list[float]]:
    """Images per second of each turn, by what was asked through. Runs where the dispatcher is, with boards that speak plaintext."""
    opened = open_bundle(bundle)
    sample = opened.load_sample()[0]
    by_name = {public_name(spec): sample[spec.name] for spec in opened.manifest.inputs}
    name, addresses = opened.manifest.model_name, ",".join(str(board.address) for board in boards)
    with (
        Dispatcher(opened, list(boards), insecure=True, open_timeout_s=120.0) as chain,
        LocalGateway([str(bundle)], addresses, None, ("--timeout-s", "120")) as served,
    ):
        n_calls = _CALLS_PER_BOARD * len(boards)
        ways: dict[str, Turn] = {
            _DIRECT: lambda n: _drain(chain.stream(itertools.repeat(sample, n))),
            "gateway, gRPC stream": lambda n: _grpc_stream(served.grpc, name, by_name, n),
            "gateway, HTTP": lambda n: asyncio.run(_http(served.http, name, by_name, n, n_calls)),
        }
        for turn in ways.values():
            turn(_WARM_UP_FRAMES)
        rates: dict[str, list[float]] = {case: [] for case in ways}
        for _ in range(turns):
            for case, turn in ways.items():
                begun_s = time.perf_counter()
                turn(frames)
                rates[case].append(frames / (time.perf_counter() - begun_s))
    return rates


def _drain(answers: Any) -> None:
    for _ in answers:
        pass


def _inputs(client: Any, by_name: dict[str, np.ndarray[Any, Any]]) -> list[Any]:
    found = []
    for name, array in by_name.items():
        found.append(client.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        found[-1].set_data_from_numpy(array)
    return found


def _grpc_stream(address: str, model: str, by_name: dict[str, np.ndarray[Any, Any]], n: int) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: heard.put(error))
        for _ in range(n):
            client.async_stream_infer(model, _inputs(tritonclient.grpc, by_name))
        for _ in range(n):
            error = heard.get(timeout=_TIMEOUT_S)
            if error is not None:
                raise error
        client.stop_stream()


async def _http(address: str, model: str, by_name: dict[str, np.ndarray[Any, Any]], n: int, n_calls: int) -> None:
    async with tritonclient.http.aio.InferenceServerClient(
        address, conn_limit=n_calls, conn_timeout=_TIMEOUT_S
    ) as client:
        left = iter(range(n))

        async def ask() -> None:
            for _ in left:  # shared: each takes the next
                await client.infer(model, _inputs(tritonclient.http.aio, by_name))

        await asyncio.gather(*(ask() for _ in range(n_calls)))


def main() -> None:
    """Entry point of `python -m benchmarks.gateway`."""
    run(app, (EmulationError,))


if __name__ == "__main__":
    main()
