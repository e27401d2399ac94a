"""A file for one sample becomes one for several, and gives each of them the bytes that it had alone; or it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converter.errors import BatchError
from converter.rebatching import BatchedFile, compare_rows, rebatch, row_difference
from partitioning import Graph
from runtime import Runner, load_runtime
from tests import zoo
from tests.partitioning.graph_builder import ModelBuilder

RUNTIME = load_runtime()
RECURRENT = {"gru", "gru_unrolled"}
# Its state is a dequantised constant for one sample.
REFUSED = {(name, mode) for name in RECURRENT for mode in zoo.MODES} | {("lstm", "float16")}
CASES = [(name, mode) for name in zoo.NAMES for mode in zoo.MODES]


def samples(graph: Graph, count: int, seed: int = 0) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(seed)
    found: dict[int, np.ndarray] = {}
    for t in graph.inputs:
        tensor = graph.tensors[t]
        shape = (count, *tensor.usual_shape[1:])
        assert tensor.dtype is not None
        if np.issubdtype(tensor.dtype, np.floating):
            found[t] = generator.normal(size=shape).astype(tensor.dtype)
        else:
            found[t] = generator.integers(-128, 128, shape).astype(tensor.dtype)
    return found


def batched(data: bytes, count: int) -> tuple[BatchedFile, Graph]:
    graph = Graph.from_bytes(data)
    return rebatch(data, count, samples(graph, count), RUNTIME, 1), graph


def require_equal_rows(data: bytes, count: int) -> Graph:
    """Compares on other samples than those that the file was made with."""
    made, graph = batched(data, count)
    assert made.largest_difference == 0
    fresh = samples(graph, count, seed=1)
    together = Runner(RUNTIME, made.data).run([fresh[t] for t in graph.inputs])
    alone = Runner(RUNTIME, data)
    rows = [alone.run([fresh[t][row : row + 1] for t in graph.inputs]) for row in range(count)]
    for position, answer in enumerate(together):
        assert answer.tobytes() == np.concatenate([row[position] for row in rows]).tobytes()
    return Graph.from_bytes(made.data)


@pytest.mark.parametrize(("name", "mode"), [case for case in CASES if case not in REFUSED])
@pytest.mark.parametrize("count", [2, 5])
def test_answers_in_a_batch_have_the_bytes_of_answers_alone(name: str, mode: str, count: int) -> None:
    data = zoo.load(name, mode)
    before, after = Graph.from_bytes(data), require_equal_rows(data, count)
    assert {after.tensors[t].shape[0] for t in (*after.inputs, *after.outputs)} == {count}
    assert after.aliases == before.aliases
    kept = {t.name: (t.scale, t.zero_point) for t in after.tensors}
    assert all(kept[t.name] == (t.scale, t.zero_point) for t in before.tensors)


@pytest.mark.parametrize(("name", "mode"), sorted(REFUSED))
def test_recurrent_file_is_refused_naming_the_operator(name: str, mode: str) -> None:
    with pytest.raises(BatchError, match=r"WHILE|UNPACK|UNIDIRECTIONAL_SEQUENCE_LSTM"):
        batched(zoo.load(name, mode), 3)


def test_wider_reshape_is_put_before_an_operator_that_broadcasts() -> None:
    """(1, 2, 2, 3) * (1, 3): the 1s that one sample needs not."""
    model = ModelBuilder()
    image, vector = model.main.tensor((1, 2, 2, 3)), model.main.tensor((1, 3))
    product = model.main.tensor((1, 2, 2, 3), name="product")
    model.main.operator("MUL", [image, vector], [product], schema.MulOptionsT())
    model.main.ends([image, vector], [product])
    graph = require_equal_rows(model.build(), 4)
    assert [op.kind for op in graph.operators] == ["RESHAPE", "MUL"]


def test_both_operands_of_lower_rank_get_a_reshape() -> None:
    model = ModelBuilder()
    image = model.main.tensor((1, 2, 2, 3))
    flat, shape = model.main.tensor((12,)), model.main.constant(np.array([12], np.int32))
    result = model.main.tensor((1, 12))
    model.main.operator("RESHAPE", [image, shape], [flat], schema.ReshapeOptionsT(newShape=[12]))
    row = model.main.tensor((1, 12))
    model.main.operator(
        "RESHAPE", [image, model.main.constant(np.array([1, -1], np.int32))], [row], schema.ReshapeOptionsT()
    )
    model.main.operator("ADD", [flat, row], [result], schema.AddOptionsT())
    model.main.ends([image], [result])
    require_equal_rows(model.build(), 3)


def test_shape_among_the_options_of_a_reshape_is_followed() -> None:
    model = ModelBuilder()
    image, flat = model.main.tensor((1, 2, 3)), model.main.tensor((1, 6))
    model.main.operator("RESHAPE", [image], [flat], schema.ReshapeOptionsT(newShape=np.array([1, 6], np.int32)))
    model.main.ends([image], [flat])
    require_equal_rows(model.build(), 3)


def test_constant_beside_a_sample_is_repeated_for_each() -> None:
    model = ModelBuilder()
    tokens, token = model.main.tensor((1, 3, 2)), model.main.constant(np.array([[[7.0, 8.0]]], np.float32))
    joined = model.main.tensor((1, 4, 2))
    model.main.operator("CONCATENATION", [token, tokens], [joined], schema.ConcatenationOptionsT(axis=1))
    model.main.ends([tokens], [joined])
    require_equal_rows(model.build(), 3)


@pytest.mark.parametrize("end_mask", [0, 1])
def test_slices_take_every_sample(end_mask: int) -> None:
    model = ModelBuilder()
    image, sliced, strided = (model.main.tensor(shape) for shape in ((1, 4, 6), (1, 2, 6), (1, 2, 2)))
    begin, size = (model.main.constant(np.array(n, np.int32)) for n in ([0, 1, 0], [1, 2, -1]))
    model.main.operator("SLICE", [image, begin, size], [sliced], schema.SliceOptionsT())
    numbers = [model.main.constant(np.array(n, np.int32)) for n in ([0, 0, 2], [1, 2, 6], [1, 1, 2])]
    options = schema.StridedSliceOptionsT(endMask=end_mask)
    model.main.operator("STRIDED_SLICE", [sliced, *numbers], [strided], options)
    model.main.ends([image], [strided])
    require_equal_rows(model.build(), 3)


def test_shape_computed_from_the_input_follows_by_itself() -> None:
    """What a converter writes for Flatten when the batch is open."""
    model = ModelBuilder()
    image = model.main.tensor((1, 2, 3), signature=(-1, 2, 3))
    shape = model.main.tensor((3,), np.int32, name="shape")
    model.main.operator("SHAPE", [image], [shape], schema.ShapeOptionsT(outType=schema.TensorType.INT32))
    numbers = [model.main.constant(np.array([n], np.int32)) for n in (0, 1, 1)]
    size = model.main.tensor((), np.int32, name="size")
    model.main.operator("STRIDED_SLICE", [shape, *numbers], [size], schema.StridedSliceOptionsT(shrinkAxisMask=1))
    rest, wanted = model.main.constant(np.array(6, np.int32)), model.main.tensor((2,), np.int32, name="wanted")
    model.main.operator("PACK", [size, rest], [wanted], schema.PackOptionsT(valuesCount=2, axis=0))
    flat = model.main.tensor((1, 6), signature=(-1, 6), name="flat")
    model.main.operator("RESHAPE", [image, wanted], [flat], schema.ReshapeOptionsT())
    model.main.ends([image], [flat])
    graph = require_equal_rows(model.build(), 3)
    assert graph.tensors[graph.outputs[0]].shape == (3, 6)


def test_shape_that_is_asked_for_casts_no_doubt_on_answers_that_are_all_alike() -> None:
    model = ModelBuilder()
    image, size = model.main.tensor((1, 2)), model.main.tensor((2,), np.int32, name="size")
    model.main.operator("SHAPE", [image], [size], schema.ShapeOptionsT(outType=schema.TensorType.INT32))
    same, zeros = model.main.tensor((1, 2)), model.main.tensor((1, 2))
    model.main.operator("RESHAPE", [image, size], [same], schema.ReshapeOptionsT())
    model.main.operator("SUB", [same, same], [zeros], schema.SubOptionsT())
    model.main.ends([image], [zeros])
    require_equal_rows(model.build(), 3)


def test_transposition_written_as_a_reshape_is_found_out() -> None:
    """Of one sample (1, 3, 2) -> (3, 1, 2) moves nothing; of four, the softmax over time would run across samples."""
    model = ModelBuilder()
    steps, turned = model.main.tensor((1, 3, 2)), model.main.tensor((3, 1, 2), name="turned")
    wanted = model.main.constant(np.array([3, 1, 2], np.int32))
    model.main.operator("RESHAPE", [steps, wanted], [turned], schema.ReshapeOptionsT())
    total = model.main.tensor((1, 2), name="total")
    axis = model.main.constant(np.array([0], np.int32))
    model.main.operator("SUM", [turned, axis], [total], schema.ReducerOptionsT())
    model.main.ends([steps], [total])
    with pytest.raises(BatchError, match=r"operator 1 \(SUM, which computes total\) does not keep them apart"):
        batched(model.build(), 4)


def test_mixed_samples_are_found_out_though_the_answers_agree_by_chance() -> None:
    """The rows are reversed, and the answer is 0 for every sample: equal bytes prove nothing."""
    model = ModelBuilder()
    image, turned, nothing = (model.main.tensor((1, 2), name=n) for n in ("image", "turned", "nothing"))
    axis = model.main.constant(np.array([0], np.int32))
    model.main.operator("REVERSE_V2", [image, axis], [turned], schema.ReverseV2OptionsT())
    zero = model.main.constant(np.zeros((1, 2), np.float32))
    model.main.operator("MUL", [turned, zero], [nothing], schema.MulOptionsT())
    model.main.ends([image], [nothing])
    with pytest.raises(BatchError, match="REVERSE_V2"):
        batched(model.build(), 3)


def test_samples_that_are_mixed_and_sorted_again_are_no_fault() -> None:
    model = ModelBuilder()
    image, turned, back = (model.main.tensor((1, 2), name=n) for n in ("image", "turned", "back"))
    axis = model.main.constant(np.array([0], np.int32))
    model.main.operator("REVERSE_V2", [image, axis], [turned], schema.ReverseV2OptionsT())
    model.main.operator("REVERSE_V2", [turned, axis], [back], schema.ReverseV2OptionsT())
    model.main.ends([image], [back])
    require_equal_rows(model.build(), 3)


def test_inputs_that_are_not_of_one_sample_are_refused_by_name() -> None:
    model = ModelBuilder()
    image, scalar = model.main.tensor((2, 3), name="pair"), model.main.tensor((), name="scalar")
    result = model.main.tensor((2, 3))
    model.main.operator("MUL", [image, scalar], [result], schema.MulOptionsT())
    model.main.ends([image, scalar], [result])
    with pytest.raises(BatchError, match=r"pair \[2, 3\], scalar \[\]; expected 1"):
        rebatch(model.build(), 2, {}, RUNTIME, 1)


def test_tensors_without_an_element_size_are_refused_by_name() -> None:
    model = ModelBuilder()
    image, result = model.main.tensor((1, 3)), model.main.tensor((1, 3))
    handle = model.main.tensor((1,), name="handle", tensor_type=schema.TensorType.RESOURCE)
    model.main.operator("VAR_HANDLE", [], [handle], schema.VarHandleOptionsT(sharedName=b"v"))
    model.main.operator("ADD", [image, image], [result], schema.AddOptionsT())
    model.main.ends([image], [result])
    with pytest.raises(BatchError, match=r"handle \(RESOURCE\)"):
        rebatch(model.build(), 2, {}, RUNTIME, 1)


def arrays(*numbers: Any, dtype: Any = np.float32) -> list[np.ndarray]:
    return [np.array([n], dtype) for n in numbers]


@pytest.mark.parametrize(
    ("together", "alone", "difference"),
    [
        (arrays(1.0, 2.0), arrays(1.0, 2.0), 0.0),
        (arrays(1.0, np.nan, np.inf), arrays(1.0, np.nan, np.inf), 0.0),
        (arrays(1.0, 2.0001), arrays(1.0, 2.0), pytest.approx(5e-5, rel=0.01)),
        (arrays(-np.inf, 2.0001), arrays(-np.inf, 2.0), pytest.approx(5e-5, rel=0.01)),
        (arrays(2.0, 1.0), arrays(1.0, 2.0), None),
        (arrays(0.0, 1.0), arrays(-0.0, 1.0), pytest.approx(0, abs=1e-300)),
        (arrays(np.nan, 1.0), arrays(1.0, 1.0), None),
        (arrays(5, 7, dtype=np.int8), arrays(5, 6, dtype=np.int8), 1.0),
        (arrays(127, 0, dtype=np.int8), arrays(-128, 0, dtype=np.int8), None),
    ],
)
def test_difference_of_rows(together: list[np.ndarray], alone: list[np.ndarray], difference: float | None) -> None:
    assert row_difference(np.concatenate(together), alone) == difference


def test_zeros_of_another_sign_are_not_called_equal_bits() -> None:
    assert row_difference(np.zeros((1, 1)), [np.full((1, 1), -0.0)]) != 0


def test_answers_of_another_shape_have_no_difference() -> None:
    assert row_difference(np.zeros((2, 3)), [np.zeros((1, 4)), np.zeros((1, 4))]) is None
    assert row_difference(np.zeros(2), [np.zeros(()), np.zeros(())]) is None


def test_two_files_of_one_model_are_compared_by_names() -> None:
    data = zoo.load("two_inputs", "float32")
    made, graph = batched(data, 3)
    rows = {graph.aliases[t]: array for t, array in samples(graph, 3, seed=2).items()}
    assert compare_rows(data, made.data, rows, RUNTIME) == 0
    other, _ = batched(zoo.load("two_inputs", "dynamic"), 3)
    with pytest.raises(BatchError, match="other answers than to each alone in"):
        compare_rows(data, other.data, rows, RUNTIME)


def test_whole_file_that_the_runtime_refuses_is_no_traceback() -> None:
    """Every operator runs by itself, and the whole does not: a delegate may have its own opinion of it."""
    data = zoo.load("chain", "float32")

    class OperatorsOnly(RUNTIME.interpreter_class):  # type: ignore[name-defined,misc]
        def __init__(self, **options: Any) -> None:
            if len(Graph.from_bytes(options["model_content"]).operators) > 1:
                raise RuntimeError("delegate failed")
            super().__init__(**options)

    graph = Graph.from_bytes(data)
    with pytest.raises(BatchError, match="cannot take 2 samples at once: delegate failed"):
        rebatch(data, 2, samples(graph, 2), replace(RUNTIME, interpreter_class=OperatorsOnly), 1)


def test_slice_that_leaves_the_only_sample_out_stays_empty() -> None:
    model = ModelBuilder()
    image, nothing = model.main.tensor((1, 4)), model.main.tensor((0, 4), name="nothing")
    numbers = [model.main.constant(np.array(n, np.int32)) for n in ([1, 0], [1, 4], [1, 1])]
    model.main.operator("STRIDED_SLICE", [image, *numbers], [nothing], schema.StridedSliceOptionsT())
    model.main.ends([image], [nothing])
    require_equal_rows(model.build(), 2)
