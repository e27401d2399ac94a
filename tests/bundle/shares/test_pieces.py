"""Pieces of tensors: joined where they lie side by side, refused where something is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.shares import Pieces, Place, ShareError
from protos.v1.manifest_pb2 import Piece
from protos.v1.tensor_pb2 import DType, TensorSpec

SPECS = [TensorSpec(name="image", dtype=DType.INT16, shape=[1, 6, 4, 2]), TensorSpec(name="one", dtype=DType.INT8)]
WHOLE = np.arange(48, dtype=np.int16).reshape(1, 6, 4, 2)


def place(dimension: int, start: int, stop: int) -> Place:
    return Place.of(Piece(tensor=0, dimension=dimension, start=start, stop=stop), SPECS)


def part(dimension: int, start: int, stop: int) -> np.ndarray:
    return WHOLE[:, start:stop] if dimension == 1 else WHOLE[..., start:stop]


@given(st.sets(st.integers(1, 5)), st.integers(0, 5), st.integers(1, 6), st.randoms())
def test_pieces_side_by_side_are_joined(edges: set[int], start: int, count: int, order: object) -> None:
    pieces, bounds = Pieces(), [0, *sorted(edges), 6]
    spans = list(zip(bounds[:-1], bounds[1:]))
    order.shuffle(spans)  # type: ignore[attr-defined]
    for begin, end in spans:
        pieces.add(place(1, begin, end), part(1, begin, end))
    stop = min(6, start + count)
    assert np.array_equal(pieces.get(place(1, start, stop)), part(1, start, stop))
    assert np.array_equal(pieces.get(Place.of(Piece(tensor=0), SPECS)), WHOLE)
    assert np.array_equal(pieces.get(place(3, 1, 2)), part(3, 1, 2)), "shared another way, all of it is joined first"


def test_what_one_piece_has_is_not_copied() -> None:
    pieces = Pieces()
    pieces.add(Place.of(Piece(tensor=0), SPECS), WHOLE)
    assert np.shares_memory(pieces.get(place(1, 2, 4)), WHOLE)


def test_tensors_without_dimensions_are_whole() -> None:
    pieces, single = Pieces(), Place.of(Piece(tensor=1), SPECS)
    pieces.add(single, np.array(3, np.int8))
    assert pieces.get(single) == 3
    assert single.n_bytes == 1


@pytest.mark.parametrize("missing", [(1, 0, 6), (1, 1, 3), (3, 0, 1)])
def test_what_is_not_there_cannot_be_read(missing: tuple[int, int, int]) -> None:
    pieces = Pieces()
    with pytest.raises(ShareError, match="neither"):
        pieces.get(place(*missing))
    pieces.add(place(1, 0, 2), part(1, 0, 2))
    with pytest.raises(ShareError):
        pieces.get(place(*missing))


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (Piece(tensor=2), "tensor 2, and 2 tensors"),
        (Piece(tensor=0, dimension=4, start=0, stop=1), "dimension 4 of image"),
        (Piece(tensor=0, dimension=1, start=3, stop=3), "piece 3 to 3"),
        (Piece(tensor=0, dimension=1, start=3, stop=7), "piece 3 to 7"),
        (Piece(tensor=1, dimension=0, start=0, stop=1), "dimension 0 of one"),
    ],
)
def test_pieces_that_cannot_be_are_refused(piece: Piece, words: str) -> None:
    with pytest.raises(ShareError, match=words):
        Place.of(piece, SPECS)


def test_open_shapes_are_refused() -> None:
    with pytest.raises(ShareError, match="open shape"):
        Place.of(Piece(tensor=0), [TensorSpec(name="image", dtype=DType.INT8, shape=[-1, 4])])
