"""What tests on emulated boards need."""

from __future__ import annotations

import pytest

from benchmarks.boards import CannotEmulateError
from benchmarks.boards.preflight import require_able


@pytest.fixture(scope="session")
def able() -> None:
    """Skips where boards cannot be emulated; `test_boards.py` checks the refusal."""
    try:
        require_able()
    except CannotEmulateError as error:
        pytest.skip(str(error))
