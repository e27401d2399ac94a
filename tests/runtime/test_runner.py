"""Running a model: what a frame may be, that frames are independent, and that failures are typed and leave no trace."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from runtime import ComputeError, ModelLoadError, Port, Runner, load_runtime
from tests import zoo
from tests.partitioning import sample_models

Array = np.ndarray[Any, Any]

RUNTIME = load_runtime()
PROJECT_ROOT = Path(__file__).resolve().parents[2]


def _sample(runner: Runner, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [
        rng.normal(0, 1 if p.dtype.kind == "f" else 50, [abs(n) for n in p.shape]).astype(p.dtype)
        for p in runner.inputs
    ]


def _bytes(outputs: list[Array]) -> list[bytes]:
    return [o.tobytes() for o in outputs]


def test_runner_gives_the_same_from_bytes_and_from_a_path(tmp_path: Path) -> None:
    data = zoo.load("yolo_neck", "float32")
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    one, other = Runner(RUNTIME, data), Runner(RUNTIME, path, threads=1)
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    frame = _sample(one)
    outputs = one.run(frame)
    assert _bytes(outputs) == _bytes(other.run(frame))
    assert [(o.dtype, o.shape) for o in outputs] == [(p.dtype, p.shape) for p in one.outputs]


def test_ports_have_the_files_names_dtypes_and_open_sizes() -> None:
    builder = sample_models.relu_chain(["image", "answer"])
    builder.main.raw.tensors[0].shapeSignature = np.array([-1, 2], np.int32)
    runner = Runner(RUNTIME, builder.build())
    assert runner.inputs == (Port("image", np.dtype(np.float32), (-1, 2)),)
    assert runner.outputs == (Port("answer", np.dtype(np.float32), (1, 2)),)


def test_outputs_own_their_data() -> None:
    runner = Runner(RUNTIME, sample_models.relu_chain(["x", "y"]).build())
    (first,) = runner.run([np.array([[1.0, 2.0]], np.float32)])
    runner.run([np.array([[3.0, 4.0]], np.float32)])
    assert first.tolist() == [[1.0, 2.0]]
    assert first.flags.owndata


def _copied_from(frame: list[Array]) -> Callable[[Sequence[Array]], None]:
    def fill(inputs: Sequence[Array]) -> None:
        for target, value in zip(inputs, frame):
            np.copyto(target, value)

    return fill


@pytest.mark.parametrize("mode", ["float32", "int8"])
@pytest.mark.parametrize("name", ["yolo_neck", "two_inputs", "lstm"])
def test_frames_in_the_runtimes_own_memory_have_the_same_answers(name: str, mode: str) -> None:
    data = zoo.load(name, mode)
    runner, copying = Runner(RUNTIME, data), Runner(RUNTIME, data)
    for seed in range(3):
        frame = _sample(runner, seed)
        assert _bytes(runner.run_in_place(_copied_from(frame))) == _bytes(copying.run(frame))


def test_answers_in_the_runtimes_own_memory_last_until_the_next_run() -> None:
    runner = Runner(RUNTIME, sample_models.relu_chain(["x", "y"]).build())
    (first,) = runner.run_in_place(_copied_from([np.array([[1.0, 2.0]], np.float32)]))
    assert first.tolist() == [[1.0, 2.0]]
    (second,) = runner.run_in_place(_copied_from([np.array([[3.0, 4.0]], np.float32)]))
    assert first.tolist() == second.tolist() == [[3.0, 4.0]]
    del runner, first
    gc.collect()
    assert second.tolist() == [[3.0, 4.0]], "the memory lives as long as the array"


def test_frame_that_cannot_be_filled_in_leaves_no_trace() -> None:
    runner = Runner(RUNTIME, sample_models.relu_chain(["x", "y"]).build())

    def fails(inputs: Sequence[Array]) -> None:
        inputs[0][:] = 7.0
        raise KeyError("no such piece")

    with pytest.raises(KeyError, match="no such piece"):
        runner.run_in_place(fails)
    frame = [np.array([[-1.0, 2.0]], np.float32)]
    assert runner.run_in_place(_copied_from(frame))[0].tolist() == runner.run(frame)[0].tolist() == [[0.0, 2.0]]


def test_own_memory_has_the_files_shapes_whatever_came_before() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.raw.tensors[0].shapeSignature = np.array([-1, 2], np.int32)
    runner = Runner(RUNTIME, builder.build())
    assert runner.run([np.ones((3, 2), np.float32)])[0].shape == (3, 2)
    assert runner.run_in_place(_copied_from([np.ones((1, 2), np.float32)]))[0].shape == (1, 2)


def test_runner_takes_read_only_and_strided_arrays() -> None:
    runner = Runner(RUNTIME, zoo.load("chain", "float32"))
    (values,) = _sample(runner)
    expected = _bytes(runner.run([values]))
    read_only = np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape)
    assert _bytes(runner.run([read_only])) == expected
    assert _bytes(runner.run([np.asfortranarray(values)])) == expected


@pytest.mark.parametrize("mode", zoo.MODES)
def test_answer_depends_on_its_own_frame_alone_when_the_model_is_a_fused_lstm(mode: str) -> None:
    runner = Runner(RUNTIME, zoo.load("lstm", mode))
    frame, other = _sample(runner, 1), _sample(runner, 2)
    expected = _bytes(runner.run(frame))
    assert _bytes(runner.run(other)) != expected
    assert _bytes(runner.run(frame)) == expected


def test_answer_depends_on_its_own_frame_alone_when_the_model_has_resource_variables() -> None:
    runner = Runner(RUNTIME, sample_models.accumulator().build())
    answers = [runner.run([np.full((1, 2), n, np.float32)])[0].tolist() for n in (1, 2, 1)]
    assert answers == [[[1.0, 1.0]], [[2.0, 2.0]], [[1.0, 1.0]]]


def test_batch_may_change_from_frame_to_frame_when_the_file_leaves_it_open() -> None:
    builder = sample_models.relu_chain(["image", "answer"])
    for tensor in builder.main.raw.tensors:
        tensor.shapeSignature = np.array([-1, 2], np.int32)
    runner = Runner(RUNTIME, builder.build())
    for batch in (1, 3, 3, 2, 1):
        values = np.random.default_rng(batch).normal(size=(batch, 2)).astype(np.float32)
        (answer,) = runner.run([values])
        assert answer.tolist() == np.maximum(values, 0).tolist()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_frame_is_refused_when_the_number_of_tensors_is_wrong(count: int) -> None:
    runner = Runner(RUNTIME, zoo.load("two_inputs", "float32"))
    with pytest.raises(ComputeError, match=rf"takes 2 tensors, got {count}\."):
        runner.run((_sample(runner) * 2)[:count])


@pytest.mark.parametrize("dtype", [">f4", "f8", "f2", "i1", "i4", "?", "c8", "O", "U5", "M8[s]"])
def test_frame_is_refused_when_a_dtype_is_wrong(dtype: str) -> None:
    runner = Runner(RUNTIME, zoo.load("mlp", "float32"))
    (values,) = _sample(runner)
    expected = _bytes(runner.run([values]))
    with pytest.raises(ComputeError, match=r"input serving_default_image:0 has dtype .*, expected <f4\."):
        runner.run([np.zeros(values.shape, dtype)])
    assert _bytes(runner.run([values])) == expected


@pytest.mark.parametrize("shape", [(), (1,), (3, 8, 8, 3), (1, 8, 8, 4), (1, 8, 8, 0), (1, 1, 8, 8, 3, 2)])
def test_frame_is_refused_when_the_graph_does_not_allow_its_shape_and_the_next_is_answered(
    shape: tuple[int, ...],
) -> None:
    runner = Runner(RUNTIME, zoo.load("mlp", "float32"))
    (values,) = _sample(runner)
    expected = _bytes(runner.run([values]))
    with pytest.raises(ComputeError, match="the runtime refused the frame"):
        runner.run([np.zeros(shape, np.float32)])
    assert _bytes(runner.run([values])) == expected


def test_frame_is_refused_when_its_second_tensor_alone_is_wrong_and_the_next_is_answered() -> None:
    runner = Runner(RUNTIME, zoo.load("two_inputs", "int8"))
    frame = _sample(runner)
    expected = _bytes(runner.run(frame))
    with pytest.raises(ComputeError):
        runner.run([frame[0], np.zeros((7,), np.int8)])
    assert _bytes(runner.run(frame)) == expected


def test_message_does_not_grow_when_frames_are_refused_again_and_again() -> None:
    runner = Runner(RUNTIME, zoo.load("mlp", "float32"))
    messages = set()
    for _ in range(5):
        with pytest.raises(ComputeError) as raised:
            runner.run([np.zeros((1, 8, 8, 4), np.float32)])
        messages.add(str(raised.value))
    assert len(messages) == 1


def test_strings_are_taken_when_the_model_takes_strings() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    for tensor in builder.main.raw.tensors:
        tensor.type = schema.TensorType.STRING
    (operator,) = builder.main.raw.operators
    shape = builder.main.constant(np.array([2, 1], np.int32))
    builder.raw.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    builder.raw.operatorCodes[0].builtinCode = schema.BuiltinOperator.RESHAPE
    operator.inputs = np.array([0, shape], np.int32)
    (answer,) = Runner(RUNTIME, builder.build()).run([np.array([["a", "bcd"]], np.bytes_)])
    assert answer.tolist() == [[b"a"], [b"bcd"]]


def _damaged(how: str) -> bytes:
    data = zoo.load("chain", "float32")
    return {
        "empty": b"",
        "another format": b"PK\x03\x04" * 1000,
        "cut in half": data[: len(data) // 2],
        "without its last byte": data[:-1],
        "wrong root offset": b"\xff\xff\xff\x7f" + data[4:],
    }[how]


@pytest.mark.parametrize(
    "how", ["empty", "another format", "cut in half", "without its last byte", "wrong root offset"]
)
@pytest.mark.parametrize("as_file", [True, False])
def test_load_refuses_a_damaged_model(how: str, as_file: bool, tmp_path: Path) -> None:
    data = _damaged(how)
    path = tmp_path / "damaged.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelLoadError, match=r"refuses the model: .* else the file is damaged"):
        Runner(RUNTIME, path if as_file else data)


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"nothing\.tflite"):
        Runner(RUNTIME, tmp_path / "nothing.tflite")


def test_load_refuses_an_operator_version_from_the_future() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.raw.operatorCodes[0].version = 99
    with pytest.raises(ModelLoadError, match=r"'RELU' version '99'(.|\n)*needs a newer runtime"):
        Runner(RUNTIME, builder.build())


class _FailingOnce:
    """An interpreter whose first `invoke` runs out of memory, as LiteRT's may; otherwise the real one."""

    loads = 0

    def __init__(self, **options: Any) -> None:
        self._real = RUNTIME.interpreter_class(**options)
        type(self).loads += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def invoke(self) -> None:
        if self.loads == 1:
            raise MemoryError("no room for the arena")
        self._real.invoke()


