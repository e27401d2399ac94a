"""Errors of boards: what they say, and that they cross from one process to another."""

from __future__ import annotations

import pickle

import pytest

from fleet.errors import BoardDefectError, BoardError, BoardRefusedError, BoardUnavailableError, from_wire
from protos.v1.data_plane_pb2 import Error


@pytest.mark.parametrize("kind", [BoardError, BoardRefusedError, BoardUnavailableError, BoardDefectError])
def test_error_of_a_board_is_the_same_after_pickling(kind: type[BoardError]) -> None:
    error = pickle.loads(pickle.dumps(kind("pi1", "is draining.")))
    assert type(error) is kind
    assert (error.board, str(error)) == ("pi1", "board pi1: is draining.")


def test_error_of_an_unknown_code_is_a_defect() -> None:
    error = from_wire(Error(code=Error.INTERNAL, message="a defect", board="pi2"))
    assert type(error) is BoardDefectError
    assert error.board == "pi2"
