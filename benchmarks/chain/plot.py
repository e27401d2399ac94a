"""The rows as a picture: throughput over boards with its bound, one panel per model, dtype, link and batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.chain.errors import SettingsError
from benchmarks.rows import FlatRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png", ".pdf")
_COLUMNS = 4
_PANEL_INCH = (3.1, 2.7)
_LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("bound_images_per_s", "bound", {"color": "black", "linestyle": "--", "linewidth": 1.0}),
    ("replicas_images_per_s", "replicas of the whole model", {"color": "tab:gray", "marker": "s", "markersize": 4}),
    ("images_per_s", "chain", {"color": "tab:blue", "marker": "o", "markersize": 5}),
    ("defer_style_images_per_s", "DEFER-style", {"color": "tab:red", "marker": "x", "markersize": 5}),
)


def require_format(path: Path) -> None:
    """Raises SettingsError unless the file's ending is one of a picture."""
    if path.suffix not in FORMATS:
        raise SettingsError(f"{path} ends in {path.suffix or 'nothing'!r}, expected {', '.join(FORMATS)}.")


def panels(rows: Sequence[FlatRow]) -> dict[str, list[FlatRow]]:
    """The rows of each panel by its title, in order, each by number of boards."""
    found: dict[str, list[FlatRow]] = {}
    for row in rows:
        spare = ", spare core" if row["spare_core"] else ""
        batch = f", batch {row['batch']}" if row.get("batch", 1) != 1 else ""
        title = f"{row['model']} {row['dtype']}, {float(str(row['link_mbit_s'])):g} Mbit/s{spare}{batch}"
        found.setdefault(title, []).append(row)
    return {title: sorted(own, key=lambda row: int(str(row["boards"]))) for title, own in found.items()}


def plot_rows(rows: Sequence[FlatRow], path: Path) -> None:
    """Writes the picture; the ending says the format. Raises: SettingsError: another ending than .svg, .png or .pdf."""
    require_format(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # half a second that only a picture should cost

    by_panel = panels(rows)
    n_columns = min(_COLUMNS, len(by_panel))
    n_rows = -(-len(by_panel) // n_columns)
    figure = Figure(figsize=(_PANEL_INCH[0] * n_columns, _PANEL_INCH[1] * n_rows + 0.4), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis, (title, own) in zip(axes, by_panel.items()):
        _draw(axis, title, own)
    for axis in axes[len(by_panel) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(_LINES), 2 * n_columns), fontsize=8, frameon=False
    )
    with rc_context({"svg.hashsalt": "boardline"}):  # the same file from the same rows
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw(axis: Axes, title: str, rows: Sequence[FlatRow]) -> None:
    boards = [int(str(row["boards"])) for row in rows]
    for name, label, style in _LINES:
        values = [row[name] for row in rows]
        axis.plot(boards, [float("nan") if v is None else float(v) for v in values], label=label, **style)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("boards", fontsize=8)
    axis.set_ylabel("images/s", fontsize=8)
    axis.set_xticks(boards)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
