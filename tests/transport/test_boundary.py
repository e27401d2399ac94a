"""What arrives is compared with the deployment's boundary before anything is decoded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType, TensorSpec
from transport.boundary import Boundary, boundary_bytes, check_boundary
from transport.errors import FrameError
from transport.frame import EncodedTensor

SPECS = [
    TensorSpec(name="conv", dtype=DType.INT8, shape=[1, 4]),
    TensorSpec(name="skip", dtype=DType.FLOAT32, shape=[-1, 2], alias="side"),
]


def tensor(dtype: int, shape: Sequence[int]) -> EncodedTensor:
    return EncodedTensor(TensorHeader(dtype=dtype, shape=shape), b"")  # type: ignore[arg-type]


def test_boundary_is_accepted_when_tensors_fit_in_order() -> None:
    check_boundary(SPECS, [tensor(DType.INT8, [1, 4]), tensor(DType.FLOAT32, [9, 2])])
    check_boundary([], [])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_boundary_is_refused_when_the_number_of_tensors_differs(count: int) -> None:
    message = rf"holds {count} tensors, expected 2: conv: int8 \[1, 4\]; side: float32 \[-1, 2\]"
    with pytest.raises(FrameError, match=message):
        check_boundary(SPECS, [tensor(DType.INT8, [1, 4])] * count)


def test_boundary_error_names_every_tensor_that_differs() -> None:
    with pytest.raises(FrameError) as raised:
        check_boundary(SPECS, [tensor(DType.UINT8, [1, 4]), tensor(DType.FLOAT32, [2])])
    assert str(raised.value) == (
        "the frame's tensors do not fit the deployment; expected conv: int8 [1, 4], got uint8 [1, 4]; "
        "side: float32 [-1, 2], got float32 [2]."
    )


def test_boundary_is_refused_when_tensors_are_swapped() -> None:
    with pytest.raises(FrameError, match="got float32"):
        check_boundary(SPECS, [tensor(DType.FLOAT32, [9, 2]), tensor(DType.INT8, [1, 4])])


@pytest.mark.parametrize(("number", "name"), [(0, "dtype_unspecified"), (99, "dtype number 99")])
def test_boundary_is_refused_when_the_peer_names_an_unknown_dtype(number: int, name: str) -> None:
    with pytest.raises(FrameError, match=f"got {name}"):
        check_boundary(SPECS[:1], [tensor(number, [1, 4])])


def test_boundary_bytes_count_padding_and_open_dimensions_as_one() -> None:
    assert boundary_bytes(SPECS) == 64 + 64
    assert boundary_bytes([TensorSpec(dtype=DType.FLOAT32, shape=[4, 8])]) == 128
    assert boundary_bytes([TensorSpec(dtype=DType.FLOAT32)]) == 64
    assert boundary_bytes([]) == 0


@pytest.mark.parametrize(
    ("codec", "rows", "words"),
    [
        *((codec, 2**24, "at most 1048576 are taken") for codec in list(Codec.values())[1:]),
        (Codec.LZ4, 10, "LZ4 data is damaged"),
        (Codec.HALF, 10, "no float32 rounded"),
        (Codec.QUANTIZED_4, 10, "LZ4 data is damaged|kind"),
    ],
)
def test_bomb_is_refused_before_memory_is_taken_for_it(codec: Codec, rows: int, words: str) -> None:
    """An open dimension permits any size, and a megabyte of zeros claims to be one."""
    boundary = Boundary([SPECS[1]], most_bytes=2**20)
    header = TensorHeader(dtype=DType.FLOAT32, shape=[rows, 2], codec=codec)
    bomb = EncodedTensor(header, b"\x01" + bytes(2**20))
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match=words):
            boundary.arrays([bomb], [0])
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()


def test_negative_dimensions_do_not_fit_an_open_one() -> None:
    with pytest.raises(FrameError, match="do not fit"):
        check_boundary([SPECS[1]], [tensor(DType.FLOAT32, [-9, 2])])
