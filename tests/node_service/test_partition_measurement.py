"""Measuring in this process. Figures of memory are tested in the worker, which holds nothing from the tests before."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_service.partition_measurement import MeasurementRequest, PartitionMeasurement
from node_service.process_memory import ProcessMemory
from runtime import ComputeError, load_runtime
from tests.bundles import zoo_file
from tests.node_service.model_files import dense_model, failing_model

MIB = 2**20


class CountingJoules:
    """One joule for each time it is asked."""

    def __init__(self) -> None:
        self._joules = 0.0

    def joules(self) -> float:
        self._joules += 1
        return self._joules


@pytest.fixture(scope="module")
def measurement() -> PartitionMeasurement:
    return PartitionMeasurement(load_runtime(), ProcessMemory(), None)


def request(path: Path, budget_s: float = 1.0, confidence: float = 0.1) -> MeasurementRequest:
    return MeasurementRequest(str(path), "auto", [], 1, confidence, budget_s)


def test_energy_is_per_run_where_there_is_a_counter() -> None:
    measured = PartitionMeasurement(load_runtime(), ProcessMemory(), CountingJoules()).measure(
        request(zoo_file("mlp", "float32"))
    )
    assert measured.run_j == pytest.approx(1 / measured.times.runs)


def test_one_run_is_made_when_it_exceeds_the_budget(measurement: PartitionMeasurement) -> None:
    measured = measurement.measure(request(zoo_file("mlp", "float32"), budget_s=1e-7))
    assert measured.times.runs == 1
    assert measured.times.run_half_width_s == measured.times.run_s


def test_resident_file_counts_when_the_kernel_does_not_say_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    path.write_bytes(dense_model(1024, 4))

    class NoReferences(ProcessMemory):
        def forget_references(self) -> bool:
            return False

        def reset_peak(self) -> bool:
            return False

    measured = PartitionMeasurement(load_runtime(), NoReferences(), None).measure(request(path))
    assert path.stat().st_size <= measured.resident_bytes <= 2.5 * path.stat().st_size + 3 * MIB


def test_model_that_refuses_the_inputs_is_an_error(measurement: PartitionMeasurement, tmp_path: Path) -> None:
    path = tmp_path / "failing.tflite"
    path.write_bytes(failing_model())
    with pytest.raises(ComputeError, match="GATHER"):
        measurement.measure(request(path))
