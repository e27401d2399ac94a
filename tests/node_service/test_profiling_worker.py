"""The process that measures, spoken to over its pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node_service import worker_requests
from tests.bundles import zoo_file
from tests.node_service.model_files import dense_model

TIMEOUT_S = 20
MIB = 2**20
# What one interpreter takes whatever its model: measured 1.2 to 1.5 MiB.
SMALL_BYTES = 3 * MIB


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "node_service.profiling_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def ask(worker: subprocess.Popen[str], **fields: Any) -> None:
    request = {
        "path": "",
        "runtime": "auto",
        "delegates": [],
        "threads": 1,
        "confidence": 0.5,
        "budget_s": 0.1,
        **fields,
    }
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()


def answer(worker: subprocess.Popen[str]) -> dict[str, Any]:
    assert worker.stdout is not None
    parsed: dict[str, Any] = json.loads(worker.stdout.readline())
    return parsed


def test_requests_are_answered_one_by_one(worker: subprocess.Popen[str]) -> None:
    for _ in range(2):
        ask(worker, path=str(zoo_file("mlp", "float32")))
        assert answer(worker)["measurement"]["times"]["runs"] >= 5


def measure(worker: subprocess.Popen[str], path: Path) -> dict[str, Any]:
    ask(worker, path=str(path), confidence=0.1, budget_s=1.0)
    measured: dict[str, Any] = answer(worker)["measurement"]
    return measured


def check(measured: dict[str, Any], weights_bytes: int) -> None:
    assert weights_bytes <= measured["resident_bytes"] <= 2.5 * weights_bytes + SMALL_BYTES
    assert measured["working_bytes"] <= SMALL_BYTES
    assert measured["peak_bytes"] >= measured["working_bytes"]
    times = measured["times"]
    assert times["runs"] >= 5
    assert times["run_half_width_s"] > 0
    assert 0 < times["median_run_s"] < 2 * times["run_s"]
    # One thread computes; the interpreter's other thread sleeps.
    assert 0 < times["run_cpu_s"] < 1.5 * times["run_s"]
    assert measured["load_s"] > 0


@pytest.mark.parametrize(("name", "mode"), [("residual", "int8"), ("lstm", "float32")])
def test_figures_of_a_small_model_make_sense(worker: subprocess.Popen[str], name: str, mode: str) -> None:
    path = zoo_file(name, mode)
    check(measure(worker, path), path.stat().st_size // 2)


def test_figures_of_large_models_make_sense_and_are_the_same_again(
    worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    sizes = {tmp_path / f"{layers}.tflite": layers * 4 * MIB for layers in (4, 12)}
    for path in sizes:
        path.write_bytes(dense_model(1024, sizes[path] // (4 * MIB)))
    # In turn, so that memory kept from the one before would show.
    rounds = [{path: measure(worker, path) for path in sizes} for _ in range(2)]
    for path, weights_bytes in sizes.items():
        first, second = (measured[path] for measured in rounds)
        check(first, weights_bytes)
        assert second["resident_bytes"] == pytest.approx(first["resident_bytes"], rel=0.03, abs=MIB)
        assert second["peak_bytes"] == pytest.approx(first["peak_bytes"], rel=0.03, abs=4 * MIB)
        assert first["peak_bytes"] >= weights_bytes


def test_refusal_is_an_answer(worker: subprocess.Popen[str], tmp_path: Path) -> None:
    path = tmp_path / "no.tflite"
    path.write_bytes(b"no model")
    ask(worker, path=str(path))
    refused = answer(worker)
    assert refused["error"] == "ModelLoadError"
    assert "refuses the model" in refused["message"]
    ask(worker, runtime="nonsense")
    assert answer(worker)["error"] == "RuntimeMissingError"


def test_process_ends_with_its_input_in_the_middle_of_a_measurement(worker: subprocess.Popen[str]) -> None:
    ask(worker, path=str(zoo_file("mlp", "float32")))
    answer(worker)
    ask(worker, path=str(zoo_file("unet", "float32")), confidence=1e-9, budget_s=1000)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(TIMEOUT_S) == 0


def test_chatter_of_the_runtime_does_not_mix_with_the_answers(tmp_path: Path) -> None:
    script = (
        "import os\n"
        "import node_service.profiling_worker as worker\n"
        "worker._answer = lambda *_: (os.write(1, b'chatter'), print('more chatter'), {'answer': 1})[-1]\n"
        "worker.main()\n"
    )
    request = '{"path": "", "runtime": "", "delegates": [], "threads": 1, "confidence": 1, "budget_s": 1}\n'
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.flush()
        assert process.stdout.readline() == '{"answer": 1}\n'
        process.stdin.close()
        assert process.stdout.read() == ""


def test_worker_goes_before_the_service_when_memory_runs_out(worker: subprocess.Popen[str]) -> None:
    ask(worker, path=str(zoo_file("mlp", "float32")))
    answer(worker)
    assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text() == "1000\n"


def test_refusal_to_go_first_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker_requests, "_SELF_OOM_SCORE", tmp_path)
    worker_requests.offer_to_the_oom_killer()
    assert "may take the service" in capsys.readouterr().err


@pytest.mark.parametrize("worker", ["profiling_worker", "trial_worker"])
def test_worker_imports_no_grpc(worker: str) -> None:
    script = f"import sys, node_service.{worker}; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=TIMEOUT_S).returncode == 0
