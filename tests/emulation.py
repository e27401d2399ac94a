"""What tests of emulated and of virtual boards need of the machine."""

from __future__ import annotations

import pytest

from benchmarks.boards import CannotEmulateError
from benchmarks.boards.preflight import require_able


@pytest.fixture(scope="session")
def able() -> None:
    """What tests of running clusters need; the refusal is checked where it cannot be had."""
    said = _refusal()
    if said is not None:
        # A right or a kernel cannot be had everywhere; what can be installed is, where CI runs.
        assert any(reason in said for reason in ("lacks CAP_", "takes Linux")), said
        pytest.skip(said)


def _refusal() -> str | None:
    try:
        require_able()
    except CannotEmulateError as error:
        return str(error)
    return None