def test_frame_that_runs_out_of_memory_is_refused_and_the_model_loaded_anew() -> None:
    runner = Runner(replace(RUNTIME, interpreter_class=_FailingOnce), sample_models.relu_chain(["x", "y"]).build())
    values = np.array([[1.0, -2.0]], np.float32)
    with pytest.raises(ComputeError, match="no room for the arena"):
        runner.run([values])
    assert runner.run([values])[0].tolist() == runner.run([values])[0].tolist() == [[1.0, 0.0]]
    assert _FailingOnce.loads == 2


def _stderr_of(script: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout + run.stderr


_LOAD = """
import sys
from runtime import ModelLoadError, Runner, load_runtime
from tests import zoo
from tests.partitioning import sample_models
runtime = load_runtime()
"""


@pytest.mark.parametrize(
    "loads",
    [
        "Runner(runtime, zoo.load('chain', 'float32'))",
        # The greeting belongs to the first model that a delegate takes, which need not be the first model.
        "Runner(runtime, sample_models.loop().build()); Runner(runtime, zoo.load('chain', 'int8'))",
        "Runner(runtime, sample_models.accumulator().build()); Runner(runtime, zoo.load('gru', 'float32'))",
    ],
)
def test_runtime_prints_nothing(loads: str) -> None:
    assert _stderr_of(_LOAD + loads) == ""


def test_runtime_prints_nothing_when_the_first_model_was_refused_and_file_descriptor_2_works_after() -> None:
    script = """
try:
    Runner(runtime, b"damaged")
except ModelLoadError:
    print("refused", file=sys.stderr, flush=True)
Runner(runtime, zoo.load('chain', 'float32'))
Runner(runtime, zoo.load('chain', 'int8'))
print("loaded", file=sys.stderr)
"""
    assert _stderr_of(_LOAD + script) == "refused\nloaded\n"


def test_model_is_refused_when_a_name_in_it_is_no_text() -> None:
    data = sample_models.relu_chain(["image", "answer"]).build()
    with pytest.raises(ModelLoadError, match="no text"):
        Runner(RUNTIME, data.replace(b"answer", b"\xff\xfe\xff\xfe\xff\xfe"))
