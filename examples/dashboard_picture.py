"""Draws a dashboard's panels from a Prometheus, by the dashboard's own queries, units and places; Grafana has no part in it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.local_prometheus import LocalPrometheus

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 24
_INCH_PER_COLUMN, _INCH_PER_ROW = 0.72, 0.33
_UNITS = {"percentunit": ("%", 100.0), "s": ("ms", 1e3), "Bps": ("MB/s", 1e-6), "bytes": ("MiB", 2.0**-20)}
_WORDS = {"watt": "W", "joule": "J", "celsius": "C", "hertz": "Hz"}
# As when everything is chosen, and four scrapes for a rate.
_CHOSEN = {"$__rate_interval": "10s", "$deployment": ".*", "$dispatcher": ".*", "$chain": ".*", "$board": ".*"}


def draw_dashboard(prometheus: LocalPrometheus, dashboard: Path, seconds: float, picture: Path) -> None:
    """Writes a picture of the last seconds. A row that repeats is drawn once for each stage."""
    from matplotlib.figure import Figure

    content = json.loads(dashboard.read_text())
    panels = _placed(prometheus, content["panels"])
    height = max(place["y"] + place["h"] for _, place, _ in panels)
    figure = Figure(figsize=(_COLUMNS * _INCH_PER_COLUMN, height * _INCH_PER_ROW + 0.4))
    figure.suptitle(content["title"], fontsize=12, y=1 - 0.12 / (height * _INCH_PER_ROW))
    end_s = time.time()
    for panel, place, chosen in panels:
        left, width = place["x"] / _COLUMNS, place["w"] / _COLUMNS
        bottom, tall = 1 - (place["y"] + place["h"]) / height, place["h"] / height
        axes = figure.add_axes((left + 0.035, bottom + 0.3 * tall, width - 0.045, 0.5 * tall))
        title = panel["title"]
        for name, value in chosen.items():
            title = title.replace(name, value)
        axes.set_title(title, fontsize=8, loc="left")
        if panel["type"] == "timeseries":
            _draw_lines(axes, prometheus, panel, chosen, end_s - seconds, end_s)
        elif panel["type"] == "table":
            _draw_table(axes, prometheus, panel, chosen)
        else:
            _draw_numbers(axes, prometheus, panel, chosen)
    figure.savefig(picture, dpi=90)


def _placed(
    prometheus: LocalPrometheus, panels: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, int], dict[str, str]]]:
    """Panels with their places; those of a row that repeats once for each value, which moves the rows below it."""
    rows: list[tuple[bool, list[dict[str, Any]]]] = []
    for panel in panels:
        if panel["type"] == "row":
            rows.append((bool(panel.get("repeat")), []))
        else:
            rows[-1][1].append(panel)
    found, shift = [], 0
    for repeats, of_row in rows:
        values = sorted(prometheus.label_values("boardline_partition_info", "stage")) if repeats else [".*"]
        height = max(panel["gridPos"]["h"] for panel in of_row)
        for number, value in enumerate(values):
            shift += height if number else 0
            chosen = {**_CHOSEN, "$stage": value}
            found += [(p, {**p["gridPos"], "y": p["gridPos"]["y"] + shift}, chosen) for p in of_row]
    return found


def _asked(expression: str, chosen: Mapping[str, str]) -> str:
    for name, value in chosen.items():
        expression = expression.replace(name, value)
    return expression


def _legend(target: dict[str, Any], labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found.group(1), "?"), target.get("legendFormat", ""))


def _unit(panel: dict[str, Any]) -> tuple[str, float]:
    unit = panel["fieldConfig"]["defaults"].get("unit", "none")
    return _UNITS.get(unit, (_WORDS.get(unit, ""), 1.0))


def _draw_lines(
    axes: Axes,
    prometheus: LocalPrometheus,
    panel: dict[str, Any],
    chosen: Mapping[str, str],
    begin_s: float,
    end_s: float,
) -> None:
    words, factor = _unit(panel)
    drawn = []
    for target in panel["targets"]:
        for series in prometheus.query_range(_asked(target["expr"], chosen), begin_s, end_s, 1.0):
            times = [at - end_s for at, _ in series["values"]]
            drawn.append((_legend(target, series["metric"]), times, [float(v) * factor for _, v in series["values"]]))
    stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
    if stacked and drawn:
        length = min(len(values) for _, _, values in drawn)
        axes.stackplot(
            drawn[0][1][-length:],
            [values[-length:] for _, _, values in drawn],
            labels=[name for name, _, _ in drawn],
            alpha=0.7,
        )
    else:
        for name, times, values in drawn:
            axes.plot(times, values, label=name, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(words, fontsize=7)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
    if drawn:
        axes.legend(fontsize=5.5, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.18), ncols=3)


def _draw_numbers(axes: Axes, prometheus: LocalPrometheus, panel: dict[str, Any], chosen: Mapping[str, str]) -> None:
    words, factor = _unit(panel)
    (target,) = panel["targets"]
    found = [
        (_legend(target, s["metric"]), float(s["value"][1]) * factor)
        for s in prometheus.query(_asked(target["expr"], chosen))
    ]
    if panel["type"] == "stat":
        axes.axis("off")
        text = f"{found[0][1]:.3g} {words}" if found else "no data"
        axes.text(0.5, 0.4, text, fontsize=16, ha="center", va="center", color="tab:green")
        return
    axes.barh([name for name, _ in found], [value for _, value in found], color="tab:blue")
    axes.invert_yaxis()
    axes.set_xlabel(words, fontsize=7)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_table(axes: Axes, prometheus: LocalPrometheus, panel: dict[str, Any], chosen: Mapping[str, str]) -> None:
    axes.axis("off")
    titles = panel["transformations"][1]["options"]["renameByName"]
    rows: dict[str, dict[str, str]] = {}
    columns = []
    for target in panel["targets"]:
        title = titles[f"Value #{target['refId']}"]
        columns.append(title)
        for sample in prometheus.query(_asked(target["expr"], chosen)):
            rows.setdefault(sample["metric"].get("board", ""), {})[title] = f"{float(sample['value'][1]):.4g}"
    cells = [[board, *(row.get(column, "-") for column in columns)] for board, row in sorted(rows.items())]
    if cells:
        made = axes.table(cells, colLabels=["board", *columns], loc="upper center", cellLoc="right")
        made.auto_set_font_size(False)
        made.set_fontsize(7)
