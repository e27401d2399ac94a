from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.convert import ConvertedModel, convert_to_tflite
from converter.errors import (
    CalibrationError,
    ConversionFailedError,
    MissingDependencyError,
    ModelError,
    OptionError,
)
from tests.converter.tflite_reading import Converted

PROJECT = Path(__file__).parent.parent.parent


def ignore(text: str, fraction: float | None) -> None:
    pass


def convert(model: Path, work_dir: Path, **options: Any) -> ConvertedModel:
    return convert_to_tflite(model, work_dir=work_dir, **{"on_progress": ignore, **options})


def test_keras3_file_is_converted_without_a_word_on_the_screen(
    keras3_models: Path, calibration: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, float | None]] = []
    result = convert(
        keras3_models / "default_names.h5",
        tmp_path,
        quantize="int8",
        calibration=calibration / "image16.npy",
        batch=2,
        on_progress=lambda text, fraction: seen.append((text, fraction)),
    )
    assert capfd.readouterr() == ("", "")
    assert result.tflite == tmp_path / "model.tflite"
    assert result.tflite.read_bytes()[4:8] == b"TFL3"
    assert len(result.input_names) == len(result.output_names) == 1
    kinds = [layer.class_name for layer in result.layers]
    assert kinds[:5] == ["InputLayer", "Conv2D", "BatchNormalization", "ReLU", "Dropout"]
    assert result.calibration_sample is not None
    (sample,) = result.calibration_sample.values()
    np.testing.assert_array_equal(sample, np.load(calibration / "image16.npy")[:2])
    assert Converted(tmp_path).shapes()[result.input_names[0]] == [2, 16, 16, 3]
    texts = [text for text, _ in seen]
    assert texts[:2] == ["starting TensorFlow", "loading the model"]
    assert ("calibrating 1/2", 0.5) in seen
    assert ("calibrating 2/2", 1.0) in seen
    assert texts[-1] == "quantising"
    assert not [path for path in tmp_path.iterdir() if path.is_dir()], "scratch files remain"


