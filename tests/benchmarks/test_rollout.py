"""The figures of changes of version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.rollout import _change, measure_changes
from bundle import Bundle


def test_change_counts_answers_before_and_during_and_the_longest_gap() -> None:
    answered_s = [8.5, 9.0, 9.5, 9.98, 10.02, 10.5, 11.01]
    change = _change(answered_s, 10.0, 11.0, 3.0)
    assert change.seconds == 1.0
    assert change.rate_before == 4 / 1.5
    assert change.rate_during == 2.0
    assert round(change.longest_gap_s, 6) == 0.51


def test_versions_take_turns_under_load(tmp_path: Path, zoo_bundle: Callable[..., Bundle]) -> None:
    figures = measure_changes(zoo_bundle("mlp", "float32"), zoo_bundle("mlp", "float16"), 2, 0.2, tmp_path)
    assert figures.failed == 0
    assert figures.answers > 0
    assert len(figures.changes) == 2
