"""Hypothesis strategy: random graphs of random wiring, as files that the runtime accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from hypothesis import strategies as st

from tests.partitioning.graph_builder import ModelBuilder

Array = np.ndarray[Any, Any]
Draw = Callable[[Any], Any]

# Few and awkward: empty, equal, looking like what a duplicate is renamed to, like a fused or scoped name, like an index.
_NAMES = ("", "a", "a", "b", "a#3", "a#9", "tensor", "tensor#7", "scope/layer;scope/relu", "7")
_QUANTISATIONS = ((0.05, 3), (0.02, -11))
# Fixed by the kernel.
_LOGISTIC_QUANTISATION = (1 / 256, -128)
_MAX_ELEMENTS = 600


@dataclass(frozen=True)
class Value:
    """An activation of the graph under construction. `quantisation` is (scale, zero point), None for float32."""

    index: int
    shape: tuple[int, ...]
    quantisation: tuple[float, int] | None


@dataclass(frozen=True)
class RandomModel:
    """A file, and one sample per model input, in the file's order."""

    data: bytes
    samples: tuple[Array, ...]
    listing: str

    def __repr__(self) -> str:
        """What a failing example looks like."""
        return self.listing


class _Wiring:
    """Grows a graph by one operator at a time; each reads any earlier values, however long ago they were made."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.builder = ModelBuilder()
        self.graph = self.builder.main
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.values: list[Value] = []

    def value(self, shape: tuple[int, ...], quantisation: tuple[float, int] | None) -> Value:
        name = self.draw(st.sampled_from(_NAMES))
        dtype = np.float32 if quantisation is None else np.int8
        scale, zero_point = quantisation or (None, 0)
        index = self.graph.tensor(shape, dtype, name=name, scale=scale, zero_point=zero_point)
        made = Value(index, shape, quantisation)
        self.values.append(made)
        return made

    def listing(self) -> str:
        kinds = list(self.builder.codes)
        return ", ".join(
            f"{kinds[o.opcodeIndex]}{o.inputs.tolist()}->{o.outputs.tolist()}" for o in self.graph.raw.operators
        )

    def any_value(self, fits: Callable[[Value], bool] = lambda value: True) -> Value | None:
        fitting = [v for v in self.values if fits(v)]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def some_quantisation(self, like: Value) -> tuple[float, int] | None:
        return None if like.quantisation is None else self.draw(st.sampled_from(_QUANTISATIONS))

    def weights(self, shape: tuple[int, ...], x: Value, slices: int) -> list[int]:
        """Tensors of a filter and its bias, for float or int8, the float filter at times as a dequantised float16."""
        filter_values = self.rng.normal(0, 0.4, shape).astype(np.float32)
        bias = self.rng.normal(0, 0.4, slices).astype(np.float32)
        if x.quantisation is not None:
            # One scale: per-slice ones are covered by the zoo.
            levels = np.clip(np.rint(filter_values / 0.01), -127, 127).astype(np.int8)
            bias_scale = x.quantisation[0] * 0.01
            return [
                self.graph.constant(levels, scale=0.01),
                self.graph.constant(np.rint(bias / bias_scale).astype(np.int32), scale=bias_scale),
            ]
        if self.draw(st.booleans()):
            half = self.graph.constant(filter_values.astype(np.float16))
            full = self.graph.tensor(shape, name="dequantised")
            self.graph.operator("DEQUANTIZE", [half], [full], schema.DequantizeOptionsT())
            return [full, self.graph.constant(bias)]
        return [self.graph.constant(filter_values), self.graph.constant(bias)]


def _binary(w: _Wiring, kind: str, options: Any) -> None:
    x = w.any_value()
    assert x is not None
    y = w.any_value(lambda v: v.shape == x.shape and (v.quantisation is None) == (x.quantisation is None))
    assert y is not None
    w.graph.operator(kind, [x.index, y.index], [w.value(x.shape, w.some_quantisation(x)).index], options)


def _add(w: _Wiring) -> None:
    _binary(w, "ADD", schema.AddOptionsT(fusedActivationFunction=w.draw(st.sampled_from([0, 1, 3]))))


def _mul(w: _Wiring) -> None:
    _binary(w, "MUL", schema.MulOptionsT())


def _relu(w: _Wiring) -> None:
    x = w.any_value()
    assert x is not None
    w.graph.operator("RELU", [x.index], [w.value(x.shape, x.quantisation).index])


def _logistic(w: _Wiring) -> None:
    x = w.any_value()
    assert x is not None
    quantisation = None if x.quantisation is None else _LOGISTIC_QUANTISATION
    w.graph.operator("LOGISTIC", [x.index], [w.value(x.shape, quantisation).index])


def _conv_2d(w: _Wiring) -> None:
    x = w.any_value(lambda v: len(v.shape) == 4)
    if x is None:
        return _relu(w)
    depth, size, stride = w.draw(st.integers(1, 4)), w.draw(st.sampled_from([1, 3])), w.draw(st.sampled_from([1, 2]))
    operands = [x.index, *w.weights((depth, size, size, x.shape[3]), x, depth)]
    _, height, width, _ = x.shape
    y = w.value((1, -(-height // stride), -(-width // stride), depth), w.some_quantisation(x))
    options = schema.Conv2DOptionsT(
        strideW=stride, strideH=stride, fusedActivationFunction=w.draw(st.sampled_from([0, 1]))
    )
    w.graph.operator("CONV_2D", operands, [y.index], options)
    return None


def _depthwise_conv_2d(w: _Wiring) -> None:
    x = w.any_value(lambda v: len(v.shape) == 4)
    if x is None:
        return _logistic(w)
    operands = [x.index, *w.weights((1, 3, 3, x.shape[3]), x, x.shape[3])]
    options = schema.DepthwiseConv2DOptionsT(strideW=1, strideH=1, depthMultiplier=1)
    w.graph.operator("DEPTHWISE_CONV_2D", operands, [w.value(x.shape, w.some_quantisation(x)).index], options)
    return None


def _concatenation(w: _Wiring) -> None:
    x = w.any_value()
    assert x is not None
    y = w.any_value(lambda v: v.shape[:-1] == x.shape[:-1] and v.quantisation == x.quantisation)
    assert y is not None
    z = w.value((*x.shape[:-1], x.shape[-1] + y.shape[-1]), x.quantisation)
    options = schema.ConcatenationOptionsT(axis=len(x.shape) - 1)
    w.graph.operator("CONCATENATION", [x.index, y.index], [z.index], options)


def _max_pool_2d(w: _Wiring) -> None:
    x = w.any_value(lambda v: len(v.shape) == 4)
    if x is None:
        return _relu(w)
    options = schema.Pool2DOptionsT(strideW=1, strideH=1, filterWidth=2, filterHeight=2)
    w.graph.operator("MAX_POOL_2D", [x.index], [w.value(x.shape, x.quantisation).index], options)
    return None


def _pad(w: _Wiring) -> None:
    x = w.any_value(lambda v: len(v.shape) == 4)
    if x is None:
        return _add(w)
    paddings = w.graph.constant(np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.int32))
    y = w.value((1, x.shape[1] + 1, x.shape[2] + 1, x.shape[3]), x.quantisation)
    w.graph.operator("PAD", [x.index, paddings], [y.index], schema.PadOptionsT())
    return None


def _split(w: _Wiring) -> None:
    x = w.any_value(lambda v: v.shape[-1] % 2 == 0)
    if x is None:
        return _concatenation(w)
    axis = w.graph.constant(np.array(len(x.shape) - 1, np.int32))
    halves = [w.value((*x.shape[:-1], x.shape[-1] // 2), x.quantisation).index for _ in range(2)]
    w.graph.operator("SPLIT", [axis, x.index], halves, schema.SplitOptionsT(numSplits=2))
    return None


def _reshape(w: _Wiring) -> None:
    x = w.any_value()
    assert x is not None
    shape = (1, int(np.prod(x.shape)))
    new_shape = w.graph.constant(np.array(shape, np.int32))
    options = schema.ReshapeOptionsT(newShape=np.array(shape, np.int32))
    w.graph.operator("RESHAPE", [x.index, new_shape], [w.value(shape, x.quantisation).index], options)


def _fully_connected(w: _Wiring) -> None:
    x = w.any_value(lambda v: len(v.shape) == 2)
    if x is None:
        return _reshape(w)
    units = w.draw(st.integers(1, 8))
    operands = [x.index, *w.weights((units, x.shape[1]), x, units)]
    if w.draw(st.booleans()):
        operands[2] = -1  # no bias
    y = w.value((1, units), w.some_quantisation(x))
    w.graph.operator("FULLY_CONNECTED", operands, [y.index], schema.FullyConnectedOptionsT())
    return None


def _requantise(w: _Wiring) -> None:
    """To the other of float32 and int8."""
    x = w.any_value()
    assert x is not None
    if x.quantisation is None:
        y = w.value(x.shape, w.draw(st.sampled_from(_QUANTISATIONS)))
        w.graph.operator("QUANTIZE", [x.index], [y.index], schema.QuantizeOptionsT())
    else:
        w.graph.operator("DEQUANTIZE", [x.index], [w.value(x.shape, None).index], schema.DequantizeOptionsT())


_STEPS = (
    _relu,
    _logistic,
    _add,
    _mul,
    _reshape,
    _concatenation,
    _split,
    _max_pool_2d,
    _pad,
    _fully_connected,
    _depthwise_conv_2d,
    _conv_2d,
    _requantise,
)


@st.composite
def random_models(draw: Draw, max_ops: int = 16) -> RandomModel:
    """Models of 1 to about `max_ops` operators: long skips, several inputs and outputs, some of them odd.

    Inputs may be unused, may be outputs; outputs may be read inside, may be listed twice; results may be read by nobody.
    """
    w = _Wiring(draw)
    for _ in range(draw(st.integers(1, 3))):
        shape = (1, draw(st.integers(2, 6)), draw(st.integers(2, 6)), draw(st.integers(1, 4)))
        w.value(shape, draw(st.sampled_from([None, *_QUANTISATIONS])))
    inputs = list(w.values)
    n_steps = draw(st.integers(1, max_ops))  # drawn by itself: lists of a range of lengths come out short
    for step in draw(st.lists(st.sampled_from(_STEPS), min_size=n_steps, max_size=n_steps)):
        w.values = [v for v in w.values if np.prod(v.shape) <= _MAX_ELEMENTS]
        step(w)
    outputs = draw(st.lists(st.sampled_from(w.values), min_size=1, max_size=4))
    w.graph.ends([v.index for v in inputs], [v.index for v in outputs])
    samples = tuple(_sample(w.rng, v) for v in inputs)
    return RandomModel(
        w.builder.build(),
        samples,
        f"inputs {[v.index for v in inputs]}; {w.listing()}; outputs {[v.index for v in outputs]}",
    )


def _sample(rng: np.random.Generator, value: Value) -> Array:
    if value.quantisation is None:
        return rng.normal(0, 1, value.shape).astype(np.float32)
    return rng.integers(-128, 128, value.shape, dtype=np.int8)
