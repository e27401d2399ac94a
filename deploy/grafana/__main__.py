"""Writes the dashboards' JSON into a directory."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.board import board
from deploy.grafana.chain import chain
from deploy.grafana.fleet import fleet

DASHBOARDS = {"fleet": fleet, "chain": chain, "board": board}


def main() -> None:
    """`python -m deploy.grafana DIRECTORY`."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in DASHBOARDS.items():
        dashboard = make().build()
        for number, panel in enumerate(dashboard.panels or [], start=1):
            panel.id_val = number  # links and alerts name panels by it
        text = JSONEncoder(sort_keys=True, indent=2).encode(dashboard)
        (directory / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
