"""Fixtures that several packages' tests share: bundles from the zoo and running node services."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bundle import Bundle
from examples.local_boards import LocalBoards, local_fleet
from tests.bundles import make_bundle
from transport.credentials import ENVIRONMENT_VARIABLE

# A shell starts what it puts into the background with SIGINT ignored, nohup with SIGHUP; children would inherit that.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

# Applications and commands that tests start find it there, as those of users do.
os.environ[ENVIRONMENT_VARIABLE] = str(local_fleet().operator)

settings.register_profile("checks", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("checks")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-pythons", action="store_true", help="test the wheels on every interpreter of this machine")
    parser.addoption("--chaos-s", type=float, default=45.0, help="how long test_chaos.py strikes boards, in seconds")
    parser.addoption(
        "--chaos-seed", type=int, help="the faults of an earlier run of test_chaos.py, which prints its seed"
    )


@pytest.fixture(scope="session")
def zoo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bundle]:
    """Bundles of zoo models, made once per session: zoo_bundle("residual", "int8", 3)."""
    made: dict[tuple[str, str, int, int], Bundle] = {}
    root = tmp_path_factory.mktemp("bundles")

    def make(name: str, mode: str, parts: int = 3, batch: int = 1) -> Bundle:
        key = (name, mode, parts, batch)
        if key not in made:
            made[key] = make_bundle(root / f"{name}-{mode}-{parts}-{batch}", name, mode, parts=parts, batch=batch)
        return made[key]

    return make


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBoards]:
    """Three node services for tests that leave them as they found them: running, and free to hold more deployments."""
    with LocalBoards(3, tmp_path_factory.mktemp("stores")) as running:
        yield running
        for board in running.boards:
            assert board.process.poll() is None, f"{board.name} died:\n{''.join(board.log)}"


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    """A place for the stores of node services that one test starts."""
    return tmp_path / "stores"
