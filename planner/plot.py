"""Pictures of a plan, a timeline of its first frames and the model with its cuts, and of a model that is cut already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import PlotError
from planner.model import PlannerModel
from planner.report import ChainReport, PlanReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
_FRAMES = 8
_INCH_PER_ROW = 0.32
_WIDTH_INCH = 11.0
_MODEL_INCH = 2.6
_MS = 1e3


@dataclass(frozen=True)
class Segment:
    """Operators that belong together: a stage of a plan, or a partition. `until` is the cut behind it, None in the last one."""

    label: str
    start_op: int
    stop_op: int
    until: int | None


@dataclass(frozen=True)
class _Row:
    """One step that a frame passes: a link or a board."""

    label: str
    busy_s: float
    is_link: bool
    is_slowest: bool


def plot_plan(report: PlanReport, model: PlannerModel, path: Path) -> None:
    """Writes the picture; the ending says the format.

    Raises: PlotError: another ending than .svg, .png or .pdf, or the file cannot be written.
    """
    require_format(path)
    from matplotlib.figure import Figure  # half a second that only a picture should cost

    rows = [_rows(chain, len(report.chains) > 1) for chain in report.chains]
    heights = [_INCH_PER_ROW * len(r) + 0.5 for r in rows]
    models = [_MODEL_INCH] * len(report.chains)
    figure = Figure(figsize=(_WIDTH_INCH, sum(heights) + sum(models) + 0.9), layout="constrained")
    axes = figure.subplots(2 * len(rows), 1, height_ratios=[*heights, *models], squeeze=False)[:, 0]
    figure.suptitle(_title(report), fontsize=11)
    for axis, chain_rows, chain in zip(axes, rows, report.chains):
        _draw_timeline(axis, chain_rows, chain)
    _share_time(list(axes[: len(rows)]))
    for axis, chain in zip(axes[len(rows) :], report.chains):
        _draw_model(axis, model, [Segment(s.label, s.start_op, s.stop_op, s.until) for s in chain.stages])
    _save(figure, path)


def plot_model(model: PlannerModel, splittings: Mapping[str, Sequence[Segment]], path: Path) -> None:
    """Draws a model as it is cut, once for each splitting, under its title. Raises: PlotError: see `plot_plan`."""
    require_format(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_INCH, _MODEL_INCH * len(splittings) + 0.5), layout="constrained")
    axes = figure.subplots(len(splittings), 1, squeeze=False)[:, 0]
    for axis, (title, segments) in zip(axes, splittings.items()):
        axis.set_title(title, fontsize=10)
        _draw_model(axis, model, segments)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise PlotError(f"{path} cannot be written: {error}.") from error


def require_format(path: Path) -> None:
    """Raises PlotError unless the file's ending is one of a picture."""
    if path.suffix.lstrip(".") not in FORMATS:
        raise PlotError(f"{path} ends in {path.suffix or 'nothing'!r}, expected .{', .'.join(FORMATS)}.")


def schedule(busy_s: Sequence[float], frames: int) -> list[list[float]]:
    """When each frame enters each step, (frames, steps) seconds: a step takes a frame when it and the step before are done.

    The same rule that the boards follow with one slot between steps, but for their waiting when the step behind is full.
    """
    free_s = [0.0] * len(busy_s)
    begins = []
    for _ in range(frames):
        row, ready_s = [], 0.0
        for step, duration_s in enumerate(busy_s):
            begin_s = max(ready_s, free_s[step])
            row.append(begin_s)
            ready_s = free_s[step] = begin_s + duration_s
        begins.append(row)
    return begins


def _title(report: PlanReport) -> str:
    if report.objective == "throughput":
        return f"{report.model}: at most {report.rate_per_s:.2f} frames/s, {report.latency_s * _MS:.1f} ms for one"
    return f"{report.model}: planned for {report.objective}; {report.latency_s * _MS:.1f} ms for one frame"


def _rows(chain: ChainReport, is_one_of_several: bool) -> list[_Row]:
    rows = []
    for stage in chain.stages:
        rows.append(_Row(f"to {stage.label}", stage.link_s, True, stage.link_s == chain.bottleneck_s))
        rows.append(_Row(stage.label, stage.stage_s, False, stage.stage_s == chain.bottleneck_s))
    last = chain.answer_link_s
    rows.append(_Row("answer", last, True, last == chain.bottleneck_s))
    if not is_one_of_several:
        return rows
    return [_Row(f"{chain.stages[0].chain + 1}: {r.label}", r.busy_s, r.is_link, r.is_slowest) for r in rows]


