"""`python -m examples.monitored_fleet BUNDLE`: boards on this machine at work, and a Prometheus that watches them.

With `--pictures DIR` the dashboards are drawn at the end; to look at them in a Grafana, give it the printed address as its
Prometheus.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Optional

import typer

from bundle import open_bundle
from dispatcher_client import Dispatcher
from examples.dashboard_picture import draw_dashboard
from examples.local_boards import LocalBoards, metrics_address
from examples.local_prometheus import LocalPrometheus

DASHBOARDS = Path(__file__).parents[1] / "deploy" / "ansible" / "roles" / "grafana" / "files" / "dashboards"


def main(
    bundle: Path = typer.Argument(..., metavar="BUNDLE"),
    seconds: float = typer.Option(60.0, min=5.0, help="How long to stream."),
    pictures: Optional[Path] = typer.Option(None, metavar="DIR", help="Draw the dashboards there."),
) -> None:
    """Streams the bundle's sample through one board for each of its partitions, and one more."""
    opened = open_bundle(bundle)
    x = opened.load_sample()[0]
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (work / "prometheus").mkdir()
        boards = stack.enter_context(LocalBoards(len(opened.splittings[0].partitions) + 1, work / "stores"))
        chain = stack.enter_context(
            Dispatcher(opened, boards.named, credentials=boards.credentials, metrics="127.0.0.1:0")
        )
        prometheus = stack.enter_context(LocalPrometheus(work / "prometheus"))
        prometheus.nodes({board.name: (metrics_address(board), {}) for board in boards.boards})
        prometheus.dispatchers({"example": str(chain.metrics_address)})
        print(f"prometheus: {prometheus.url}", flush=True)
        stop_s = time.monotonic() + seconds
        for _ in chain.stream(itertools.takewhile(lambda _: time.monotonic() < stop_s, itertools.repeat(x))):
            pass
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            for dashboard in sorted(DASHBOARDS.glob("*.json")):
                draw_dashboard(prometheus, dashboard, seconds, pictures / f"{dashboard.stem}.png")


if __name__ == "__main__":
    typer.run(main)
