"""What the trials of one fault add up to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.faults.trial import TrialResult
from benchmarks.machine import this_machine


@dataclass(frozen=True)
class Row:
    """All trials of one fault. A gap is the longest time without an answer; `usual_p50_s` is that between two before the fault."""

    fault: str
    model: str
    dtype: str
    boards: int
    spares: int
    struck: int  # boards at once
    cores_per_board: float
    link_mbit_s: float
    trials: int
    answered: int
    lost: int
    duplicated: int
    out_of_order: int
    wrong: int
    gap_p50_s: float
    gap_p99_s: float
    usual_p50_s: float
    errors: str
    processor: str
    day: str


def make_row(
    fault: str,
    results: Sequence[TrialResult],
    model: str,
    dtype: str,
    boards: int,
    spares: int,
    cores: float,
    link_mbit_s: float,
) -> Row:
    """Args: results: at least one."""
    machine = this_machine()
    gaps_s = [result.gap_s for result in results]
    return Row(
        fault=fault,
        model=model,
        dtype=dtype,
        boards=boards,
        spares=spares,
        struck=max(len(result.struck) for result in results),
        cores_per_board=cores,
        link_mbit_s=link_mbit_s,
        trials=len(results),
        answered=sum(result.answered for result in results),
        lost=sum(result.lost for result in results),
        duplicated=sum(result.duplicated for result in results),
        out_of_order=sum(result.out_of_order for result in results),
        wrong=sum(result.wrong for result in results),
        gap_p50_s=statistics.median(gaps_s),
        gap_p99_s=float(np.percentile(gaps_s, 99)),
        usual_p50_s=statistics.median(result.usual_s for result in results),
        errors="; ".join(sorted({result.error for result in results} - {""})),
        processor=machine.processor,
        day=machine.day,
    )
