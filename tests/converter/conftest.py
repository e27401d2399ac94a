"""Real models, written once per test session by the Keras versions that they are named for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from converter.cli import main
from converter.model_source import SourceKind, recognise_model
from converter.worker_request import WorkerRequest
from tests import zoo
from tests.converter.commands import Convert, Outcome

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent


def run_python(arguments: Sequence[str], extra_env: Mapping[str, str] | None = None) -> None:
    """Runs a Python script with the project importable; shows its log when it fails."""
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**env, **(extra_env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def convert_many(requests: Sequence[WorkerRequest], plan: Path, *, keras2: bool = False) -> None:
    """Runs the worker's own job for each request, all in one process."""
    plan.write_text(json.dumps([request.to_json() for request in requests]))
    env = {"TF_USE_LEGACY_KERAS": "1" if keras2 else "0"}
    run_python([str(HERE / "convert_many.py"), str(plan)], env)


@pytest.fixture(scope="session")
def keras3_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keras3")
    run_python([str(HERE / "keras3_models.py"), str(directory)])
    return directory


@pytest.fixture(scope="session")
def keras2_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keras2")
    run_python([str(HERE / "keras2_models.py"), str(directory)], {"TF_USE_LEGACY_KERAS": "1"})
    return directory


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calibration files that fit the models' inputs, named for them."""
    directory = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(size=(4, *shape)).astype(np.float32)

    for size in (8, 16, 32):
        np.save(directory / f"image{size}.npy", floats(size, size, 3))
    np.save(directory / "steps.npy", floats(6, 4))
    np.save(directory / "tokens.npy", rng.integers(0, 20, (4, 6)).astype(np.int32))
    np.savez(directory / "two.npz", Image=floats(8, 8, 3), an_extra=floats(5))
    return directory


MODES = ("none", "float16", "dynamic", "int8", "int16x8")
_KERAS3_CALIBRATION = {
    "default_names.keras": "image16.npy",
    "several_ends.keras": "two.npz",
    "folded_output.keras": "image8.npy",
    "recurrent.keras": "tokens.npy",
    "resnet50.h5": "image32.npy",
    "mobilenetv2.keras": "image32.npy",
}
_KERAS2_CALIBRATION = {"keras2_image_model.h5": "image8.npy", "keras2_recurrent.h5": "steps.npy"}
# 25 million weights: converting it in every mode would take longer than all the rest.
_MODES_OF = {"resnet50.h5": ("none", "int8")}


@pytest.fixture(scope="session")
def keras3_conversions(keras3_models: Path, calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directories `<model>-<mode>`, and others named for what they show."""
    directory = tmp_path_factory.mktemp("keras3_conversions")

    def request(model: str, name: str, **options: Any) -> WorkerRequest:
        source = recognise_model(keras3_models / model)
        return WorkerRequest(source.path, source.kind, directory / name, **options)

    requests = [
        request(model, f"{model.split('.')[0]}-{mode}", quantize=mode, calibration=calibration / data)
        for model, data in _KERAS3_CALIBRATION.items()
        for mode in _MODES_OF.get(model, MODES)
    ]
    sized = {"input_shapes": {"image": (10, 12, 3)}}
    wrong_data = {"quantize": "int8", "calibration": calibration / "image8.npy"}
    damaged = directory / "damaged.h5"
    with h5py.File(damaged, "w") as file:
        file.attrs.update(model_config="{}", keras_version="3.0")
    broken = directory / "broken"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"nonsense")
    requests += [
        request("any_size.keras", "sized", batch=2, **sized),
        request("any_size.keras", "unsized"),
        request("any_size.keras", "wrong-size", input_shapes={"image": (10, 12, 4)}),
        request("any_size.keras", "wrong-rank", input_shapes={"image": (1, 10, 12, 3)}),
        request("any_size.keras", "unknown-input", input_shapes={"picture": (10, 12, 3)}),
        request("exported", "exported", batch=3),
        request("one_signature", "one_signature"),
        request("one_signature", "fixed-batch", batch=2),
        request("two_signatures", "two_signatures"),
        request("anyrank", "anyrank", input_shapes={"x": (3,)}),
        request("anyrank", "anyrank-open"),
        request("text", "text"),
        request("inverse", "inverse", input_shapes={"matrix": (3, 3)}),
        request("default_names.keras", "wrong-calibration", **wrong_data),
        request("open_loop", "open-loop"),
        request("unbuilt.keras", "unbuilt"),
        request(str(damaged), "damaged"),
        request(str(broken), "broken-saved-model"),
    ]
    convert_many(requests, directory / "plan.json")
    return directory


@pytest.fixture(scope="session")
def keras2_conversions(keras2_models: Path, calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directories `<file>-<mode>`, and `custom`, which is refused."""
    directory = tmp_path_factory.mktemp("keras2_conversions")
    requests = [
        WorkerRequest(
            model=keras2_models / model,
            kind=SourceKind.KERAS2,
            work_dir=directory / f"{model}-{mode}",
            quantize=mode,
            calibration=calibration / data,
        )
        for model, data in _KERAS2_CALIBRATION.items()
        for mode in MODES
    ]
    custom = keras2_models / "keras2_custom.h5"
    requests.append(WorkerRequest(custom, SourceKind.KERAS2, directory / "custom"))
    convert_many(requests, directory / "plan.json", keras2=True)
    return directory


@pytest.fixture(scope="session")
def residual() -> None:
    """Makes the model that `commands.RESIDUAL` names."""
    zoo.load("residual", "int8")


@pytest.fixture
def convert(residual: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Convert:
    """Runs a command as `python -m converter` does, in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["converter", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return Outcome(int(exit_.value.code or 0), *capsys.readouterr())

    return run
