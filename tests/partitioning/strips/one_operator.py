"""Models of one operator with rows, in all the forms that its options allow, for property tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from hypothesis import strategies as st

from tests.partitioning.graph_builder import ModelBuilder

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
Draw = Callable[[Any], Any]
INT8_SCALE, INT8_ZERO = 0.05, -7


class Sheet:
    """A model with one image; `finish` gives the file."""

    def __init__(self, draw: Draw, channels: int | None = None) -> None:
        self.draw = draw
        self.builder = ModelBuilder()
        self.main = self.builder.main
        self.dtype: Any = draw(st.sampled_from([np.float32, np.int8]))
        self.is_integer = self.dtype is np.int8
        c = draw(st.integers(1, 5)) if channels is None else channels
        self.shape = (1, draw(st.integers(1, 24)), draw(st.integers(1, 9)), c)
        self.image = self.tensor(self.shape)
        self.random = np.random.default_rng(draw(st.integers(0, 2**16)))

    def tensor(self, shape: Sequence[int]) -> int:
        scale = INT8_SCALE if self.is_integer else None
        return self.main.tensor(shape, self.dtype, scale=scale, zero_point=INT8_ZERO if self.is_integer else 0)

    def weights(self, shape: Sequence[int]) -> int:
        if self.is_integer:
            values = self.random.integers(-127, 128, shape).astype(np.int8)
            return self.main.constant(values, scale=0.02)
        return self.main.constant(self.random.normal(size=shape).astype(np.float32))

    def bias(self, count: int) -> int:
        if self.is_integer:
            return self.main.constant(self.random.integers(-99, 99, count).astype(np.int32), scale=INT8_SCALE * 0.02)
        return self.main.constant(self.random.normal(size=count).astype(np.float32))

    def ints(self, *values: int) -> int:
        return self.main.constant(np.array(values, np.int32))

    def finish(self, outputs: Sequence[int]) -> bytes:
        self.main.ends([self.image], list(outputs))
        return self.builder.build()


def _out(length: int, size: int, stride: int, padding: int) -> int:
    return -(-length // stride) if padding == SAME else (length - size) // stride + 1


def _strides(draw: Draw) -> tuple[int, int]:
    return draw(st.integers(1, 3)), draw(st.integers(1, 3))


def _filter(draw: Draw, sheet: Sheet, padding: int, dilation: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Sizes that fit in the image, if it is not padded."""
    most = [5 if padding == SAME else min(5, (n - 1) // d + 1) for n, d in zip(sheet.shape[1:3], dilation)]
    return draw(st.integers(1, most[0])), draw(st.integers(1, most[1]))


@st.composite
def convolutions(draw: Draw) -> bytes:
    sheet, padding, is_depthwise = Sheet(draw), draw(st.sampled_from([SAME, VALID])), draw(st.booleans())
    strides = _strides(draw)
    dilation = (1, 1) if max(strides) > 1 else (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    kh, kw = _filter(draw, sheet, padding, dilation)
    reached = [(k - 1) * d + 1 for k, d in zip((kh, kw), dilation)]
    if padding == VALID and any(r > n for r, n in zip(reached, sheet.shape[1:3])):
        kh = kw = 1
        reached = [1, 1]
    n_out = sheet.shape[3] if is_depthwise else 4
    size = [_out(n, r, s, padding) for n, r, s in zip(sheet.shape[1:3], reached, strides)]
    result = sheet.tensor((1, *size, n_out))
    where = {"padding": padding, "strideH": strides[0], "strideW": strides[1]}
    where |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    if is_depthwise:
        weights, kind = sheet.weights((1, kh, kw, n_out)), "DEPTHWISE_CONV_2D"
        options: Any = schema.DepthwiseConv2DOptionsT(depthMultiplier=1, **where)
    else:
        weights, kind = sheet.weights((n_out, kh, kw, sheet.shape[3])), "CONV_2D"
        options = schema.Conv2DOptionsT(**where)
    options.fusedActivationFunction = draw(st.sampled_from([0, 1, 3]))
    sheet.main.operator(kind, [sheet.image, weights, sheet.bias(n_out)], [result], options)
    return sheet.finish([result])


@st.composite
def poolings(draw: Draw) -> bytes:
    sheet, padding, strides = Sheet(draw), draw(st.sampled_from([SAME, VALID])), _strides(draw)
    kh, kw = _filter(draw, sheet, padding)
    kind = draw(st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
    size = [_out(n, k, s, padding) for n, k, s in zip(sheet.shape[1:3], (kh, kw), strides)]
    result = sheet.tensor((1, *size, sheet.shape[3]))
    options = schema.Pool2DOptionsT(
        padding=padding, strideH=strides[0], strideW=strides[1], filterHeight=kh, filterWidth=kw
    )
    sheet.main.operator(kind, [sheet.image], [result], options)
    return sheet.finish([result])


@st.composite
def transposed_convolutions(draw: Draw) -> bytes:
    sheet, padding, strides = Sheet(draw), draw(st.sampled_from([SAME, VALID])), _strides(draw)
    kh, kw = (draw(st.integers(stride, 5)) for stride in strides)
    longest = [n * s if padding == SAME else (n - 1) * s + k for n, s, k in zip(sheet.shape[1:3], strides, (kh, kw))]
    result = sheet.tensor((1, *longest, 3))
    options = schema.TransposeConvOptionsT(padding=padding, strideH=strides[0], strideW=strides[1])
    operands = [sheet.ints(1, *longest, 3), sheet.weights((3, kh, kw, sheet.shape[3])), sheet.image]
    sheet.main.operator("TRANSPOSE_CONV", operands, [result], options)
    return sheet.finish([result])


@st.composite
def paddings(draw: Draw) -> bytes:
    sheet = Sheet(draw)
    amounts = [(0, 0), *((draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(3))]
    result = sheet.tensor([n + sum(pair) for n, pair in zip(sheet.shape, amounts)])
    operands = [sheet.image, sheet.main.constant(np.array(amounts, np.int32))]
    sheet.main.operator("PAD", operands, [result], schema.PadOptionsT())
    return sheet.finish([result])


@st.composite
def resizings(draw: Draw) -> bytes:
    sheet, is_bilinear = Sheet(draw), draw(st.booleans())
    factor = draw(st.sampled_from([1, 2, 4] if is_bilinear else [1, 2, 3, 5, 6]))
    columns = draw(st.integers(1, 12))
    result = sheet.tensor((1, sheet.shape[1] * factor, columns, sheet.shape[3]))
    kind = "RESIZE_BILINEAR" if is_bilinear else "RESIZE_NEAREST_NEIGHBOR"
    union = schema.ResizeBilinearOptionsT if is_bilinear else schema.ResizeNearestNeighborOptionsT
    operands = [sheet.image, sheet.ints(sheet.shape[1] * factor, columns)]
    sheet.main.operator(kind, operands, [result], union(halfPixelCenters=draw(st.booleans())))
    return sheet.finish([result])


@st.composite
def blocks(draw: Draw) -> bytes:
    block = draw(st.integers(2, 3))
    sheet = Sheet(draw, channels=block * block * draw(st.integers(1, 2)))
    n, h, w, c = sheet.shape
    result = sheet.tensor((n, h * block, w * block, c // block**2))
    again = sheet.tensor(sheet.shape)
    sheet.main.operator("DEPTH_TO_SPACE", [sheet.image], [result], schema.DepthToSpaceOptionsT(blockSize=block))
    sheet.main.operator("SPACE_TO_DEPTH", [result], [again], schema.SpaceToDepthOptionsT(blockSize=block))
    return sheet.finish(draw(st.sampled_from([(result,), (again,), (result, again)])))


@st.composite
def reshapings(draw: Draw) -> bytes:
    sheet = Sheet(draw)
    n, h, w, c = sheet.shape
    shape = draw(st.sampled_from([(n, h * w, c), (n, h, w * c, 1), (n, h, 1, w, c), (n, h * w * c, 1, 1)]))
    result = sheet.tensor(shape)
    operands = [sheet.image, sheet.ints(*shape)]
    sheet.main.operator("RESHAPE", operands, [result], schema.ReshapeOptionsT(newShape=np.array(shape, np.int32)))
    return sheet.finish([result])


@st.composite
def sums(draw: Draw) -> bytes:
    """An image and a constant that is broadcast, in either order."""
    sheet = Sheet(draw)
    _, h, w, c = sheet.shape
    shape = draw(st.sampled_from([(c,), (1, c), (w, c), (h, 1, 1), (h, w, c), (1, h, w, 1), (1, 1, w, c)]))
    operands = [sheet.image, sheet.weights(shape)]
    result = sheet.tensor(sheet.shape)
    kind = draw(st.sampled_from(["ADD", "MUL", "SUB"]))
    union = {"ADD": schema.AddOptionsT, "MUL": schema.MulOptionsT, "SUB": schema.SubOptionsT}[kind]
    sheet.main.operator(kind, operands[:: draw(st.sampled_from([1, -1]))], [result], union())
    return sheet.finish([result])


@st.composite
def splittings(draw: Draw) -> bytes:
    """Two halves of the channels, of which different rows are asked for, and both side by side again."""
    sheet = Sheet(draw, channels=2 * draw(st.integers(1, 2)))
    n, h, w, c = sheet.shape
    halves = [sheet.tensor((n, h, w, c // 2)) for _ in range(2)]
    joined = sheet.tensor(sheet.shape)
    sheet.main.operator("SPLIT", [sheet.ints(3), sheet.image], halves, schema.SplitOptionsT(numSplits=2))
    sheet.main.operator("CONCATENATION", halves[::-1], [joined], schema.ConcatenationOptionsT(axis=-1))
    return sheet.finish([*halves, joined])


KINDS = {
    "convolution": convolutions(),
    "pooling": poolings(),
    "transposed convolution": transposed_convolutions(),
    "padding": paddings(),
    "resizing": resizings(),
    "block": blocks(),
    "reshaping": reshapings(),
    "sum": sums(),
    "splitting": splittings(),
}
