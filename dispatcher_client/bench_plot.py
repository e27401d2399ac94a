"""A bench as a picture: what each stage's frames take, the latencies at full load, and the pipeline at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dispatcher_client.bench import BenchFigures
from dispatcher_client.chain import ReplyReport
from dispatcher_client.plots import save, unframe
from dispatcher_client.tracing import FrameTimeline, timelines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MS = 1e3
_SHOWN_FRAMES = 12
_ROW_INCH = 0.34
_WIDTH_INCH = 11.0
# Legible to those who cannot tell red from green, and in grey.
_WAIT, _COMPUTE, _CODING, _SEND = "#d9d9d9", "#4477aa", "#ccbb44", "#66ccee"


def plot_bench(figures: BenchFigures, loaded: Sequence[ReplyReport], path: Path) -> None:
    """Writes the picture. Args: loaded: the reports of the loaded phase. Raises: InputError: it cannot be written."""
    from matplotlib.figure import Figure  # half a second that only a picture should cost

    rows = len(figures.stages)
    heights = (_ROW_INCH * rows + 0.6, 2.4, _ROW_INCH * rows + 0.8)
    figure = Figure(figsize=(_WIDTH_INCH, sum(heights) + 1.2), layout="constrained")
    stages, latencies, pipeline = figure.subplots(3, 1, height_ratios=heights)
    figure.suptitle(
        f"{figures.model}: {figures.throughput_per_s:.1f} images/s, {figures.share_of_bound:.0%} of the bound "
        f"({figures.bound_per_s:.1f}, set by {figures.bound_by})",
        fontsize=11,
    )
    _draw_stages(stages, figures)
    _draw_latencies(latencies, figures, loaded)
    _draw_pipeline(pipeline, figures, timelines(loaded))
    save(figure, path)


def _labels(figures: BenchFigures) -> list[str]:
    several = len(figures.chains) > 1
    return [f"{f'chain {s.chain} ' if several else ''}stage {s.stage}: {s.board}" for s in figures.stages]


def _draw_stages(axes: Axes, figures: BenchFigures) -> None:
    places = np.arange(len(figures.stages))
    left = np.zeros(len(figures.stages))
    for name, colour, values in (
        ("waits", _WAIT, [s.wait_ms for s in figures.stages]),
        ("decode, encode", _CODING, [s.coding_ms for s in figures.stages]),
        ("compute", _COMPUTE, [s.compute_ms for s in figures.stages]),
        ("send", _SEND, [s.send_ms for s in figures.stages]),
    ):
        axes.barh(places, values, left=left, color=colour, label=name, height=0.7)
        left += np.array(values)
    axes.set_yticks(places, _labels(figures))
    axes.invert_yaxis()
    axes.set_xlabel("ms per frame at full load (medians)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.02), ncols=4, frameon=False, fontsize=8, borderaxespad=-1.2)
    unframe(axes)


def _draw_latencies(axes: Axes, figures: BenchFigures, loaded: Sequence[ReplyReport]) -> None:
    latencies_ms = np.sort([r.latency_s * _MS for r in loaded])
    shares = np.arange(1, len(latencies_ms) + 1) / len(latencies_ms)
    axes.step(latencies_ms, shares, where="post", color=_COMPUTE, label="frames at full load")
    axes.axvline(figures.latency_alone_p50_ms, color="black", linestyle=":", label="median with nothing else in flight")
    for share in (0.5, 0.95, 0.99):
        at_ms = float(np.percentile(latencies_ms, 100 * share))
        axes.annotate(
            f"p{share:.0%} {at_ms:.1f} ms".replace("%", ""), (at_ms, share), fontsize=8, ha="right", va="bottom"
        )
        axes.plot([at_ms], [share], marker="o", markersize=3, color=_COMPUTE)
    axes.set_ylim(0, 1.08)
    axes.set_xlim(left=0)
    axes.set_xlabel("latency in ms, from sending a frame to its answer")
    axes.set_ylabel("share of frames")
    axes.legend(loc="center left", frameon=False, fontsize=8)
    unframe(axes)


def _draw_pipeline(axes: Axes, figures: BenchFigures, found: Sequence[FrameTimeline]) -> None:
    """Some frames from the middle of the run, each in a colour of its own."""
    from matplotlib import colormaps

    first = max(0, (len(found) - _SHOWN_FRAMES) // 2)
    shown = found[first : first + _SHOWN_FRAMES]
    places = {(s.chain, s.stage): place for place, s in enumerate(figures.stages)}
    colours = colormaps["tab20"]
    zero_s = min((f.sent_s for f in shown), default=0.0)
    for number, frame in enumerate(shown):
        for stage in frame.stages:
            place = places[frame.report.chain_index, stage.stage_index]
            begun_ms, ended_ms = ((at - zero_s) * _MS for at in (stage.decoding_s, stage.ready_s))
            axes.barh(place, ended_ms - begun_ms, left=begun_ms, color=colours(number % 20), height=0.7)
            axes.text(
                (begun_ms + ended_ms) / 2,
                place,
                str(frame.report.request_id),
                ha="center",
                va="center",
                fontsize=6,
                clip_on=True,
            )
    axes.set_yticks(np.arange(len(figures.stages)), _labels(figures))
    axes.invert_yaxis()
    uncertainty_ms = max((f.uncertainty_s for f in shown), default=0.0) * _MS
    axes.set_xlabel(f"ms; frames by number, boards' clocks aligned to {uncertainty_ms:.1f} ms or better")
    unframe(axes)
