"""What the changes of one run add up to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from benchmarks.rollout.figures import WINDOW_S, Answers, Change, measure_change, usual_per_window
from benchmarks.rollout.load import LoadResult


@dataclass(frozen=True)
class Row:
    """All changes of one run; see `LoadResult` and `Change` for the figures. `images_per_s` is without changes."""

    model: str
    dtype: str
    boards: int
    cores_per_board: Optional[float]
    link_mbit_s: Optional[float]
    changes: int
    answers: int
    failed: int
    wrong: int
    misnamed: int
    images_per_s: float
    change_p50_s: float
    gap_p99_s: float
    dip_worst_second_p50: float
    dip_worst_second_most: float
    dip_during_p50: float
    dip_during_most: float
    usual_dip_worst_second_p50: float
    errors: str


def measure_changes(result: LoadResult) -> tuple[float, list[Change]]:
    """Usual answers per second, and what each change cost."""
    answers = Answers(result.answered_s)
    usual = usual_per_window(answers, result.quiet_s)
    changes = [measure_change(answers, span, before, usual) for span, before in zip(result.spans_s, result.quiet_s)]
    return usual / WINDOW_S, changes


def make_row(
    result: LoadResult,
    usual_per_s: float,
    changes: Sequence[Change],
    model: str,
    dtype: str,
    boards: int,
    cores: float | None,
    link_mbit_s: float | None,
) -> Row:
    """Args: changes: at least one."""
    worst = [change.dip_worst_second for change in changes]
    during = [change.dip_during for change in changes]
    return Row(
        model=model,
        dtype=dtype,
        boards=boards,
        cores_per_board=cores,
        link_mbit_s=link_mbit_s,
        changes=len(changes),
        answers=len(result.answered_s),
        failed=result.failed,
        wrong=result.wrong,
        misnamed=result.misnamed,
        images_per_s=usual_per_s,
        change_p50_s=statistics.median(change.seconds for change in changes),
        gap_p99_s=float(np.percentile([change.longest_gap_s for change in changes], 99)),
        dip_worst_second_p50=statistics.median(worst),
        dip_worst_second_most=max(worst),
        dip_during_p50=statistics.median(during),
        dip_during_most=max(during),
        usual_dip_worst_second_p50=statistics.median(change.usual_dip_worst_second for change in changes),
        errors=result.errors,
    )
