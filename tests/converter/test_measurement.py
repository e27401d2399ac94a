"""Measuring operators: each piece on the data that it gets inside the model, with its time at its first operator."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from converter import measurement
from converter.measurement import measure_operators, median_run_s
from converter.sample import make_sample
from converter.split_model import LoadedModel
from partitioning import Graph, InfeasibleSplitError, list_cuts
from runtime import Runner, load_runtime
from tests.bundles import ignore_progress, load_zoo_model
from tests.partitioning.sample_models import accumulator

RUNTIME = load_runtime()


class TimedRunner:
    """Stands in for a loaded model on a clock of its own, which each run moves on."""

    def __init__(self, clock: list[float], durations_s: list[float]) -> None:
        self._clock = clock
        self._durations_s = durations_s
        self.runs = 0

    def run(self, values: Any) -> list[Any]:
        self._clock[0] += self._durations_s[self.runs]
        self.runs += 1
        return []


@pytest.mark.parametrize(
    ("durations_s", "runs", "median_s"),
    [
        ([0.01, 0.02, 0.5, 0.01, 0.03], 3, 0.02),  # an interruption uses the budget up and is not the median
        ([0.01, 0.05, 0.02, 0.04, 0.03], 5, 0.03),
        ([2.0], 1, 2.0),
        ([0.2, 0.1], 2, 0.15),
        ([0.0] * 5, 5, 0.0),
    ],
)
def test_median_is_of_up_to_five_runs_within_the_budget(
    monkeypatch: pytest.MonkeyPatch, durations_s: list[float], runs: int, median_s: float
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    runner = TimedRunner(clock, durations_s)
    assert median_run_s(runner, []) == pytest.approx(median_s)  # type: ignore[arg-type]
    assert runner.runs == runs


def measure(model: LoadedModel, n_parts: int, on_progress: Any = ignore_progress) -> list[float]:
    inputs = make_sample(model.graph, None)
    return measure_operators(model.graph, model.cuts, inputs, RUNTIME, 1, n_parts, on_progress)


@pytest.mark.parametrize(("name", "mode"), [("residual", "int8"), ("two_inputs", "float32"), ("yolo_neck", "float16")])
def test_every_operator_has_a_time(name: str, mode: str) -> None:
    model = load_zoo_model(name, mode)
    times_s = measure(model, 2)
    assert len(times_s) == len(model.graph.operators)
    assert all(0 < t < 1 for t in times_s)


def test_operators_are_measured_on_the_data_inside_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values that reach the last operator are those of the whole model, so its output is the answer."""
    answers: list[list[np.ndarray]] = []

    def noted(runner: Runner, values: list[np.ndarray]) -> float:
        answers.append(runner.run(values))
        return median_run_s(runner, values)

    monkeypatch.setattr(measurement, "median_run_s", noted)
    model = load_zoo_model("chain", "int8")
    measure(model, 1)
    whole = Runner(RUNTIME, model.data)
    (expected,) = whole.run(list(make_sample(model.graph, None).values()))
    assert np.array_equal(answers[-1][0], expected)
    assert len(np.unique(expected)) > 1


def test_inseparable_operators_have_their_time_at_the_first() -> None:
    data = accumulator().build()
    graph = Graph.from_bytes(data)
    cuts = list_cuts(graph)
    times_s = measure(LoadedModel(data, graph, cuts, {}, ()), 1)
    legal = {0, *(c.cut_index for c in cuts if c.obstacle is None)}
    assert {i for i, t in enumerate(times_s) if t > 0} == legal
    assert len(legal) < len(times_s)


@pytest.mark.parametrize("n_parts", [-1, 0, 16])
def test_split_is_refused_before_measuring_when_parts_cannot_be_made(n_parts: int) -> None:
    heard: list[str] = []
    with pytest.raises(InfeasibleSplitError, match=rf"{n_parts} parts were asked for.*Ask for 1 to 15"):
        measure(load_zoo_model("chain", "int8"), n_parts, lambda what, _: heard.append(what))
    assert heard == []


def test_progress_names_the_operators_measured() -> None:
    heard: list[tuple[str, float]] = []
    measure(load_zoo_model("chain", "int8"), 2, lambda what, share: heard.append((what, share)))
    assert heard[0] == ("measuring operators 0 to 1 of 15", 0.0)
    assert heard[-1] == ("measuring operators 14 to 15 of 15", 14 / 15)