def _draw_timeline(axis: Axes, rows: Sequence[_Row], chain: ChainReport) -> None:
    colours = _colours()
    for frame, begins in enumerate(schedule([r.busy_s for r in rows], _FRAMES)):
        for place, (row, begin_s) in enumerate(zip(rows, begins)):
            axis.barh(
                place,
                row.busy_s * _MS,
                left=begin_s * _MS,
                height=0.4 if row.is_link else 0.8,
                color=colours[frame % len(colours)],
                edgecolor="black"
                if row.is_slowest
                else colours[frame % len(colours)],  # else a short step would vanish
                linewidth=0.8,
            )
    axis.set_yticks(range(len(rows)), [f"{r.label}  {r.busy_s * _MS:.2f} ms" for r in rows], fontsize=8)
    for label, row in zip(axis.get_yticklabels(), rows):
        label.set_fontweight("bold" if row.is_slowest else "normal")
    axis.invert_yaxis()
    axis.set_xlabel(f"ms; one colour per frame; outlined: the slowest step, {chain.limited_by}", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _share_time(timelines: Sequence[Axes]) -> None:
    """The same time is as wide for all chains: a slow one looks slow."""
    end_ms = max(axis.get_xlim()[1] for axis in timelines)
    for axis in timelines:
        axis.set_xlim(0, end_ms)


def _draw_model(axis: Axes, model: PlannerModel, segments: Sequence[Segment]) -> None:
    """Bytes alive at each position, the segments as shades, the operators as dots in as many lanes as branches."""
    colours = _colours()
    n_ops = len(model.graph.operators)
    crossing = [model.crossing_bytes(position) / 1e3 for position in range(n_ops + 1)]
    axis.step(range(n_ops + 1), crossing, where="mid", color="0.25", linewidth=1)
    top = max(crossing) * 1.45
    for index, segment in enumerate(segments):
        axis.axvspan(segment.start_op, segment.stop_op, color=colours[index % len(colours)], alpha=0.25, linewidth=0)
        middle = (segment.start_op + segment.stop_op) / 2
        axis.text(middle, top * 0.985, segment.label, ha="center", va="top", fontsize=8)
        if segment.until is not None:
            axis.axvline(segment.until, color="black", linewidth=1, linestyle="--")
            label = f"cut {segment.until}: {crossing[segment.until]:.0f} kB"
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
            axis.text(segment.until, top * 0.885, label, ha="center", va="center", fontsize=7, bbox=box)
    _draw_operators(axis, model, top)
    axis.set_xlim(0, n_ops)
    axis.set_ylim(0, top)
    axis.set_xlabel("operators in order; dots above: branches side by side; line: kB that a cut would send", fontsize=8)
    axis.set_ylabel("kB", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_operators(axis: Axes, model: PlannerModel, top: float) -> None:
    lanes = _lanes(model)
    step = top * 0.1 / max(1, max(lanes))
    heights = [top * 0.72 + lane * step for lane in lanes]
    graph = model.graph
    for op in graph.operators:
        for producer in {graph.producer[t] for t in op.inputs if t in graph.producer}:
            ends = (producer + 0.5, op.op_index + 0.5), (heights[producer], heights[op.op_index])
            axis.plot(*ends, color="0.6", linewidth=0.6)
    axis.scatter([i + 0.5 for i in range(len(heights))], heights, s=7, color="0.2", zorder=3)


def _lanes(model: PlannerModel) -> list[int]:
    """A lane per operator: that of the first operator it reads from whose lane goes on to no other, else a free one."""
    graph = model.graph
    lanes: list[int] = []
    open_until: dict[int, int] = {}  # lane -> last operator that reads what is in it
    for op in graph.operators:
        sources = sorted(graph.producer[t] for t in op.inputs if t in graph.producer)
        ended = [lanes[s] for s in sources if open_until.get(lanes[s], -1) <= op.op_index]
        taken = {lane for lane, last in open_until.items() if last > op.op_index}
        lane = next((n for n in ended if n not in taken), None)
        if lane is None:
            lane = next(n for n in range(len(open_until) + 1) if n not in taken)
        lanes.append(lane)
        open_until[lane] = max([graph.last_use.get(t, op.op_index) for t in op.outputs], default=op.op_index)
    return lanes


def _colours() -> list[Any]:
    from matplotlib import colors

    return list(colors.TABLEAU_COLORS.values())
