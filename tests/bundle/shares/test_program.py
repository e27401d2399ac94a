"""What a share reads must be there: found from what it declares, whatever size that has."""

from __future__ import annotations

import tracemalloc

import pytest

from bundle.shares import ShareError, ShareProgram
from protos.v1.manifest_pb2 import Passing, Piece, Share, ShareAction
from protos.v1.tensor_pb2 import DType, TensorSpec
from runtime import load_runtime

# 2**61 bytes: no machine has a tensor of them.
ROWS, CHANNELS = 2**30, 2**28
HUGE = TensorSpec(name="huge", dtype=DType.FLOAT64, shape=[1, ROWS, CHANNELS])
WHOLE = Piece(tensor=0)
_MOST_TAKEN_BYTES = 2**20


def rows(start: int, stop: int) -> Piece:
    return Piece(tensor=0, dimension=1, start=start, stop=stop)


def program(received: list[Piece], sent: list[Piece]) -> ShareProgram:
    actions = [
        ShareAction(receive=Passing(pieces=received, peer=1, transfer=0)),
        ShareAction(send=Passing(pieces=sent, peer=1, transfer=1)),
    ]
    return ShareProgram(Share(member=0, members=2, tensors=[HUGE], actions=actions), {}, load_runtime(), 1)


@pytest.mark.parametrize(
    "sent",
    [
        [WHOLE],
        [rows(0, ROWS)],
        [rows(5, ROWS - 5), rows(ROWS // 2, ROWS)],
        [Piece(tensor=0, dimension=2, start=7, stop=CHANNELS)],
    ],
)
def test_share_of_huge_tensors_is_checked_in_little_memory(sent: list[Piece]) -> None:
    checked = program([rows(ROWS // 2, ROWS), rows(0, ROWS // 3), rows(ROWS // 4, ROWS // 2 + 1)], sent)
    tracemalloc.start()
    try:
        checked.require_sound([], [])
        checked.require_sound(checked.places([HUGE]), checked.places([HUGE]))
        assert tracemalloc.get_traced_memory()[1] < _MOST_TAKEN_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        ([], [WHOLE]),
        ([rows(1, ROWS)], [WHOLE]),
        ([rows(0, 5), rows(6, ROWS)], [rows(4, 7)]),
        ([rows(0, ROWS - 1)], [Piece(tensor=0, dimension=2, start=0, stop=1)]),
        ([rows(0, 5), Piece(tensor=0, dimension=2, start=0, stop=CHANNELS - 1)], [rows(0, 6)]),
    ],
)
def test_share_that_reads_what_it_does_not_have_is_refused(received: list[Piece], sent: list[Piece]) -> None:
    with pytest.raises(ShareError, match="neither computed nor received"):
        program(received, sent).require_sound([], [])


def test_what_leaves_must_have_been_there() -> None:
    one = program([rows(0, 5)], [rows(0, 4)])
    one.require_sound([], [])
    with pytest.raises(ShareError, match="neither computed nor received"):
        one.require_sound([], one.places([HUGE]))
