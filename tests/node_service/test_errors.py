"""Errors as those who hear of them read them."""

from __future__ import annotations

import pytest

from fleet.errors import from_wire
from node_service.errors import NodeServiceError, PeerUnavailableError, RefusedError, RelayedError, to_frame_error


@pytest.mark.parametrize(
    ("error", "at_fault"),
    [(PeerUnavailableError("pi2", "broke the stream."), "pi2"), (RefusedError("is draining."), "pi1")],
)
def test_board_at_fault_is_named_once_however_far_the_error_goes(error: NodeServiceError, at_fault: str) -> None:
    told = to_frame_error(error, "pi1", 0)
    relayed = to_frame_error(RelayedError(told), "pi0", 0)
    for heard in (from_wire(told), from_wire(relayed), RelayedError(told)):
        assert str(heard) == f"board {at_fault}: {str(error).split(': ')[-1]}"
    assert str(PeerUnavailableError("pi2", "is gone.")) == "board pi2: is gone.", "as a board's log has it"
