"""A comparison as a picture: how the difference grows from tensor to tensor, and which inputs' answers differ most."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dispatcher_client.comparison.compare import ComparedChain
from dispatcher_client.comparison.report import Comparison, short_name
from dispatcher_client.plots import save, unframe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_INCH, _HEIGHT_INCH = 9.0, 7.5
# Legible to those who cannot tell red from green, and in grey, with a marker each.
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
_MARKERS = "osD^vP"
_BAND = "#f0f0f0"
_LABEL_LENGTH = 28
# Where equal tensors are drawn, above those that differ.
_EXACT_ABOVE_DB = 10.0


def plot_comparison(found: Comparison, path: Path) -> None:
    """Writes the picture. Raises: InputError: it cannot be written."""
    from matplotlib.figure import Figure  # half a second that only a picture should cost

    has_outputs = bool(found.chains[0].outputs)
    heights = (1.35, 1) if has_outputs else (1,)
    figure = Figure(figsize=(_WIDTH_INCH, _HEIGHT_INCH / 2.35 * sum(heights)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(len(heights), 1, height_ratios=heights))
    figure.suptitle(f"{found.model} on boards against {found.against}: {len(found.inputs)} inputs", fontsize=11)
    _draw_tensors(axes[0], found)
    if has_outputs:
        _draw_inputs(axes[1], found.chains)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    save(figure, path)


def _draw_tensors(axes: Axes, found: Comparison) -> None:
    pairs = [tensor.pair for tensor in found.chains[0].tensors]
    finite = [t.difference.sqnr_db for c in found.chains for t in c.tensors if math.isfinite(t.difference.sqnr_db)]
    exact_db = max(finite, default=0.0) + _EXACT_ABOVE_DB
    has_exact = any(t.difference.is_exact for c in found.chains for t in c.tensors)
    for chain, colour, marker in _styled(found.chains):
        values = [exact_db if t.difference.is_exact else t.difference.sqnr_db for t in chain.tensors]
        axes.plot(range(len(pairs)), values, marker=marker, color=colour, markersize=4, label=_said(chain))
    if has_exact:
        axes.axhline(exact_db, color="grey", linestyle=":", linewidth=0.8)
        exact = axes.annotate(
            "exact", (1, exact_db), xycoords=("axes fraction", "data"), fontsize=8, ha="right", va="top"
        )
        exact.set_in_layout(False)  # it is inside
    _draw_boards(axes, [found.boards_of(pair) for pair in pairs])
    labels = [_label(short_name(pair)) for pair in pairs]
    axes.set_xticks(range(len(pairs)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("SQNR in dB (higher is closer)")
    unframe(axes)


def _draw_boards(axes: Axes, boards: Sequence[str]) -> None:
    """Bands behind the tensors of each stage."""
    start = 0
    for number, (board, group) in enumerate(itertools.groupby(boards)):
        stop = start + len(list(group))
        if number % 2 == 0:
            axes.axvspan(start - 0.5, stop - 0.5, color=_BAND, zorder=0)
        axes.annotate(
            board, ((start + stop - 1) / 2, 1.01), xycoords=("data", "axes fraction"), fontsize=8, ha="center"
        )
        start = stop
    axes.set_xlim(-0.5, len(boards) - 0.5)


def _draw_inputs(axes: Axes, chains: Sequence[ComparedChain]) -> None:
    """Of the first output: each input's largest difference, sorted, and where the first choice is another."""
    for chain, colour, marker in _styled(chains):
        output = chain.outputs[0]
        largest = np.array(output.largest_by_input)
        order = np.argsort(largest, kind="stable")
        if output.agreement is not None:
            places = np.flatnonzero(np.isin(order, output.agreement.changed))
            axes.plot(places, largest[order][places], marker, color=colour, markersize=6, fillstyle="none")
        axes.plot(largest[order], color=colour)
    (name,) = {short_name(chain.outputs[0].pair) for chain in chains}
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("inputs, by difference; where marked, the first choice is another")
    axes.set_ylabel(f"largest difference in {_label(name)}")
    unframe(axes)


def _said(chain: ComparedChain) -> str:
    """The chain in the legend, and what became of its first output's choices."""
    agreements = [output.agreement for output in chain.outputs[:1] if output.agreement is not None]
    return "".join([f"codec {chain.codec}", *(f": the first choice agrees for {a.top1:.1%}" for a in agreements)])


def _styled(chains: Sequence[ComparedChain]) -> list[tuple[ComparedChain, str, str]]:
    return list(zip(chains, itertools.cycle(_COLOURS), itertools.cycle(_MARKERS)))


def _label(name: str) -> str:
    return name if len(name) <= _LABEL_LENGTH else f"…{name[1 - _LABEL_LENGTH :]}"
