"""A bundle for two chains side by side that are cut differently, and commands as a user types them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle, Plan, PlannedChain, PlannedStage
from bundle.plan_file import render_plan
from dispatcher_client.cli import main
from examples.local_boards import LocalBoards
from tests.bundles import make_bundle
from tests.emulation import able

__all__ = ["able"]

# Operators of the zoo's residual model.
_CUT = 9


@pytest.fixture(scope="session")
def two_chains(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two splittings, and a plan for three boards: two parts on board1 and board2, beside them the whole model on board3."""
    bundle = make_bundle(tmp_path_factory.mktemp("two") / "parts", "residual", "int8", cut_lists=[[str(_CUT)], []])
    chains = (
        PlannedChain((PlannedStage("board1", _CUT), PlannedStage("board2"))),
        PlannedChain((PlannedStage("board3"),)),
    )
    text = render_plan(Plan(bundle.manifest.model_name, "throughput", chains))
    (bundle.path / "plan.yaml").write_text(text, encoding="utf-8")
    return bundle


@pytest.fixture
def boards_file(boards: LocalBoards, tmp_path: Path) -> str:
    lines = [f"  - name: {b.name}\n    address: {b.address}\n" for b in boards.boards]
    path = tmp_path / "boards.yaml"
    path.write_text("boards:\n" + "".join(lines))
    return str(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; its exit status, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dispatcher_client", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call