def test_keras2_file_is_converted_by_keras2(
    keras2_models: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = convert(keras2_models / "keras2_image_model.h5", tmp_path)
    assert capfd.readouterr() == ("", "")
    assert result.input_names == ("image",)
    assert result.output_names == ("first", "a")
    assert result.calibration_sample is None


def test_error_of_the_worker_reaches_the_caller(keras3_models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"uses '(tests>)?Doubling', which is not part of Keras"):
        convert(keras3_models / "custom.keras", tmp_path)


def test_crash_of_tensorflow_is_reported_with_its_log(keras3_models: Path, calibration: Path, tmp_path: Path) -> None:
    options = {"quantize": "int8", "calibration": calibration / "steps.npy"}
    with pytest.raises(ConversionFailedError, match="crashed with SIGSEGV") as caught:
        convert(keras3_models / "loop", tmp_path, **options)
    assert caught.value.log_tail
    assert str(tmp_path / "tensorflow.log") in str(caught.value)


def test_conversion_that_takes_too_long_is_ended(keras3_models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionFailedError, match=r"longer than 0\.3 s"):
        convert(keras3_models / "default_names.h5", tmp_path, timeout_s=0.3)


def test_broken_tensorflow_installation_is_reported_with_its_traceback(
    keras3_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('no such instruction')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ConversionFailedError, match="failed unexpectedly") as caught:
        convert(keras3_models / "default_names.h5", tmp_path)
    assert "no such instruction" in caught.value.log_tail


def test_killed_worker_hints_at_memory(keras3_models: Path, tmp_path: Path) -> None:
    others = children_of(os.getpid())  # node services that tests share

    def kill_children(text: str, fraction: float | None) -> None:
        for child in set(children_of(os.getpid())).difference(others):
            os.kill(child, signal.SIGKILL)

    with pytest.raises(ConversionFailedError, match=r"was killed .* lack of memory"):
        convert(keras3_models / "default_names.h5", tmp_path, on_progress=kill_children)


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


SCRIPT = """
import sys
from pathlib import Path
from converter.convert import convert_to_tflite
convert_to_tflite(Path(sys.argv[1]), work_dir=Path(sys.argv[2]),
                  on_progress=lambda text, fraction: print(text, flush=True))
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_worker_ends_with_its_parent(keras3_models: Path, tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", SCRIPT, str(keras3_models / "default_names.h5"), str(tmp_path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        (worker,) = children_of(parent.pid)
        worker_fd = os.pidfd_open(worker)
        parent.send_signal(ending)
        parent.communicate(timeout=30)
    assert select.select([worker_fd], [], [], 30)[0], "the worker outlived its parent"
    os.close(worker_fd)
    assert parent.returncode != 0


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes any attempt to start a worker fail the test."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a worker was started")

    with monkeypatch.context() as patch:
        patch.setattr("converter.convert.run_worker", refuse)
        yield


@pytest.mark.usefixtures("no_worker")
class TestCheapChecks:
    """What is wrong without asking TensorFlow is said without starting it."""

    @pytest.mark.parametrize("quantize", ["int8", "int16x8"])
    def test_full_quantisation_without_data_is_refused(
        self, keras3_models: Path, tmp_path: Path, quantize: str
    ) -> None:
        with pytest.raises(CalibrationError, match=f"{quantize} needs calibration data"):
            convert(keras3_models / "default_names.h5", tmp_path, quantize=quantize)

    def test_missing_calibration_data_are_refused(self, keras3_models: Path, tmp_path: Path) -> None:
        with pytest.raises(CalibrationError, match="no calibration data at"):
            convert(keras3_models / "default_names.h5", tmp_path, calibration=tmp_path / "no.npy")

    def test_missing_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="no model at"):
            convert(tmp_path / "no.h5", tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"quantize": "int4"}, "unknown mode 'int4': expected one of none, float16"),
            ({"batch": 0}, "batch is 0, expected 1 or more"),
        ],
    )
    def test_impossible_option_is_refused(self, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            convert(tmp_path / "no.h5", tmp_path, **options)

    @pytest.mark.parametrize(("name", "library"), [("default_names.h5", "keras"), ("exported", "tensorflow")])
    def test_missing_library_is_named_with_how_to_get_it(
        self,
        keras3_models: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        library: str,
    ) -> None:
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(MissingDependencyError, match=rf"needs {library}.*boardline\[converter"):
            convert(keras3_models / name, tmp_path)


@pytest.mark.usefixtures("no_worker")
class TestTfliteSource:
    """A `.tflite` file is taken as it is."""

    @pytest.fixture
    def tflite(self, keras3_conversions: Path) -> Path:
        return keras3_conversions / "several_ends-int8" / "model.tflite"

    def test_file_is_returned_with_its_names(self, tflite: Path, tmp_path: Path) -> None:
        result = convert(tflite, tmp_path)
        assert result.tflite == tflite
        assert result.layers == ()
        assert sorted(result.input_names) == ["Image", "an_extra"]
        assert sorted(result.output_names) == ["apple", "zebra"]
        assert result.calibration_sample is None

    def test_calibration_data_provide_the_sample(self, tflite: Path, calibration: Path, tmp_path: Path) -> None:
        result = convert(tflite, tmp_path, calibration=calibration / "two.npz")
        assert result.calibration_sample is not None
        shapes = {name: array.shape for name, array in result.calibration_sample.items()}
        assert shapes == {"Image": (1, 8, 8, 3), "an_extra": (1, 5)}
        assert result.calibration_sample["Image"].dtype == np.float32

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"quantize": "float16"}, "float16 asked for, but the model is already TFLite"),
            ({"batch": 2}, "already TFLite and its shapes are fixed"),
            ({"input_shapes": {"x": (1,)}}, "already TFLite and its shapes are fixed"),
        ],
    )
    def test_options_that_need_the_original_are_refused(
        self, tflite: Path, tmp_path: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(OptionError, match=message):
            convert(tflite, tmp_path, **options)

    def test_cut_off_file_is_refused(self, tflite: Path, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged.tflite"
        shutil.copy(tflite, damaged)
        os.truncate(damaged, 40)
        with pytest.raises(ModelError, match=r"damaged\.tflite is a damaged TFLite file"):
            convert(damaged, tmp_path)
