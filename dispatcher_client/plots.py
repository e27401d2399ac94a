"""What the commands' pictures have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dispatcher_client.errors import InputError
from dispatcher_client.extras import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS = ("svg", "png", "pdf")
_DPI = 130


def require_plots(path: Path | None) -> None:
    """Before a run. Raises: InputError: another ending. MissingExtraError: matplotlib is not installed."""
    if path is None:
        return
    if path.suffix.lower().lstrip(".") not in _FORMATS:
        raise InputError(f"{path} ends with {path.suffix or 'nothing'}; expected .svg, .png or .pdf.")
    with extra("planner", "plots need"):
        import matplotlib  # noqa: F401


def save(figure: Figure, path: Path) -> None:
    """Writes the picture. Raises: InputError: it cannot be written."""
    try:
        figure.savefig(path, dpi=_DPI)
    except OSError as error:
        raise InputError(f"the picture cannot be written to {path}: {error.strerror or error}.") from error


def unframe(axes: Axes) -> None:
    """Leaves out what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
