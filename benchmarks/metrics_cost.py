"""`python -m benchmarks.metrics_cost`: what metrics take from a stream, on three boards of this machine.

Two fleets of the same boards answer in turns: one without any metrics server, one whose boards and dispatcher are scraped every
second. What happens on the path of each frame is the same in both, and so is measured by itself: noting a frame on a board, and
an answer in the dispatcher, sorting into buckets included.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from benchmarks.chain.bundles import write_equal_parts
from benchmarks.keras_models import tflite_file
from benchmarks.machine import this_machine
from benchmarks.rows import print_rows
from bundle import Bundle, open_bundle
from dispatcher_client import Dispatcher
from dispatcher_client.chain import ReplyReport
from dispatcher_client.metrics import RequestStatistics
from examples.local_boards import LocalBoards, metrics_address
from node_service.metrics.frame_statistics import FrameFigures, FrameStatistics, StageKey
from protos.v1.data_plane_pb2 import StageTiming
from terminal import print_table
from transport.tensor_spec import Array

_BOARDS = 3
_SCRAPE_EVERY_S = 1.0
_NOTED = 100_000
_US_PER_S = 1e6


@dataclass(frozen=True)
class Row:
    """What one network's chain does with and without; medians over the rounds."""

    case: str
    model: str
    dtype: str
    boards: int
    rounds: int
    images_per_s_without: float
    images_per_s: float
    share_of_without: float
    scrape_ms: float
    note_us: float  # of a board, for each frame
    hear_us: float  # of the dispatcher, for each answer of a chain of so many boards
    processor: str
    day: str


class _Scraper:
    """Asks every second, as Prometheus does."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._over = threading.Event()
        self.took_s: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_SCRAPE_EVERY_S):
            for url in self._urls:
                begun_s = time.perf_counter()
                with urllib.request.urlopen(url, timeout=10) as reply:
                    reply.read()
                self.took_s.append(time.perf_counter() - begun_s)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def _rate(chain: Dispatcher, bundle: Bundle, seconds: float) -> float:
    x = bundle.load_sample()[0]
    begun_s = time.perf_counter()

    def inputs() -> Iterator[dict[str, Array]]:
        while time.perf_counter() - begun_s < seconds:
            yield x

    answered = len([None for _ in chain.stream(inputs())])
    return answered / (time.perf_counter() - begun_s)


def _cost_us(work: Callable[[], object]) -> float:
    begun_s = time.process_time()
    for _ in range(_NOTED):
        work()
    return (time.process_time() - begun_s) / _NOTED * _US_PER_S


def _note_us() -> float:
    statistics_ = FrameStatistics()
    key, figures = StageKey("model-1", 0), FrameFigures(*[1_000_000] * 8, *[500_000] * 5)
    return _cost_us(lambda: statistics_.note(key, figures))


def _hear_us() -> float:
    statistics_ = RequestStatistics()
    timing = StageTiming(decode_ns=10_000, compute_ns=1_000_000, encode_ns=10_000, send_ns=100_000)
    report = ReplyReport(0, 1, 0.0, 0.01, (timing,) * _BOARDS, 1, 1, "model-1")
    return _cost_us(lambda: statistics_.hear(report))


def _measure(name: str, model: Path, rounds: int, seconds: float) -> Row:
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        bundle = open_bundle(write_equal_parts(model, _BOARDS, Path(work)))
        without_boards = stack.enter_context(
            LocalBoards(_BOARDS, Path(work) / "without", ("--threads", "1", "--metrics", "off"))
        )
        boards = stack.enter_context(LocalBoards(_BOARDS, Path(work) / "with"))
        credentials = boards.credentials
        without = stack.enter_context(Dispatcher(bundle, without_boards.named, credentials=credentials))
        chain = stack.enter_context(Dispatcher(bundle, boards.named, credentials=credentials, metrics="127.0.0.1:0"))
        urls = [f"http://{metrics_address(board)}/metrics" for board in boards.boards]
        urls.append(f"http://{chain.metrics_address}/metrics")
        rates: tuple[list[float], list[float]] = [], []
        took_s: list[float] = []
        for _ in range(rounds):
            rates[0].append(_rate(without, bundle, seconds))
            scraper = _Scraper(urls)
            try:
                rates[1].append(_rate(chain, bundle, seconds))
            finally:
                scraper.stop()
            took_s += scraper.took_s
        before, after = (statistics.median(r) for r in rates)
        shares = [b / a for a, b in zip(*rates)]
        scrape_ms = statistics.median(took_s) * 1e3
        machine = this_machine()
        return Row(
            f"{name} in {_BOARDS} parts, scraped every {_SCRAPE_EVERY_S:g} s",
            name,
            "float32",
            _BOARDS,
            rounds,
            before,
            after,
            statistics.median(shares),
            scrape_ms,
            _note_us(),
            _hear_us(),
            machine.processor,
            machine.day,
        )


def main(
    model: str = typer.Option("MobileNetV2", help="A network of keras.applications."),
    rounds: int = typer.Option(10, min=1, help="Turns of both."),
    seconds: float = typer.Option(4.0, min=0.5, help="Of each."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Prints what metrics cost."""
    row = _measure(model, tflite_file(model), rounds, seconds)
    if as_json:
        print_rows("metrics_cost", [row])
        return
    print_table(
        row.case,
        ("images/s without", "with", "share", "a scrape ms", "noting a frame us", "an answer us"),
        [
            (
                f"{row.images_per_s_without:.1f}",
                f"{row.images_per_s:.1f}",
                f"{row.share_of_without:.1%}",
                f"{row.scrape_ms:.1f}",
                f"{row.note_us:.2f}",
                f"{row.hear_us:.2f}",
            )
        ],
    )


if __name__ == "__main__":
    typer.run(main)
